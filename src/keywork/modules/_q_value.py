"""Acting greedily on the values of actions."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from keywork._errors import ContractError, Finding, SpecError, UsageError
from keywork._keys import ACTION, OBSERVATION, Key, as_key, as_keys, listed
from keywork.modules._action_space import ACTION_VALUE, CHOSEN_ACTION_VALUE, form_of
from keywork.modules._choices import Choices
from keywork.modules._exploration import leaf_spec
from keywork.modules._refusal import refusal, require_known
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.specs import Spec
