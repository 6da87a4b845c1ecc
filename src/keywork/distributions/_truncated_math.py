"""The density of a normal distribution between two bounds: its mass, its averages, and its quantiles.

The difference Φ(β) − Φ(α) of the textbook loses all its digits in a tail and for a narrow interval. Here everything is
measured from the *anchor* c, the point of the interval that is nearest to loc, and so the one of the highest density:

    p(c + t) ∝ exp(−E(t)),   E(t) = τ (τ/2 + a),   τ = t / scale,   a = (c − loc) / scale,

with no large numbers in E wherever there is mass. That mass lies within 2 Y / (|a| + √(a² + 2Y)) scales of the anchor,
E ≤ Y = 21, but for a part of 1e-9. There one rule of 32 points integrates it, equally well for an untruncated bell, for
the exponential decay of a far tail and for a nearly uniform piece (errors: 1e-8 of the mass, 4e-7 of the variance).
Averages are sums with positive terms, and so have relative precision, as have their gradients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_POINTS = 32
_REACH = 21.0  # Y
_FAR = 25.0  # scales beyond which a tail is expanded; closer, its mass is no smaller than 1e-138


class Mass(NamedTuple):
    """What of a truncated normal distribution averages are made of; k numbers the points of the rule."""

    anchor: Tensor  # c, a constant
    slope: Tensor  # a
    log_norm: Tensor  # log ∫ exp(−E) dt
    offset: Tensor  # tₖ, constants
    energy: Tensor  # E(tₖ)
    probability: Tensor  # the share of the mass at tₖ

    def average(self, values: Tensor) -> Tensor:
        """Σₖ pₖ valuesₖ."""
        return (self.probability * values).sum(0)


def hold(value: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """The point from low to high that is nearest to the value."""
    return value.clamp(low, high)  # type: ignore[arg-type]  # two numbers or two tensors, as the bounds have them


def mass_of(loc: Tensor, scale: Tensor, low: Tensor | float, high: Tensor | float) -> Mass:
    """Lay the points where the mass is, elementwise; differentiable in ``loc`` and ``scale``."""
    anchor = hold(loc.detach(), low, high)
    slope = (anchor - loc) / scale
    node, weight = _rule(loc)
    with torch.no_grad():
        steep = slope.abs()
        reach = scale * (2.0 * _REACH) / (steep + (steep.square() + 2.0 * _REACH).sqrt())
        left, right = torch.maximum(low - anchor, -reach), torch.minimum(high - anchor, reach)
        width = right - left
        offset = torch.addcmul(left, width, node)
    energy = energy_at(offset, scale, slope)
    share = energy.neg().exp() * weight
    total = share.sum(0)
    return Mass(anchor, slope, (total * width).log(), offset, energy, share / total)


def energy_at(offset: Tensor, scale: Tensor, slope: Tensor) -> Tensor:
    """E(t) = τ (τ/2 + a), τ = t / scale."""
    steps = offset / scale
    return steps * torch.add(slope, steps, alpha=0.5)


def _rule(like: Tensor) -> tuple[Tensor, Tensor]:
    """Points and weights on (0, 1), on a new dimension in front (Fejér's first rule: cos² of evenly spaced angles).

    It is computed where it is used: a table would be copied there, and a GPU would wait for it.
    """
    k = torch.arange(_POINTS, dtype=like.dtype, device=like.device)
    angle = (k + 0.5) * (math.pi / _POINTS)
    j = 2.0 * k[1 : _POINTS // 2 + 1]
    waves = torch.cos(angle.unsqueeze(-1) * j) / (j.square() - 1.0)
    weight = (0.5 - waves.sum(-1)) * (2.0 / _POINTS)
    shape = (-1, *[1] * like.ndim)
    return (0.5 * angle).cos().square().view(shape), weight.view(shape)


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

    With α = |near − loc| / scale for the near bound (negative for a loc inside), β = α + w for the other, Q = 1 − Φ,

        Q(ξ) = v Q(α) + (1 − v) Q(β)   is solved for   ξ = α + τ.

    Up to α = 25 this is done with Φ⁻¹ of the smaller tail. Beyond, with Q(ξ) = φ(ξ) / ξ · g(ξ), g(ξ) = 1 − 1/ξ² + …,
    the logarithm of the equation, τ (α + τ/2) + log(ξ/α) + log(g(α)/g(ξ)) = y, is a quadratic one with a correction.
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
    mirrored = loc + loc > high + low
    side = torch.where(mirrored, -1.0, 1.0).to(loc.dtype)
    start = torch.where(mirrored, loc - high, low - loc) / scale
    width = (high - low) / scale
    end = start + width
    far = start > _FAR

    near_tail, end_tail = _tail(start), _tail(end)
    above = torch.lerp(end_tail, near_tail, survival)
    below = torch.addcmul(_tail(-start), 1.0 - survival, near_tail - end_tail)
    bell = torch.special.ndtri(torch.minimum(above, below))
    xi = torch.minimum(torch.maximum(torch.where(below < above, bell, -bell), start), end)

    origin = start.clamp_min(_FAR)
    log_survival = torch.log1p((1.0 - survival) * torch.expm1(-_decay(width, origin)))
    steps = _quadratic_root(-log_survival, origin)
    for _ in range(2):
        steps = _quadratic_root(-log_survival - _log_ratio(steps, origin), origin)
    steps = torch.minimum(steps, width)

    inside = start < 0.0
    offset = side * scale * torch.where(far, steps, torch.where(inside, xi, xi - start))
    if not slopes:
        return Draw(offset, offset, offset)
    steps = torch.where(far, steps, xi - start)
    by_near = survival * torch.exp(steps * (start + 0.5 * steps))
    by_end = (1.0 - survival) * torch.exp((steps - width) * (start + 0.5 * (steps + width)))
    by_loc_far = -torch.expm1(-_log_ratio(steps, origin)) + by_end * torch.expm1(-_log_ratio(width, origin))
    by_loc = torch.where(far, by_loc_far, 1.0 - by_near - by_end)
    by_scale_far = steps + start * by_loc - width * by_end
    by_scale = torch.where(far, by_scale_far, xi - start * by_near - end * by_end)
    return Draw(offset, by_loc, side * by_scale)


def _tail(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(x * math.sqrt(0.5))


def _quadratic_root(y: Tensor, start: Tensor) -> Tensor:
    """The τ ≥ 0 with τ (α + τ/2) = y, which loses no digits."""
    return 2.0 * y / (start + (start.square() + 2.0 * y).sqrt())


def _decay(steps: Tensor, start: Tensor) -> Tensor:
    """log Q(α) − log Q(α + τ)."""
    return steps * torch.add(start, steps, alpha=0.5) + _log_ratio(steps, start)


def _log_ratio(steps: Tensor, start: Tensor) -> Tensor:
    """log(ξ/α) + log(g(α)/g(ξ)), ξ = α + τ; the ones of g cancel before they can hide the rest."""
    g_start, g_end = _correction(start), _correction(start + steps)
    return torch.log1p(steps / start) + torch.log1p((g_start - g_end) / (1.0 + g_end))


def _correction(x: Tensor) -> Tensor:
    """g(x) − 1 = −1/x² + 3/x⁴ − 15/x⁶; at x = 25 the next term is 7e-10."""
    v = x.square().reciprocal()
    return -v * (1.0 - v * (3.0 - 15.0 * v))
