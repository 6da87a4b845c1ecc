"""A car in a valley, too weak to drive straight up."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from keywork.envs.native._native_env import NativeEnv
from keywork.envs.native._turn import Moved, rows
from keywork.specs import Bounded, Categorical

_LEFT, _RIGHT, _GOAL = -1.2, 0.6, 0.5
_FASTEST, _FORCE, _GRAVITY = 0.07, 0.001, 0.0025


@final
class MountainCar(NativeEnv):
    """MountainCar-v0: leave a valley by driving to and fro: to the left (0), not at all (1), to the right (2).

        v ← clip(v + 0.001 (action - 1) - 0.0025 cos 3x, -0.07, 0.07)
        x ← clip(x + v, -1.2, 0.6)                    with the new v
        v ← 0 where x = -1.2 and v < 0

    The state is (x, v), and the observation is the state. Each step costs 1. The end: x ≥ 0.5 and v ≥ 0.

    Source: Moore, "Efficient memory-based learning for robot control", 1990.

    >>> MountainCar(num_envs=8, seed=0).reset()["observation"].shape
    torch.Size([8, 2])
    """

    name, time_limit, variables, draws = "MountainCar-v0", 200, 2, 1
    observed = Bounded([_LEFT, -_FASTEST], [_RIGHT, _FASTEST], device="cpu")
    acted = Categorical(3, device="cpu")

    @staticmethod
    def dynamics(state: Tensor, action: Tensor) -> Moved:
        """See the class."""
        x, v = state.unbind(0)
        v = v + ((action - 1).to(state.dtype) * _FORCE - torch.cos(3 * x) * _GRAVITY)
        v = v.clamp(-_FASTEST, _FASTEST)
        x = (x + v).clamp(_LEFT, _RIGHT)
        v = torch.where((x <= _LEFT) & (v < 0), 0.0, v)
        return Moved(torch.stack((x, v)), -torch.ones_like(x), (x >= _GOAL) & (v >= 0))

    @staticmethod
    def observe(state: Tensor) -> Tensor:
        """The state."""
        return rows(*state.unbind(0))

    @staticmethod
    def start(uniform: Tensor) -> Tensor:
        """A place uniform in [-0.6, -0.4], at rest."""
        (x,) = (0.2 * uniform - 0.6).unbind(0)
        return torch.stack((x, torch.zeros_like(x)))
