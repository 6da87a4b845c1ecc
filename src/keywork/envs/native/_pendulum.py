"""A pendulum that is swung up."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from keywork.envs.native._native_env import NativeEnv
from keywork.envs.native._turn import Moved, rows
from keywork.specs import Bounded

_GRAVITY, _MASS, _LENGTH, _TIME_STEP = 10.0, 1.0, 1.0, 0.05
_FASTEST, _STRONGEST = 8.0, 2.0


@final
class Pendulum(NativeEnv):
    """Pendulum-v1: swing a pendulum up and hold it, with a torque u in [-2, 2] that is too weak to lift it at once.

        reward = -(θ² + 0.1 ω² + 0.001 u²)            with θ in [-π, π), 0 upright
        ω ← clip(ω + (3g / 2l sin θ + 3u / ml²) 0.05, -8, 8)
        θ ← θ + 0.05 ω                                with the new ω

    with g = 10, m = 1, l = 1. The state is (θ, ω), and θ is not wrapped; the observation is (cos θ, sin θ, ω). There is
    no end but the time limit.

    Source: the equations are those of Gymnasium's documentation of the environment.

    >>> Pendulum(num_envs=8, seed=0).reset()["observation"].shape
    torch.Size([8, 3])
    """

    name, time_limit, variables, draws = "Pendulum-v1", 200, 2, 2
    observed = Bounded([-1.0, -1.0, -_FASTEST], [1.0, 1.0, _FASTEST], device="cpu")
    acted = Bounded(-_STRONGEST, _STRONGEST, shape=(1,), device="cpu")

    @staticmethod
    def dynamics(state: Tensor, action: Tensor) -> Moved:
        """See the class."""
        angle, spin = state.unbind(0)
        from_top = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        cost = from_top.square() + 0.1 * spin.square() + 0.001 * action.square()
        pull = 3 * _GRAVITY / (2 * _LENGTH) * torch.sin(angle)
        spin = spin + (pull + 3.0 / (_MASS * _LENGTH**2) * action) * _TIME_STEP
        spin = spin.clamp(-_FASTEST, _FASTEST)
        never = torch.zeros_like(angle, dtype=torch.bool)
        return Moved(torch.stack((angle + spin * _TIME_STEP, spin)), -cost, never)

    @staticmethod
    def observe(state: Tensor) -> Tensor:
        """The angle's cosine and sine, and the speed."""
        angle, spin = state.unbind(0)
        return rows(torch.cos(angle), torch.sin(angle), spin)

    @staticmethod
    def start(uniform: Tensor) -> Tensor:
        """Any angle, and a speed uniform in [-1, 1]."""
        angle, spin = (2 * uniform - 1).unbind(0)
        return torch.stack((math.pi * angle, spin))
