"""One step of all environments as a pure function, which compiles as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import NamedTuple

import torch
from torch import Tensor


class Moved(NamedTuple):
    """What an action led to.

    Attributes:
        state: ``[k, *B]``.
        reward: ``[*B]``.
        terminated: bool ``[*B]``.
    """

    state: Tensor
    reward: Tensor
    terminated: Tensor


def rows(*values: Tensor) -> Tensor:
    """Several ``[*B]`` as observations ``[*B, len(values)]``, in float32 and memory of their own."""
    return torch.stack(values, -1).to(torch.float32)


class Turn(NamedTuple):
    """What a step of ``N`` environments leaves behind, before new episodes begin.

    Attributes:
        state: where each is, ``[k, N]``.
        seen: the observation of that, ``[N, *shape]``.
        reward: float32 ``[N, 1]``.
        terminated: bool ``[N, 1]``.
        truncated: bool ``[N, 1]``.
        done: bool ``[N, 1]``.
        returns: float64 ``[N]``: the sum of the running episode's rewards, this one included.
        lengths: int64 ``[N]``: how many steps it has, this one included.
        good: bool ``[N]``: whether the action was one.
    """

    state: Tensor
    seen: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    done: Tensor
    returns: Tensor
    lengths: Tensor
    good: Tensor


@dataclass(frozen=True)
class Rules:
    """What does not change from step to step.

    Attributes:
        dynamics: from state and action to the next state.
        observe: from a state to an observation.
        time_limit: an episode's last step.
        low: the least action.
        high: the greatest action.
        slack: how far outside an action may lie, because of rounding; inf where actions are clipped.
    """

    dynamics: Callable[[Tensor, Tensor], Moved]
    observe: Callable[[Tensor], Tensor]
    time_limit: int
    low: float
    high: float
    slack: float


def turn(rules: Rules, state: Tensor, returns: Tensor, lengths: Tensor, action: Tensor) -> Turn:
    """Take one step, of episodes that have the given returns and lengths so far; ``action`` is ``[N]``."""
    nearest = action.clamp(rules.low, rules.high)
    good = (action - nearest).abs() <= rules.slack  # False for a NaN
    if action.is_floating_point():
        good = good & action.isfinite()
    moved = rules.dynamics(state, nearest)
    lengths = lengths + 1
    truncated = lengths >= rules.time_limit
    return Turn(
        moved.state,
        rules.observe(moved.state),
        moved.reward.to(torch.float32).unsqueeze(-1),
        moved.terminated.unsqueeze(-1),
        truncated.unsqueeze(-1),
        (moved.terminated | truncated).unsqueeze(-1),
        returns + moved.reward,
        lengths,
        good,
    )


def compiled_turn() -> Callable[..., Turn]:
    """A :func:`turn` that is compiled in its first call.

    It is a copy with code of its own: whatever has the same code shares one small number of compilations.
    """
    own = FunctionType(turn.__code__.replace(), turn.__globals__, turn.__name__)
    compiled: Callable[..., Turn] = torch.compile(own, fullgraph=True)
    return compiled
