"""The density of a normal distribution between two bounds: its mass, its averages, and its quantiles.

The difference Φ(β) − Φ(α) of the textbook loses all its digits in a tail and for a narrow interval. Here everything is
measured from the *anchor* c, the point of the interval that is nearest to loc, and so the one of the highest density:

    p(c + t) ∝ exp(−E(t)),   E(t) = τ (τ/2 + a),   τ = t / scale,   a = (c − loc) / scale,

with no large numbers in E wherever there is mass. That mass lies within 2 Y / (|a| + √(a² + 2Y)) scales of the anchor,
E ≤ Y = 21, but for a part of 1e-9. There one rule of 24 points integrates it, equally well for an untruncated bell, for
the exponential decay of a far tail and for a nearly uniform piece (errors: 1e-9 of the mass, 4e-7 of the variance).
Averages are sums with positive terms, and so have relative precision, as have their gradients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ._base import values_at_hand
from ._tanh_moments import _column as column

_LOWER_NODES = (
    0.0024063900014893447,
    0.012635722014345263,
    0.0308627239986336,
    0.056792236497799464,
    0.08999900701304853,
    0.12993790421072282,
    0.17595317403151223,
    0.22728926430558022,
    0.28310324618697746,
    0.3424786601519183,
    0.40444056626319186,
    0.4679715535686972,
)  # of Gauss and Legendre's rule of 24 points on (0, 1); the others mirror them
_LOWER_WEIGHTS = (
    0.006170614899994345,
    0.01426569431446678,
    0.022138719408709706,
    0.02964929245771818,
    0.03667324070554008,
    0.0430950807659766,
    0.04880932605205696,
    0.05372213505798278,
    0.05775283402686276,
    0.06083523646390165,
    0.06291872817341412,
    0.06396909767337601,
)
_NODES = (*_LOWER_NODES, *(1.0 - node for node in reversed(_LOWER_NODES)))
_WEIGHTS = (*_LOWER_WEIGHTS, *reversed(_LOWER_WEIGHTS))
_REACH = 21.0  # Y
_ROOT_HALF = math.sqrt(0.5)
_CONSTANT = math.log(2.0) - 0.5 * math.log(2.0 * math.pi)  # of a log-density whose mass is twice as large
_FAR = 35.0  # scales beyond which a tail is expanded; closer, its mass is no smaller than 1e-268


class Mass(NamedTuple):
    """What of a truncated normal distribution averages are made of; k numbers the points of the rule."""

    anchor: Tensor  # c, a constant
    slope: Tensor  # a
    log_norm: Tensor  # log ∫ exp(−E) dt
    offset: Tensor  # tₖ, constants
    fall: Tensor  # −E(tₖ)
    share: Tensor  # of the mass, at tₖ, in units of
    total: Tensor  # their sum

    def average(self, values: Tensor) -> Tensor:
        """Σₖ shareₖ valuesₖ / total."""
        return (self.share * values).sum(0) / self.total


def hold(value: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """The point from low to high that is nearest to the value."""
    return value.clamp(low, high)  # type: ignore[arg-type]  # two numbers or two tensors, as the bounds have them


def mass_of(loc: Tensor, scale: Tensor, low: Tensor | float, high: Tensor | float) -> Mass:
    """Lay the points where the mass is, elementwise; differentiable in ``loc`` and ``scale``."""
    anchor = hold(loc.detach(), low, high)
    slope = (anchor - loc) / scale
    with torch.no_grad():
        steep = slope.abs()
        reach = scale * (2.0 * _REACH) / (steep + (steep.square() + 2.0 * _REACH).sqrt())
        left, right = torch.maximum(low - anchor, -reach), torch.minimum(high - anchor, reach)
        width = right - left
        offset = torch.addcmul(left, width, column(_NODES, loc))
    fall = fall_at(offset, scale, slope)
    share = fall.exp() * column(_WEIGHTS, loc)
    total = share.sum(0)
    return Mass(anchor, slope, (total * width).log(), offset, fall, share, total)


def fall_at(offset: Tensor, scale: Tensor, slope: Tensor) -> Tensor:
    """−E(t) = τ (−a − τ/2), τ = t / scale: by how much the log-density at c + t is below that at c."""
    steps = offset / scale
    return steps * torch.sub(-slope, steps, alpha=0.5)


class Draw(NamedTuple):
    """A quantile and how it moves with the parameters, constants all."""

    offset: Tensor  # x − c
    by_loc: Tensor  # dx / dloc
    by_scale: Tensor  # dx / dscale


@torch.no_grad()
def quantile(
    survival: Tensor, loc: Tensor, scale: Tensor, low: Tensor | float, high: Tensor | float, *, slopes: bool
) -> Draw:
    """The x that leaves the share ``survival`` of the mass beyond it, seen from the bound that is nearer to loc.

    With α = ± (near − loc) / scale (negative for a loc inside), β = α + w for the other bound, and Q = 1 − Φ,

        Q(ξ) = v Q(α) + (1 − v) Q(β)   is solved for   ξ = α + τ.

    Up to α = 35 this is done with Φ⁻¹. Beyond, with Q(ξ) = φ(ξ) / ξ · g(ξ), g(ξ) = 1 − 1/ξ² + …, the logarithm of the
    equation, τ (α + τ/2) + log(ξ/α) + log(g(α)/g(ξ)) = y, is a quadratic one with a correction.
    Differentiating the equation, with v fixed, gives the slopes of x (Figurnov et al., Implicit Reparameterization
    Gradients, 2018): dx/dloc = 1 − v φ(α)/φ(ξ) − (1 − v) φ(β)/φ(ξ), which is zero on both bounds.

    Args:
        survival: v in (0, 1), float64, with any leading dimensions.
        loc: mean before the truncation, float64, as all others.
        scale: standard deviation before the truncation.
        low: lower bound.
        high: upper bound.
        slopes: False leaves the two derivatives out: they are zero.
    """
    frame = _frame_of(loc, scale, low, high)
    xi, _ = _near(survival, frame)
    far, steps = _far(survival, frame), xi - frame.start
    # From the anchor to x: the anchor is loc where that is inside.
    from_anchor = torch.where(frame.start < 0.0, xi, steps)
    if far is not None:
        steps = torch.where(far.where, far.steps, steps)
        from_anchor = torch.where(far.where, steps, from_anchor)
    if not slopes:
        return Draw(frame.signed * from_anchor, *[torch.zeros_like(xi)] * 2)
    start, width, end = frame.start, frame.width, frame.end
    by_near = survival * torch.exp(steps * (start + 0.5 * steps))
    by_end = (1.0 - survival) * torch.exp((steps - width) * (start + 0.5 * (steps + width)))
    by_loc = 1.0 - by_near - by_end
    by_scale = xi - start * by_near - end * by_end
    if far is not None:
        by_loc_far = by_end * torch.expm1(-far.to_end) - torch.expm1(-_log_ratio(steps, far.origin))
        by_loc = torch.where(far.where, by_loc_far, by_loc)
        by_scale = torch.where(far.where, steps + start * by_loc - width * by_end, by_scale)
    return Draw(frame.signed * from_anchor, by_loc, frame.signed.sign() * by_scale)


@torch.no_grad()
def scored_quantile(
    survival: Tensor, loc: Tensor, scale: Tensor, low: Tensor | float, high: Tensor | float
) -> tuple[Tensor, Tensor]:
    """The x of :func:`quantile`, and log p(x), from what has been computed by then. The arguments are the same.

    log p(x) = −ξ²/2 − log (Q(α) − Q(β)) − log scale − ½ log 2π, in a far tail with Q(α) = φ(α) / α · g(α).
    """
    frame = _frame_of(loc, scale, low, high)
    xi, mass = _near(survival, frame)
    x = torch.addcmul(loc, frame.signed, xi)
    log_p = _CONSTANT - torch.addcmul((mass * scale).log_(), xi, xi, value=0.5)
    far = _far(survival, frame)
    if far is not None:
        at_end = torch.addcmul(hold(loc, low, high), frame.signed, far.steps)
        log_mass = torch.log(-far.whole * scale / far.origin) + _log_g(far.origin)
        x = torch.where(far.where, at_end, x)
        log_p = torch.where(far.where, -far.steps * (far.origin + 0.5 * far.steps) - log_mass, log_p)
    return hold(x, low, high), log_p


class _Frame(NamedTuple):
    start: Tensor  # α
    width: Tensor  # w
    end: Tensor  # β
    signed: Tensor  # the scale, negative where high is nearer to loc than low


class _Far(NamedTuple):
    where: Tensor  # α > 35
    steps: Tensor  # τ
    origin: Tensor  # α
    to_end: Tensor  # log(β/α) + log g(α) − log g(β)
    whole: Tensor  # Q(β) / Q(α) − 1


def _frame_of(loc: Tensor, scale: Tensor, low: Tensor | float, high: Tensor | float) -> _Frame:
    below, above, rate = low - loc, loc - high, scale.reciprocal()
    start, width = torch.maximum(below, above) * rate, rate * (high - low)
    return _Frame(start, width, start + width, torch.copysign(scale, below - above))


def _near(survival: Tensor, frame: _Frame) -> tuple[Tensor, Tensor]:
    """ξ, and 2 Q(α) − 2 Q(β)."""
    start_tail, end_tail = (frame.start * _ROOT_HALF).erfc_(), (frame.end * _ROOT_HALF).erfc_()
    mass = start_tail - end_tail
    # Of a tail of nearly one the inverse loses no more digits than the uniform number has had.
    xi = torch.special.ndtri(torch.addcmul(end_tail, survival, mass).mul_(0.5)).neg_()
    return torch.clamp(xi, frame.start, frame.end), mass


def _far(survival: Tensor, frame: _Frame) -> _Far | None:
    """The same in a far tail; None where it can be seen at little cost that there is none, which is the rule."""
    start, width = frame.start, frame.width
    if values_at_hand(start) and (not start.numel() or start.max().item() <= _FAR):
        return None
    origin = start.clamp_min(_FAR)
    to_end = _log_ratio(width, origin)
    whole = torch.expm1(-width * torch.add(origin, width, alpha=0.5) - to_end)
    y = torch.log1p((1.0 - survival) * whole).neg()
    # The correction is y / α² at first, and then the one at the τ that this gives: its error is of order α⁻⁶.
    steps = _quadratic_root(y / (1.0 + origin.square().reciprocal()), origin)
    steps = torch.minimum(_quadratic_root(y - _log_ratio(steps, origin), origin), width)
    return _Far(start > _FAR, steps, origin, to_end, whole)


def _quadratic_root(y: Tensor, start: Tensor) -> Tensor:
    """The τ ≥ 0 with τ (α + τ/2) = y, which loses no digits."""
    return 2.0 * y / (start + (start.square() + 2.0 * y).sqrt())


def _log_g(x: Tensor) -> Tensor:
    """−1/x² + 5/(2x⁴); at x = 35 the next term is 7e-9."""
    v = x.square().reciprocal()
    return v * (2.5 * v - 1.0)


def _log_ratio(steps: Tensor, start: Tensor) -> Tensor:
    """log(ξ/α) + log g(α) − log g(ξ).

    The difference of two g that are nearly one is taken before it can be lost.
    """
    v, w = start.square().reciprocal(), (start + steps).square().reciprocal()
    return torch.log1p(steps / start) + (w - v) * (1.0 - 2.5 * (v + w))
