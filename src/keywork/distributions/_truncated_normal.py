"""A normal distribution cut off at the bounds of a continuous action."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from ._base import HALF, NO_SHAPE, ActionDistribution, require
from ._bounds import as_bounds
from ._constraints import Constraint, interval
from ._location_scale import event_split, location_scale, squeeze_location, sum_event
from ._noise import of_generator
from ._truncated_math import Mass, fall_at, hold, mass_of, quantile, scored_quantile


class TruncatedNormal(ActionDistribution):
    """p(a) = N(a; loc, scale²) / (Φ(β) − Φ(α)) from low to high, α = (low − loc) / scale, β = (high − loc) / scale.

    ==============  ==========================================================================================
    RANDOM          a draw
    DETERMINISTIC   E a, the mean
    MEAN            E a
    MODE            where the density is highest: loc, or the bound that is nearest to it
    ==============  ==========================================================================================

    All of them lie within the bounds, and all of it is right, with its gradients, for any loc, scale and bounds: in the
    middle, in either tail, for an interval that is narrow for the scale and a scale that is narrow for the interval.
    In float32 errors are below 1e-5 of the natural unit: one for a score, the scale for the mean, 1 / scale for the
    gradients of a score.
    ``sample_and_log_prob`` and ``rsample_and_log_prob`` score what was drawn before it is rounded to its type; where
    the scale is less than the spacing of floats around loc, ``log_prob`` of the stored action cannot.

    A draw is the inverse distribution function of a uniform number, solved in float64, which costs little and gives
    float32 all its digits. ``rsample`` has the implicit gradients of first order; those of a higher order take the
    first as constants. Gradients do not flow to the bounds.

    Args:
        loc: mean before the truncation, ``[*B, *event]``, or a number; it may lie outside the bounds.
        scale: standard deviation before the truncation, positive, broadcast to ``loc``, or a number.
        low: lower bound, a number, or a tensor on the device of loc that broadcasts to the event.
        high: upper bound.
        upscale: with ``tanh_loc``, the bound of the location.
        tanh_loc: keep the location within ±upscale: upscale · tanh(loc / upscale), whatever the bounds are.
        event_dims: how many of the last dimensions make one action; None is one, or zero for a scalar.
        validate_args: True checks the values of loc, scale and tensor bounds, and of the actions that are scored; this
            waits for the device.

    Raises:
        SpecError: low ≥ high, or shapes that do not broadcast.

    >>> dist = TruncatedNormal(torch.full((4, 2), 20.0), torch.full((4, 2), 0.1))
    >>> dist.deterministic_sample[0], dist.rsample_and_log_prob()[1].shape
    (tensor([0.9995, 0.9995]), torch.Size([4]))
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        *,
        low: Tensor | float = -1.0,
        high: Tensor | float = 1.0,
        upscale: float = 5.0,
        tanh_loc: bool = False,
        event_dims: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale = location_scale("TruncatedNormal", loc, scale)
        if tanh_loc:
            self.loc = squeeze_location(self.loc, upscale)
        self._half = self.loc.dtype in HALF
        self._loc, self._scale = (self.loc.float(), self.scale.float()) if self._half else (self.loc, self.scale)
        self._bounds = as_bounds("TruncatedNormal", low, high, self._loc)
        batch, event, self._axes = event_split("TruncatedNormal", self.loc.shape, event_dims)
        super().__init__(batch, event, validate_args)

    @property
    def low(self) -> Tensor | float:
        """The lower bound."""
        return self._bounds.low

    @property
    def high(self) -> Tensor | float:
        """The upper bound."""
        return self._bounds.high

    @property
    def support(self) -> Constraint:
        """From low to high, both included."""
        return interval(self.low, self.high, len(self._axes))

    @property
    def deterministic_sample(self) -> Tensor:
        """E a, the mean."""
        return self.mean

    @property
    def mean(self) -> Tensor:
        """E a, within the bounds; differentiable."""
        mass = self._mass()
        return self._placed(mass.anchor, mass.average(mass.offset))

    @property
    def mode(self) -> Tensor:
        """Loc held within the bounds."""
        return self._narrowed(hold(self._loc, self.low, self.high))

    @property
    def variance(self) -> Tensor:
        """Var a for each dimension of the event; differentiable."""
        mass = self._mass()
        return self._narrowed(mass.average((mass.offset - mass.average(mass.offset)).square()))

    def rsample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw an action of shape ``[*sample_shape, *batch, *event]`` that gradients flow through."""
        return self._placed(hold(self._loc.detach(), self.low, self.high), self._offset(sample_shape, generator))

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw and score the value before it is rounded."""
        if not torch.is_grad_enabled():
            return self._scored_constant(sample_shape, generator)
        mass, offset = self._mass(), self._offset(sample_shape, generator)
        return self._placed(mass.anchor, offset), self._score(mass, offset)

    def sample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same with the action a constant, also to the gradient of its log-prob (the score function)."""
        if not torch.is_grad_enabled():
            return self._scored_constant(sample_shape, generator)
        with torch.no_grad():
            offset = self._offset(sample_shape, generator)
        mass = self._mass()
        return self._placed(mass.anchor, offset), self._score(mass, offset)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of an action ``[..., *batch, *event]``, of shape ``[..., *batch]``; −inf outside the bounds."""
        value = self._checked(value)
        outside, mass = self._bounds.outside(value), self._mass()
        if not value.is_floating_point() or value.dtype in HALF:
            value = value.to(self._loc.dtype)
        # What is outside is scored at a bound first: infinity would turn the gradients into NaN.
        return self._score(mass, hold(value, self.low, self.high) - mass.anchor, outside)

    def entropy(self) -> Tensor:
        """−E log p(a), of shape ``[*batch]``; differentiable."""
        mass = self._mass()
        return sum_event(mass.log_norm - mass.average(mass.fall), self._axes)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> TruncatedNormal:
        """The same distribution over a larger batch; no memory is copied."""
        shape, (low, high) = Size(batch_shape) + self.event_shape, self._bounds.given
        return TruncatedNormal(
            self.loc.expand(shape),
            self.scale.expand(shape),
            low=low,
            high=high,
            event_dims=len(self._axes),
            validate_args=self._validate_args,
        )

    def _mass(self) -> Mass:
        return mass_of(self._loc, self._scale, self.low, self.high)

    def _scored_constant(self, sample_shape: Sequence[int], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw and score where no gradient is wanted: what finds the draw knows the mass, at a third of the price."""
        survival = _uniform(self._loc, sample_shape, generator)
        value, log_p = scored_quantile(survival, *self._doubled())
        return value.to(self.loc.dtype), sum_event(log_p, self._axes).to(self._loc.dtype)

    def _doubled(self) -> tuple[Tensor, Tensor, Tensor | float, Tensor | float]:
        low, high = (x.double() if isinstance(x, Tensor) else x for x in (self.low, self.high))
        return self._loc.double(), self._scale.double(), low, high

    def _offset(self, sample_shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
        """How far from the anchor a draw lies; its gradient is the implicit one."""
        loc, scale = self._loc, self._scale
        with_slopes = torch.is_grad_enabled()
        draw = quantile(_uniform(loc, sample_shape, generator), *self._doubled(), slopes=with_slopes)
        offset = draw.offset.to(loc.dtype)
        if not with_slopes:
            return offset
        # Both differences are zero: they bring in the gradients alone.
        offset = torch.addcmul(offset, draw.by_loc.to(loc.dtype), loc - loc.detach())
        return torch.addcmul(offset, draw.by_scale.to(loc.dtype), scale - scale.detach())

    def _placed(self, anchor: Tensor, offset: Tensor) -> Tensor:
        return self._narrowed(hold(anchor + offset, self.low, self.high))

    def _score(self, mass: Mass, offset: Tensor, outside: Tensor | None = None) -> Tensor:
        score = fall_at(offset, self._scale, mass.slope) - mass.log_norm
        if outside is not None:
            score = score.masked_fill(outside, -math.inf)
        return sum_event(score, self._axes)

    def _narrowed(self, value: Tensor) -> Tensor:
        return value.to(self.loc.dtype) if self._half else value

    def _check_parameters(self) -> None:
        super()._check_parameters()
        low, high = torch.as_tensor(self.low), torch.as_tensor(self.high)
        require(low < high, self, "low", low, "low < high")


def _uniform(like: Tensor, sample_shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Numbers from 2⁻⁵⁴ to 1 in float64."""
    if generator is None and not sample_shape:
        uniform = torch.rand_like(like, dtype=torch.float64)
    else:
        shape = (*sample_shape, *like.shape)
        uniform = torch.rand(shape, dtype=torch.float64, device=like.device, **of_generator(generator))
    return uniform.clamp_min_(2.0**-54)
