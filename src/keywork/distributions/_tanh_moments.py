"""Expectations over u ~ N(loc, scale²) of tanh(u) and of its relatives, and the mode of tanh(u).

None has a closed form, but the logistic function is a mixture of normal distribution functions,

    σ(2u) = ½ (1 + tanh u) ≈ Σᵢ pᵢ Φ(u / cᵢ),   with an error below 1e-7 for six of them

(Monahan and Stefanski, Normal Scale Mixture Approximations to the Logistic Distribution, 1992; the pᵢ and cᵢ here were
fitted anew, for the smallest maximal error). Averaging Φ(u / cᵢ) over u gives Φ(loc / τᵢ) with τᵢ² = cᵢ² + scale²: the
mixture turns each expectation into a short sum, equally good for every loc and scale, and differentiable.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_WEIGHTS = (
    0.009350086770353148,
    0.1108064704845657,
    0.31915637521376145,
    0.37264202459076723,
    0.17010205911643556,
    0.0179429838241167,
)
_RATES = (  # 1 / (2 cᵢ)
    0.2701029268823356,
    0.3677658614122059,
    0.49715087930411156,
    0.670490951446528,
    0.8999020747799685,
    1.2139871062105692,
)
_WIDTHS_SQUARED = tuple(0.25 / rate**2 for rate in _RATES)
_SMALL = 0.1  # scales below which the variance is that of an expansion
_MODE_STEPS = 8


class _Mixture(NamedTuple):
    weight: Tensor  # pᵢ
    width: Tensor  # τᵢ
    z: Tensor  # loc / τᵢ
    bell: Tensor  # √(2/π) exp(−z² / 2)


def _mixture(loc: Tensor, scale: Tensor) -> _Mixture:
    """The terms of the sum, on a new dimension in front."""
    width = (scale.square() + _column(_WIDTHS_SQUARED, loc)).sqrt()
    z = loc / width
    bell = (-0.5 * z.square()).exp() * math.sqrt(2.0 / math.pi)
    return _Mixture(_column(_WEIGHTS, loc), width, z, bell)


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    if like.device.type == "cpu":
        numbers = like.new_tensor(values)
    else:  # made there: a copy from the host would make it wait for the device
        numbers = torch.stack([like.new_full((), value) for value in values])
    return numbers.view(-1, *[1] * like.ndim)


def expected_log_slope(loc: Tensor, scale: Tensor) -> Tensor:
    """E log(1 − tanh² u) = 2 log 2 − 2 Σᵢ pᵢ E|N(loc, τᵢ²)|, elementwise; error below 1e-6.

    Args:
        loc: mean of u.
        scale: standard deviation of u, of the same shape.
    """
    m = _mixture(loc, scale)
    folded = loc * torch.erf(m.z * math.sqrt(0.5)) + m.width * m.bell
    return 2.0 * math.log(2.0) - 2.0 * (m.weight * folded).sum(0)


def mean_of_tanh(loc: Tensor, scale: Tensor) -> Tensor:
    """E tanh u = Σᵢ pᵢ erf(loc / (τᵢ √2)), elementwise, within ±1; error below 1e-6."""
    m = _mixture(loc, scale)
    return (m.weight * torch.erf(m.z * math.sqrt(0.5))).sum(0).clamp(-1.0, 1.0)


def variance_of_tanh(loc: Tensor, scale: Tensor) -> Tensor:
    """Var tanh u = 1 − E sech² u − (E tanh u)², elementwise; error below 1e-6.

    For small scales that would be a difference of nearly equal numbers. There it is Σₖ scale²ᵏ / k! (E dᵏ tanh / duᵏ)²
    to the second term (Chernoff's expansion), whose relative error is scale⁴.
    """
    m = _mixture(loc, scale)
    slope = (m.weight * m.bell / m.width).sum(0)
    bend = (m.weight * m.bell * m.z / m.width.square()).sum(0)
    square = scale.square()
    expansion = square * slope.square() + 0.5 * square.square() * bend.square()
    exact = 1.0 - slope - mean_of_tanh(loc, scale).square()
    return torch.where(scale < _SMALL, expansion, exact.clamp_min(0.0))


def mode_before_tanh(loc: Tensor, scale: Tensor) -> Tensor:
    """The u whose tanh(u) has the highest density: the root of u = loc + 2 scale² tanh(u) on the side of loc.

    Beyond a scale of √½ the density of tanh(u) has two peaks, near the bounds; the one on the side of ``loc`` is
    higher, and with ``loc`` = 0, where they tie, the positive one is taken. On that side u − 2 scale² tanh(u) is
    convex, so that Newton's steps from the right come down to the root without overshooting. The last step alone
    carries the gradient, which by the implicit function theorem is the exact one.
    """
    side = torch.where(loc < 0.0, -1.0, 1.0)
    loc, pull = side * loc, 2.0 * scale.square()
    with torch.no_grad():
        u = loc + pull
        for _ in range(_MODE_STEPS):
            u = _newton_step(u, loc, pull)
    return side * _newton_step(u, loc, pull)


def _newton_step(u: Tensor, loc: Tensor, pull: Tensor) -> Tensor:
    tanh = u.tanh()
    slope = (1.0 - pull * (1.0 - tanh.square())).clamp_min(1e-4)
    return u - (u - loc - pull * tanh) / slope
