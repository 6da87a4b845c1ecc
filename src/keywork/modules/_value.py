"""Critics: key modules that write a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keywork._keys import ACTION, OBSERVATION, STATE_ACTION_VALUE, STATE_VALUE, as_keys, leaf
from keywork.nn import TensorDictModule


class ValueOperator(TensorDictModule):
    """A critic: the value of a state, or of an action in a state as soon as it reads an action.

    Args:
        module: from the entries of ``in_keys`` to values ``[*B, 1]``.
        in_keys: ``["observation"]`` if left out.
        out_keys: if left out, ``["state_value"]``; ``["state_action_value"]`` where the last part of an in-key is
            ``"action"``.

    >>> import torch
    >>> ValueOperator(torch.nn.Linear(4, 1)).out_keys
    ['state_value']
    >>> ValueOperator(torch.nn.Bilinear(4, 1, 1), ["observation", ("agent", "action")]).out_keys
    ['state_action_value']
    """

    def __init__(self, module: Callable[..., Any], in_keys: Any = OBSERVATION, out_keys: Any = None) -> None:
        if out_keys is None:
            judges_actions = any(leaf(key) == ACTION for key in as_keys(in_keys))
            out_keys = STATE_ACTION_VALUE if judges_actions else STATE_VALUE
        super().__init__(module, in_keys, out_keys)
