"""Where the modules that were built without the spec of their action get it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from keywork._keys import Key, as_key
from keywork.modules._exploration import ExplorationModule
from keywork.modules._random_policy import RandomPolicy


def fill_action_specs(module: nn.Module, specs: Mapping[Key, Any]) -> None:
    """Give every module in ``module`` that waits for the spec of its action the one that belongs to its action key.

    Args:
        module: a policy, or any module.
        specs: by action key, such as ``{env.action_key: env.action_spec}``. Modules of other keys are left alone, and
            so are those that have a spec.

    Raises:
        SpecError: a module cannot explore such actions.

    >>> from keywork.modules import AdditiveGaussianModule
    >>> from keywork.specs import Bounded
    >>> noise = AdditiveGaussianModule()
    >>> fill_action_specs(noise, {"action": Bounded(-1.0, 1.0, (2,))})
    >>> noise.spec.domain
    '[-1, 1]'
    """
    by_key = {as_key(key): spec for key, spec in specs.items()}
    for part in module.modules():
        if isinstance(part, ExplorationModule | RandomPolicy) and part.spec is None and part.action_key in by_key:
            part.spec = by_key[part.action_key]
