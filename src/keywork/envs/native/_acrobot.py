"""Two links that hang from one another, and a motor between them."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from keywork.envs.native._native_env import NativeEnv
from keywork.envs.native._turn import Moved, rows
from keywork.specs import Bounded, Categorical

_GRAVITY, _TIME_STEP = 9.8, 0.2
_MASS = _LENGTH = _INERTIA = 1.0  # of either link
_CENTRE = 0.5  # how far down a link its centre of mass is
_FASTEST = (4 * math.pi, 9 * math.pi)


@final
class Acrobot(NativeEnv):
    """Acrobot-v1: swing the lower end one link above the pivot, by a torque τ = action - 1 at the elbow.

    With masses, lengths and inertias of 1, centres of mass at c = 1/2, g = 9.8, angles θ (0 hangs down) and speeds ω:

        d₁ = c² + (1 + c² + 2 c cos θ₂) + 2
        d₂ = c² + c cos θ₂ + 1
        φ₂ = c g cos(θ₁ + θ₂ - π/2)
        φ₁ = -c ω₂² sin θ₂ - 2 c ω₁ ω₂ sin θ₂ + (c + 1) g cos(θ₁ - π/2) + φ₂
        ω₂' = (τ + d₂/d₁ φ₁ - c ω₁² sin θ₂ - φ₂) / (c² + 1 - d₂²/d₁)
        ω₁' = -(d₂ ω₂' + φ₁) / d₁

    one Runge-Kutta step (4th order) of 0.2 s; then the angles are wrapped to [-π, π], and the speeds clipped to 4π and
    9π. The state is (θ₁, θ₂, ω₁, ω₂); the observation (cos θ₁, sin θ₁, cos θ₂, sin θ₂, ω₁, ω₂). Each step costs 1 but
    the last. The end: -cos θ₁ - cos(θ₁ + θ₂) > 1.

    Source: Sutton, "Generalization in reinforcement learning: successful examples using sparse coarse coding", 1996,
    with the equations of the book by Sutton and Barto (in the paper, a term of ω₂' is missing).

    >>> Acrobot(num_envs=8, seed=0).reset()["observation"].shape
    torch.Size([8, 6])
    """

    name, time_limit, variables, draws = "Acrobot-v1", 500, 4, 4
    observed = Bounded([-1.0] * 4 + [-most for most in _FASTEST], [1.0] * 4 + [*_FASTEST], device="cpu")
    acted = Categorical(3, device="cpu")

    @staticmethod
    def dynamics(state: Tensor, action: Tensor) -> Moved:
        """See the class."""
        torque = (action - 1).to(state.dtype)
        half = _TIME_STEP / 2
        first = _derivative(state, torque)
        second = _derivative(state + half * first, torque)
        third = _derivative(state + half * second, torque)
        fourth = _derivative(state + _TIME_STEP * third, torque)
        upper, lower, *speeds = (state + _TIME_STEP / 6 * (first + 2 * second + 2 * third + fourth)).unbind(0)
        upper, lower = _wrapped(upper), _wrapped(lower)
        upper_speed, lower_speed = (speed.clamp(-most, most) for speed, most in zip(speeds, _FASTEST, strict=True))
        terminated = -torch.cos(upper) - torch.cos(lower + upper) > 1.0
        reward = terminated.to(state.dtype) - 1
        return Moved(torch.stack((upper, lower, upper_speed, lower_speed)), reward, terminated)

    @staticmethod
    def observe(state: Tensor) -> Tensor:
        """The angles' cosines and sines, and the speeds."""
        upper, lower, upper_speed, lower_speed = state.unbind(0)
        return rows(torch.cos(upper), torch.sin(upper), torch.cos(lower), torch.sin(lower), upper_speed, lower_speed)

    @staticmethod
    def start(uniform: Tensor) -> Tensor:
        """All four uniform in [-0.1, 0.1]."""
        return 0.2 * uniform - 0.1


def _derivative(state: Tensor, torque: Tensor) -> Tensor:
    upper, lower, upper_speed, lower_speed = state.unbind(0)
    cos, sin = torch.cos(lower), torch.sin(lower)
    arm = _MASS * _LENGTH * _CENTRE
    own = _MASS * _CENTRE**2 + _INERTIA
    d1 = own + _MASS * _LENGTH**2 + own + 2 * arm * cos
    d2 = own + arm * cos
    phi2 = _MASS * _CENTRE * _GRAVITY * torch.cos(upper + lower - math.pi / 2)
    phi1 = -arm * lower_speed.square() * sin - 2 * arm * lower_speed * upper_speed * sin
    phi1 = phi1 + (_MASS * _CENTRE + _MASS * _LENGTH) * _GRAVITY * torch.cos(upper - math.pi / 2) + phi2
    lower_up = (torque + d2 / d1 * phi1 - arm * upper_speed.square() * sin - phi2) / (own - d2.square() / d1)
    return torch.stack((upper_speed, lower_speed, -(d2 * lower_up + phi1) / d1, lower_up))


def _wrapped(angle: Tensor) -> Tensor:
    """The angle in [-π, π]; one that is there already stays as it is."""
    turns = ((angle - math.pi) / math.tau).ceil().clamp(min=0) + ((angle + math.pi) / math.tau).floor().clamp(max=0)
    return angle - math.tau * turns
