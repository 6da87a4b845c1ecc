"""The bounds of a squashed action: y = centre + half · tanh(u) from low to high, and the way back.

Two forms with one set of methods. ``Symmetric`` is for two numbers −b and b, the commonest case, and costs one or two
tensor operations. ``Interval`` is for any others, and for bounds that differ from one dimension to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from keywork._errors import SpecError

from ._base import HALF


@dataclass(frozen=True, slots=True)
class Symmetric:
    """From ``-half`` to ``half``, the same for every dimension."""

    half: float

    @property
    def given(self) -> tuple[float, float]:
        """The two bounds as they were given."""
        return -self.half, self.half

    @property
    def low(self) -> float:
        """The lower bound."""
        return -self.half

    @property
    def high(self) -> float:
        """The upper bound."""
        return self.half

    def squash(self, u: Tensor) -> Tensor:
        """half · tanh(u); never outside the bounds, and on them from |u| ≈ 9 in float32 (19 in float64)."""
        y = u.tanh()
        return y if self.half == 1.0 else y * self.half

    def unsquash(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return (u, side): artanh(y / half), held at the last number inside the bounds, and which bound y is on.

        ``side`` is −1 on (or below) the lower bound, 1 on (or above) the upper one, and 0 inside.
        """
        limit = 1.0 - torch.finfo(y.dtype).eps / 2
        t = y.float() if y.dtype in HALF else y
        t = t if self.half == 1.0 else t / self.half
        inside = t.clamp(-limit, limit)
        return inside.atanh(), (t - inside).sign()

    def stretch(self, t: Tensor) -> Tensor:
        """half · t, for t from −1 to 1."""
        return t * self.half

    def outside(self, y: Tensor) -> Tensor:
        """Where y is beyond the bounds; these are rounded to its type, as a sample on the bound is."""
        return y.abs() > self.half

    def log_half(self) -> float:
        """log half, a number."""
        return math.log(self.half)


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """From ``low`` to ``high``, tensors that broadcast to the event."""

    low: Tensor
    high: Tensor
    numbers: tuple[float, float] | None = None  # which they are; to look at the tensors would be to wait for them

    @property
    def given(self) -> tuple[float, float] | tuple[Tensor, Tensor]:
        """The two bounds as they were given."""
        return self.numbers or (self.low, self.high)

    def squash(self, u: Tensor) -> Tensor:
        """low + (high − low) · σ(2u), which keeps all digits where ``low`` is zero."""
        return torch.lerp(self.low, self.high, (u + u).sigmoid())

    def unsquash(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return (u, side), as ``Symmetric.unsquash``.

        u = ± ½ log1p(2 |y − centre| / m) with m the distance to the nearer bound: exact around the centre, and exact
        next to the bounds, as far as y itself is.
        """
        low, high = self.low.to(y.dtype), self.high.to(y.dtype)
        inside = torch.clamp(y, torch.nextafter(low, high), torch.nextafter(high, low))
        side = (y - inside).sign()
        if y.dtype in HALF:
            inside, low, high = inside.float(), low.float(), high.float()
        off_centre = inside - torch.lerp(low, high, 0.5)
        two = torch.full_like(off_centre, 2.0).copysign(off_centre)
        ratio = two * off_centre / torch.minimum(inside - low, high - inside)
        # A bound of zero has numbers next to it for which the ratio overflows: they count as |u| = 44.
        return ratio.clamp_max(torch.finfo(ratio.dtype).max).log1p() / two, side

    def stretch(self, t: Tensor) -> Tensor:
        """centre + half · t, for t from −1 to 1."""
        return torch.lerp(self.low, self.high, 0.5 * (t + 1.0))

    def outside(self, y: Tensor) -> Tensor:
        """Where y is beyond the bounds; these are rounded to its type, as a sample on the bound is."""
        return (y < self.low.to(y.dtype)) | (y > self.high.to(y.dtype))

    def log_half(self) -> Tensor:
        """log half, for each dimension."""
        return (self.high - torch.lerp(self.low, self.high, 0.5)).log()


Bounds = Symmetric | Interval
_UNIT = Symmetric(1.0)


def as_bounds(owner: str, low: Any, high: Any, like: Tensor) -> Bounds:
    """Build the bounds from numbers, arrays or tensors.

    Args:
        owner: whose bounds they are, for the message.
        low: lower bound, less than ``high``; checked here where both are numbers, for tensors with ``validate_args``.
        high: upper bound.
        like: a tensor with the type and device of the computation, of the shape that the bounds broadcast to.

    Raises:
        SpecError: low ≥ high, or the shapes do not broadcast.
    """
    if isinstance(low, (float, int)) and isinstance(high, (float, int)):
        if not -math.inf < low < high < math.inf:
            raise SpecError(
                f"{owner} cannot be built: low={low} and high={high}, which must be finite and low below high. "
                "Check the bounds of the action's spec; an unbounded action takes IndependentNormal."
            )
        if low == -high:
            return _UNIT if high == 1 else Symmetric(float(high))
        lower, upper = (torch.full((), x, dtype=like.dtype, device=like.device) for x in (low, high))
        return Interval(lower, upper, (float(low), float(high)))
    low, high = (torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in (low, high))
    for bound in (low, high):
        if bound.ndim > like.ndim or any(
            b not in (1, n) for b, n in zip(reversed(bound.shape), reversed(like.shape), strict=False)
        ):
            raise SpecError(
                f"{owner} cannot be built: a bound has shape {list(bound.shape)}, which does not broadcast to that of "
                f"loc, {list(like.shape)}. Give low and high as numbers, or with the shape of one action."
            )
    return Interval(low, high)
