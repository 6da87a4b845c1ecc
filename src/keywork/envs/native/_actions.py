"""Actions on their way to an environment in torch: what is taken, and what is said of the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from keywork._errors import EnvError
from keywork._keys import ACTION
from keywork.envs.native._turn import Moved, Rules
from keywork.specs import Bounded, Categorical

_ROUNDING = 1e-6  # of the bounds' distance: what a policy's own float32 arithmetic may overshoot by


def rules_of(
    spec: Bounded | Categorical,
    clip: bool,
    dynamics: Callable[[Tensor, Tensor], Moved],
    observe: Callable[[Tensor], Tensor],
    time_limit: int,
) -> Rules:
    """What a step goes by, for actions of the spec; those outside of bounds are taken where they are clipped."""
    if isinstance(spec, Categorical):
        return Rules(dynamics, observe, time_limit, 0, spec.n - 1, 0)
    low, high = spec.low.min().item(), spec.high.max().item()
    return Rules(dynamics, observe, time_limit, low, high, math.inf if clip else _ROUNDING * (high - low))


def shaped(action: Any, spec: Bounded | Categorical, num_envs: int, device: torch.device) -> Tensor:
    """The actions as one number for each environment, ``[num_envs]``.

    Raises:
        EnvError: they have another shape, or another kind of dtype.
    """
    wanted = (num_envs, *spec.shape)
    if tuple(action.shape) != wanted:
        raise EnvError(
            f"The environments cannot be stepped: {ACTION!r} has the shape {list(action.shape)}.\n"
            f"   They take {list(wanted)}: one row for each environment, and in it {spec}."
        )
    tensor: Tensor = torch.as_tensor(action).detach()
    floating = spec.dtype.is_floating_point
    if tensor.is_complex() or tensor.dtype is torch.bool or tensor.is_floating_point() is not floating:
        fix = "action.float() casts it" if floating else "action.argmax(-1) picks an index from scores"
        raise EnvError(
            f"The environments cannot be stepped: {ACTION!r} has the dtype {tensor.dtype}.\n"
            f"   They take {spec.dtype}: {spec}. {fix}."
        )
    return tensor.to(device, spec.dtype).reshape(num_envs)


def unfit(action: Tensor | None, good: Tensor, spec: Bounded | Categorical) -> EnvError:
    """The error of the first environment whose action is none; without the actions, of one some steps ago."""
    row = int(good.logical_not().nonzero()[0, 0])
    value = "in a step that was taken meanwhile"
    problem = "is outside of its space"
    if action is not None:
        value = str(action[row].item())
        problem = problem if math.isfinite(action[row].item()) else "is not finite"
    fix = "End the policy in a distribution that fits its action_spec"
    if isinstance(spec, Bounded) and problem.endswith("space"):
        fix += ", such as TanhNormal(low=..., high=...), or pass clip_actions=True"
    return EnvError(
        f"The environments cannot be stepped: {ACTION!r} of env {row} {problem}: {value}\n"
        f"   its space: {spec}\n   {fix}."
    )
