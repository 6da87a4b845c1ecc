"""A normal distribution for each dimension of an unbounded action."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from ._base import HALF, NO_SHAPE, ActionDistribution
from ._constraints import Constraint, real
from ._location_scale import event_split, location_scale, squeeze_location, sum_event
from ._noise import constant_sample, standard_normal

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class IndependentNormal(ActionDistribution):
    """a = loc + scale · ε, ε ~ N(0, I); log p(a) = −Σ [½ ((a − loc) / scale)² + log scale + ½ log 2π].

    RANDOM draws; MODE, MEAN and DETERMINISTIC are ``loc``.

    Args:
        loc: mean, ``[*B, *event]``, or a number.
        scale: standard deviation, positive, broadcast to ``loc``, or a number.
        upscale: with ``tanh_loc``, the bound of the location.
        tanh_loc: keep the location within ±upscale: upscale · tanh(loc / upscale).
        event_dim: how many of the last dimensions make one action; log-probs are summed over them. None is one,
            or zero for a scalar.
        validate_args: True checks that loc is a number and scale positive; this waits for the device.

    Raises:
        SpecError: the shapes do not broadcast, or have fewer dimensions than ``event_dim``.

    >>> dist = IndependentNormal(torch.zeros(4, 2), torch.ones(4, 2))
    >>> dist.batch_shape, dist.event_shape, dist.log_prob(dist.mode).shape
    (torch.Size([4]), torch.Size([2]), torch.Size([4]))
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        upscale: float = 5.0,
        tanh_loc: bool = False,
        event_dim: int | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = location_scale("IndependentNormal", loc, scale)
        if tanh_loc:
            self.loc = squeeze_location(self.loc, upscale)
        self._half = self.loc.dtype in HALF
        self._loc, self._scale = (self.loc.float(), self.scale.float()) if self._half else (self.loc, self.scale)
        batch, event, self._axes = event_split("IndependentNormal", self.loc.shape, event_dim)
        super().__init__(batch, event, validate_args)

    @property
    def support(self) -> Constraint:
        """Every real vector of the event's shape."""
        return real(len(self._axes))

    @property
    def mean(self) -> Tensor:
        """``loc``."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """``loc``."""
        return self.loc

    @property
    def deterministic_sample(self) -> Tensor:
        """``loc``."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale², for each dimension of the event."""
        return self.scale.square()

    def rsample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """loc + scale · ε, of shape ``[*sample_shape, *batch, *event]``."""
        noise = standard_normal(self._loc, sample_shape, generator)
        return self._narrowed(torch.addcmul(self._loc, self._scale, noise))

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw and score; the score comes from the noise itself, so that no digits are lost at small scales."""
        noise = standard_normal(self._loc, sample_shape, generator)
        return self._narrowed(torch.addcmul(self._loc, self._scale, noise)), self._score(noise)

    def sample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw a constant and score it; the gradient of the score is that of ``log_prob`` of the sample."""
        if not torch.is_grad_enabled():
            return self.rsample_and_log_prob(sample_shape, generator=generator)
        value, noise = constant_sample(self._loc, self._scale, sample_shape, generator)
        return self._narrowed(value), self._score(noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of a value ``[..., *batch, *event]``, of shape ``[..., *batch]``."""
        return self._score((self._checked(value) - self._loc) / self._scale)

    def entropy(self) -> Tensor:
        """Σ [log scale + ½ log 2πe], of shape ``[*batch]``."""
        return sum_event(self._scale.log() + (0.5 + HALF_LOG_TWO_PI), self._axes)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> IndependentNormal:
        """The same distribution over a larger batch; no memory is copied."""
        shape = Size(batch_shape) + self.event_shape
        loc, scale = self.loc.expand(shape), self.scale.expand(shape)
        return IndependentNormal(loc, scale, event_dim=len(self._axes), validate_args=self._validate_args)

    def _narrowed(self, value: Tensor) -> Tensor:
        return value.to(self.loc.dtype) if self._half else value

    def _score(self, noise: Tensor) -> Tensor:
        total = sum_event(torch.addcmul(self._scale.log(), noise, noise, value=0.5), self._axes)
        return total.neg() - HALF_LOG_TWO_PI * self.event_shape.numel()
