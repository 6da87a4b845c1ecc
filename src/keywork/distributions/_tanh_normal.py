"""A normal distribution squashed by a tanh into the bounds of a continuous action."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import constraints

from ._base import HALF, NO_SHAPE, ActionDistribution, require
from ._bounds import as_bounds
from ._constraints import Constraint, interval
from ._independent_normal import HALF_LOG_TWO_PI
from ._location_scale import event_split, location_scale, squeeze_location, sum_event
from ._noise import constant_sample, standard_normal
from ._tanh_moments import expected_log_slope, mean_of_tanh, mode_before_tanh, variance_of_tanh

# log N(0, 1) at its mode, and the 2 log 2 of the slope of tanh.
_PER_DIMENSION = HALF_LOG_TWO_PI + 2.0 * math.log(2.0)


class TanhNormal(ActionDistribution):
    """a = centre + half · tanh(u), u ~ N(loc, scale²): from low to high, with half = (high − low) / 2.

    log p(a) = Σ [log N(u; loc, scale²) − log half − 2 (log 2 − u − log(1 + e^(−2u)))], summed over the event
    (Haarnoja et al., Soft Actor-Critic, 2018, appendix C).

    ==============  ==========================================================================================
    RANDOM          a draw
    DETERMINISTIC   centre + half · tanh(loc): the draw without noise, which is the median
    MEAN            E a, with an error below 1e-6 · half
    MODE            where the density is highest; near a bound as soon as the scale is above √½
    ==============  ==========================================================================================

    **How exact a score is.** ``sample_and_log_prob`` and ``rsample_and_log_prob`` score the u that was drawn: they
    are exact for any loc. A *stored* action has been rounded. On (−1, 1), ``log_prob`` recovers u to about
    e^(2|u|) · ε / 16, where ε is the spacing of the floats at 1. The score of a *draw* of a scale of 1, whose u is near
    loc, is then within 0.01 of the truth for |u| up to 6 in float32, 16 in float64, 2 in float16 and 1 in bfloat16. A
    narrower scale divides the error in u; and far from loc, as under a policy that has moved on, the score is as much
    steeper as u is away, and the error with it. Near another bound b the error in u is |b| / half times as large, which
    takes ½ log(|b| / half) off these limits: 0.35 at the upper end of (0, 10), 2.65 on (100, 101), where half is 0.5.
    Next to a bound of zero floats are dense, and u is recovered as far as 44.

    An action that was rounded *onto* a bound stands for every u beyond 8.7 (float32; 18.7, 4.2 and 3.1 for the other
    types). It is scored at the u among them that is nearest to loc, so that a saturated policy gives its own actions
    a plausible score and a bounded gradient. Outside the bounds the log-prob is −inf.

    Args:
        loc: mean of u, ``[*B, *event]``, or a number.
        scale: standard deviation of u, positive, broadcast to ``loc``, or a number.
        low: lower bound, a number, or a tensor on the device of loc that broadcasts to the event.
        high: upper bound; bounds of −b and b as numbers are the fastest.
        upscale: with ``tanh_loc``, the bound of the location, before the squashing.
        tanh_loc: keep the location within ±upscale: upscale · tanh(loc / upscale), whatever the bounds are.
        event_dims: how many of the last dimensions make one action; None is one, or zero for a scalar.
        validate_args: True checks the values of loc, scale and tensor bounds, and of the actions that are scored; this
            waits for the device.

    Raises:
        SpecError: low ≥ high, or shapes that do not broadcast.

    >>> dist = TanhNormal(torch.zeros(4, 2), torch.ones(4, 2), low=0.0, high=10.0)
    >>> dist.deterministic_sample[0], dist.rsample_and_log_prob()[1].shape
    (tensor([5., 5.]), torch.Size([4]))
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
        self.loc, self.scale = location_scale("TanhNormal", loc, scale)
        if tanh_loc:
            self.loc = squeeze_location(self.loc, upscale)
        self._half = self.loc.dtype in HALF
        self._loc, self._scale = (self.loc.float(), self.scale.float()) if self._half else (self.loc, self.scale)
        self._bounds = as_bounds("TanhNormal", low, high, self._loc)
        batch, event, self._axes = event_split("TanhNormal", self.loc.shape, event_dims)
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
        """From low to high, both included: an action can be rounded onto a bound."""
        return interval(self.low, self.high, len(self._axes))

    @property
    def deterministic_sample(self) -> Tensor:
        """centre + half · tanh(loc), the median."""
        return self._narrowed(self._bounds.squash(self._loc))

    @property
    def mean(self) -> Tensor:
        """E a, with an error below 1e-6 · half; differentiable."""
        return self._narrowed(self._bounds.stretch(mean_of_tanh(self._loc, self._scale)))

    @property
    def mode(self) -> Tensor:
        """The action of the highest density; differentiable. Of two tied ones, the one towards ``high``."""
        return self._narrowed(self._bounds.squash(mode_before_tanh(self._loc, self._scale)))

    @property
    def variance(self) -> Tensor:
        """Var a for each dimension of the event, with an error below 1e-6 · half²; differentiable."""
        half = 0.5 * (self.high - self.low)
        return self._narrowed(variance_of_tanh(self._loc, self._scale) * half**2)

    def rsample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw an action of shape ``[*sample_shape, *batch, *event]`` that gradients flow through."""
        noise = standard_normal(self._loc, sample_shape, generator)
        return self._narrowed(self._bounds.squash(torch.addcmul(self._loc, self._scale, noise)))

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw and score the value before the tanh: exact in saturation."""
        noise = standard_normal(self._loc, sample_shape, generator)
        u = torch.addcmul(self._loc, self._scale, noise)
        return self._narrowed(self._bounds.squash(u)), self._score(u, noise)

    def sample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same with the action a constant, also to the gradient of its log-prob (the score function)."""
        if not torch.is_grad_enabled():
            return self.rsample_and_log_prob(sample_shape, generator=generator)
        u, noise = constant_sample(self._loc, self._scale, sample_shape, generator)
        return self._narrowed(self._bounds.squash(u)), self._score(u, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of an action ``[..., *batch, *event]``, of shape ``[..., *batch]``; −inf outside the bounds."""
        value = self._checked(value)
        if not value.is_floating_point():
            value = value.to(self._loc.dtype)
        u, side = self._bounds.unsquash(value)
        # On a bound, u moves on to loc where that lies further out; side is zero everywhere else.
        u = torch.addcmul(u, side, (side * (self._loc.detach() - u)).relu())
        return self._score(u, (u - self._loc) / self._scale, self._bounds.outside(value))

    def entropy(self) -> Tensor:
        """H(u) + E log |da/du|, of shape ``[*batch]``; error below 1e-6 a dimension, differentiable."""
        log_slope = expected_log_slope(self._loc, self._scale) + self._bounds.log_half()
        return sum_event(self._scale.log() + log_slope + (0.5 + HALF_LOG_TWO_PI), self._axes)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> TanhNormal:
        """The same distribution over a larger batch; no memory is copied."""
        shape, (low, high) = Size(batch_shape) + self.event_shape, self._bounds.given
        return TanhNormal(
            self.loc.expand(shape),
            self.scale.expand(shape),
            low=low,
            high=high,
            event_dims=len(self._axes),
            validate_args=self._validate_args,
        )

    def _score(self, u: Tensor, noise: Tensor, outside: Tensor | None = None) -> Tensor:
        log_spread, log_half, constant = self._scale.log(), self._bounds.log_half(), _PER_DIMENSION
        if isinstance(log_half, Tensor):
            log_spread = log_spread + log_half
        else:  # a number costs nothing after the sum
            constant += log_half
        surprise = torch.addcmul(log_spread, noise, noise, value=0.5)
        # softplus with beta = -2 is −½ log(1 + e^(−2u)): u − 2 · (it) is log(2 cosh u), in one operation less.
        log_cosh = torch.sub(u, F.softplus(u, -2.0, 40.0), alpha=2.0)
        if outside is not None:
            log_cosh = log_cosh.masked_fill(outside, -math.inf)
        total = sum_event(torch.sub(surprise, log_cosh, alpha=2.0), self._axes)
        return -constant * self._event_shape.numel() - total

    def _narrowed(self, value: Tensor) -> Tensor:
        return value.to(self.loc.dtype) if self._half else value

    def _check_parameters(self) -> None:
        super()._check_parameters()
        low, high = torch.as_tensor(self.low), torch.as_tensor(self.high)
        require(low < high, self, "low", low, "low < high")
