"""The car in the valley, with a pedal."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from keywork.envs.native._native_env import NativeEnv
from keywork.envs.native._turn import Moved, rows
from keywork.specs import Bounded

_LEFT, _RIGHT, _GOAL = -1.2, 0.6, 0.45
_FASTEST, _POWER, _GRAVITY = 0.07, 0.0015, 0.0025


@final
class MountainCarContinuous(NativeEnv):
    """MountainCarContinuous-v0: leave a valley by driving to and fro, with a force u in [-1, 1].

        v ← clip(v + 0.0015 u - 0.0025 cos 3x, -0.07, 0.07)
        x ← clip(x + v, -1.2, 0.6)                    with the new v
        v ← 0 where x = -1.2 and v < 0
        reward = 100 at the end, and -0.1 u² in every step

    The state is (x, v), and the observation is the state. The end: x ≥ 0.45 and v ≥ 0.

    Gymnasium keeps this state in float32, so here it is rounded to that in every step, whatever dtype computes.

    Source: Moore, "Efficient memory-based learning for robot control", 1990; the force is that of Gymnasium's
    documentation of the environment.

    >>> MountainCarContinuous(num_envs=8, seed=0).reset()["observation"].shape
    torch.Size([8, 2])
    """

    name, time_limit, variables, draws = "MountainCarContinuous-v0", 999, 2, 1
    observed = Bounded([_LEFT, -_FASTEST], [_RIGHT, _FASTEST], device="cpu")
    acted = Bounded(-1.0, 1.0, shape=(1,), device="cpu")

    @staticmethod
    def dynamics(state: Tensor, action: Tensor) -> Moved:
        """See the class."""
        x, v = state.to(torch.float32).unbind(0)
        slope = (_GRAVITY * torch.cos((3 * x).to(state.dtype))).to(torch.float32)
        v = v + (_POWER * action - slope)
        v = v.clamp(-_FASTEST, _FASTEST)
        x = (x + v).clamp(_LEFT, _RIGHT)
        v = torch.where((x <= _LEFT) & (v < 0), 0.0, v)
        terminated = (x >= _GOAL) & (v >= 0)
        reward = 100.0 * terminated.to(state.dtype) - 0.1 * action.to(state.dtype).square()
        return Moved(torch.stack((x, v)).to(state.dtype), reward, terminated)

    @staticmethod
    def observe(state: Tensor) -> Tensor:
        """The state."""
        return rows(*state.unbind(0))

    @staticmethod
    def start(uniform: Tensor) -> Tensor:
        """A place uniform in [-0.6, -0.4], at rest."""
        (x,) = (0.2 * uniform - 0.6).unbind(0)
        return torch.stack((x, torch.zeros_like(x)))
