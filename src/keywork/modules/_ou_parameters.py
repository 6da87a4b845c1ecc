"""The numbers of an Ornstein-Uhlenbeck process."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import torch

from keywork._errors import UsageError
from keywork.modules._exploration import SpecAliases
from keywork.modules._refusal import refusal

STATIONARY = "stationary"


@dataclass(frozen=True, kw_only=True, slots=True)
class OUParameters:
    """xₜ₊₁ = xₜ + θ (μ − xₜ) dt + σ √dt N(0, 1)

    After long enough x has the mean μ, the standard deviation

        s = σ / √(θ (2 − θ dt)),

    which is ``stationary_std``, and a correlation of (1 − θ dt)ᵏ between x and the x of k steps later. "Long enough" is
    several times 1 / (θ dt) steps: 667 steps with the field's defaults, under which the noise of a short episode never
    gets as strong as s = 0.365. :meth:`of_stationary` says it the other way round, and ``x0="stationary"`` begins
    every episode with a draw from N(μ, s²).

    Attributes:
        theta: how fast x returns to the mean, per unit of time.
        mu: the mean.
        sigma: how strongly x is disturbed.
        dt: how long a step is.
        x0: where an episode begins: a number, or a tensor of the action's shape; None is 0; ``"stationary"`` draws it.
        sigma_min: with it, σ goes down in a straight line, from ``sigma`` at an episode's first step to this.
        n_steps_annealing: after how many steps it gets there.

    Raises:
        UsageError: numbers out of range, or with which x does not stay finite.

    >>> OUParameters().stationary_std
    0.365...
    >>> OUParameters.of_stationary(0.2, correlation_steps=10).stationary_std
    0.2...
    """

    theta: float = 0.15
    mu: float = 0.0
    sigma: float = 0.2
    dt: float = 1e-2
    x0: Any = None
    sigma_min: float | None = None
    n_steps_annealing: int = 1000

    def __post_init__(self) -> None:
        _require_step(self.dt)
        if not 0.0 <= self.theta * self.dt < 2.0:
            most = f"from 0 to below 2 / dt = {2.0 / self.dt:g}, for x to stay finite"
            raise _refused("theta", most, self.theta, "theta=0.15")
        if not 0.0 <= self.sigma < math.inf:
            raise _refused("sigma", "a finite number, not below 0", self.sigma, "sigma=0.2")
        if not math.isfinite(self.mu):
            raise _refused("mu", "a finite number", self.mu, "mu=0.0")
        if self.sigma_min is not None and not 0.0 <= self.sigma_min <= self.sigma:
            raise _refused("sigma_min", f"a number from 0 to sigma, {self.sigma}, or None", self.sigma_min, "None")
        if not self.n_steps_annealing > 0:
            where, fix = "n_steps_annealing", "sigma_min=None for no annealing"
            raise _refused(where, "a positive number of steps", self.n_steps_annealing, fix)
        if isinstance(self.x0, str):
            possible = self.x0 == STATIONARY and self.theta > 0.0
        else:
            possible = self.x0 is None or bool(torch.as_tensor(self.x0).isfinite().all())
        if not possible:
            expected = f"finite numbers, or {STATIONARY!r}, which there is only for a theta above 0"
            raise _refused("x0", expected, self.x0, "x0=0.0")

    @classmethod
    def of_stationary(cls, std: float, correlation_steps: float, *, mu: float = 0.0, dt: float = 1e-2) -> Self:
        """The process that ends up in N(mu, std²), and starts there; correlations fall to 1/e in ``correlation_steps``.

        θ = (1 − e^(−1/n)) / dt and σ = std √(θ (2 − θ dt)).

        Raises:
            UsageError: numbers out of range.
        """
        if not correlation_steps > 0.0:
            raise _refused("correlation_steps", "a number above 0", correlation_steps, "correlation_steps=10")
        _require_step(dt)
        theta = -math.expm1(-1.0 / correlation_steps) / dt
        return cls(theta=theta, mu=mu, sigma=std * math.sqrt(theta * (2.0 - theta * dt)), dt=dt, x0=STATIONARY)

    @property
    def stationary_std(self) -> float:
        """s; infinite for a theta of 0, and of the undiminished sigma where that goes down."""
        spread = self.theta * (2.0 - self.theta * self.dt)
        return self.sigma / math.sqrt(spread) if spread > 0.0 else math.inf


class OUOptions(SpecAliases, total=False):
    """The less common options of an :class:`OrnsteinUhlenbeckProcessModule`.

    Attributes:
        theta: see :class:`OUParameters`, and so for the five that follow.
        mu: likewise.
        sigma: likewise.
        dt: likewise.
        x0: likewise.
        sigma_min: likewise.
        n_steps_annealing: likewise.
        noise_key: where x is carried; ``"_ou_action_noise"`` beside the action if left out, by the action's name.
        steps_key: where the age of the episode is carried if sigma goes down; ``"_ou_action_steps"`` if left out.
    """

    theta: float
    mu: float
    sigma: float
    dt: float
    x0: Any
    sigma_min: float | None
    n_steps_annealing: int
    noise_key: Any
    steps_key: Any


def _require_step(dt: float) -> None:
    if not (math.isfinite(dt) and dt > 0.0):
        raise _refused("dt", "a finite number above 0", dt, "dt=1e-2")


def _refused(where: str, expected: str, got: object, fix: str) -> UsageError:
    what = f"OUParameters cannot be built: {where} is out of range."
    return refusal(UsageError, what, where=where, expected=expected, got=repr(got), fix=fix)
