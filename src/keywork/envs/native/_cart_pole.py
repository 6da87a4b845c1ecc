"""A pole on a cart."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from keywork.envs.native._native_env import NativeEnv
from keywork.envs.native._turn import Moved, rows
from keywork.specs import Bounded, Categorical

_GRAVITY, _FORCE, _TIME_STEP = 9.8, 10.0, 0.02
_POLE_MASS, _HALF_LENGTH = 0.1, 0.5
_MASS = _POLE_MASS + 1.0
_MOMENT = _POLE_MASS * _HALF_LENGTH
_FARTHEST, _STEEPEST = 2.4, 12 * 2 * math.pi / 360


@final
class CartPole(NativeEnv):
    """CartPole-v1: keep a pole upright on a cart that is pushed to the left (0) or to the right (1).

    With F = ±10 N, mass of the pole m = 0.1 kg, of both M = 1.1 kg, half the pole's length l = 0.5 m:

        u  = (F + m l ω² sin θ) / M
        ω' = (g sin θ - u cos θ) / (l (4/3 - m cos² θ / M))
        v' = u - m l ω' cos θ / M

    and an explicit Euler step of 0.02 s. The state is (x, v, θ, ω), and the observation is the state. Every step's
    reward is 1. The end: abs(x) > 2.4 or abs(θ) > 12°.

    Source: Barto, Sutton, Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems",
    1983; the equations without friction of Florian, "Correct equations for the dynamics of the cart-pole system", 2007.

    >>> env = CartPole(num_envs=4096, seed=0)
    >>> env.rollout(3)["next", "reward"].shape
    torch.Size([4096, 3, 1])
    """

    name, time_limit, variables, draws = "CartPole-v1", 500, 4, 4
    observed = Bounded(
        [-2 * _FARTHEST, -math.inf, -2 * _STEEPEST, -math.inf],
        [2 * _FARTHEST, math.inf, 2 * _STEEPEST, math.inf],
        device="cpu",
    )
    acted = Categorical(2, device="cpu")

    @staticmethod
    def dynamics(state: Tensor, action: Tensor) -> Moved:
        """See the class."""
        x, v, angle, spin = state.unbind(0)
        cos, sin = torch.cos(angle), torch.sin(angle)
        force = (2 * action - 1).to(state.dtype) * _FORCE
        push = (force + _MOMENT * spin.square() * sin) / _MASS
        spin_up = (_GRAVITY * sin - cos * push) / (_HALF_LENGTH * (4.0 / 3.0 - _POLE_MASS * cos.square() / _MASS))
        speed_up = push - _MOMENT * spin_up * cos / _MASS
        state = state + _TIME_STEP * torch.stack((v, speed_up, spin, spin_up))
        terminated = (state[0].abs() > _FARTHEST) | (state[2].abs() > _STEEPEST)
        return Moved(state, torch.ones_like(x), terminated)

    @staticmethod
    def observe(state: Tensor) -> Tensor:
        """The state."""
        return rows(*state.unbind(0))

    @staticmethod
    def start(uniform: Tensor) -> Tensor:
        """All four uniform in [-0.05, 0.05]."""
        return 0.1 * uniform - 0.05
