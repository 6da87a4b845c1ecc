"""From what a network gives to the location and scale of a normal distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from keywork._errors import SpecError

_LEAST_BIASED = 0.01


class NormalParamExtractor(nn.Module):
    """loc, scale = x[..., :d], max(f(x[..., d:]), scale_lb), for x of shape ``[*B, 2d]``.

    ================================  ==========================================================================
    ``biased_softplus_<bias>_<min>``  log(1 + e^(x + b)) + min, with b such that f(0) = bias; defaults 1.0, 0.01
    ``softplus``                      log(1 + e^x)
    ``exp``                           e^x
    ``relu``                          max(x, 0)
    ``expln``                         e^x for x ≤ 0, 1 + log(1 + x) above (Schmidhuber's group, PGPE)
    ``none``                          x
    a callable                        whatever it returns
    ================================  ==========================================================================

    Below ``scale_lb`` the scale is held, but its gradient stays that of f: a plain clamp has none, and a scale that
    once got there could never grow again. (``relu`` itself has none below zero.)

    Args:
        scale_mapping: one of the names above, or a callable that maps a tensor to one of the same shape.
        scale_lb: lower bound of the scale.

    Raises:
        SpecError: an unknown mapping, or one whose bias is not above its minimum.

    >>> loc, scale = NormalParamExtractor()(torch.zeros(3, 4))
    >>> loc.shape, scale[0]
    (torch.Size([3, 2]), tensor([1., 1.]))
    """

    def __init__(
        self, scale_mapping: str | Callable[[Tensor], Tensor] = "biased_softplus_1.0", scale_lb: float = 1e-4
    ) -> None:
        super().__init__()
        self.scale_mapping = scale_mapping
        self.scale_lb = scale_lb
        if callable(scale_mapping):
            self._map, least = scale_mapping, -math.inf
        else:
            self._map, least = _mapping(scale_mapping)
        self._clamps = least < scale_lb

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Split the first tensor; any others are passed on behind.

        Returns:
            ``(loc, scale, *others)``, the first two of shape ``[*B, d]``.

        Raises:
            SpecError: the last dimension is odd, or there is none.
        """
        first, *others = tensors
        if first.ndim == 0 or first.shape[-1] % 2:
            raise SpecError(
                f"NormalParamExtractor cannot split a tensor of shape {list(first.shape)}: its last dimension must be "
                "even, one half for loc and one for scale. Give the network before it out_features = 2 * (the number "
                "of action dimensions)."
            )
        loc, raw = first.chunk(2, -1)
        return loc, self.scale(raw), *others

    def scale(self, raw: Tensor) -> Tensor:
        """f, held at the lower bound."""
        scale = self._map(raw)
        if self._clamps:
            # In this order: the difference is exactly zero, and the value exactly the clamped one.
            scale = scale.detach().clamp_min(self.scale_lb) + (scale - scale.detach())
        return scale

    def extra_repr(self) -> str:
        """The arguments."""
        return f"scale_mapping={self.scale_mapping!r}, scale_lb={self.scale_lb}"


def _biased_softplus(x: Tensor, shift: float, least: float) -> Tensor:
    return F.softplus(x + shift) + least


def _expln(x: Tensor) -> Tensor:
    # Both branches see only their own side, so that the one not taken neither overflows nor spoils the gradient.
    return torch.where(x > 0.0, x.clamp_min(0.0).log1p() + 1.0, x.clamp_max(0.0).exp())


def _identity(x: Tensor) -> Tensor:
    return x


_MAPPINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": F.softplus,
    "exp": torch.exp,
    "relu": torch.relu,
    "expln": _expln,
    "none": _identity,
}


def _mapping(name: str) -> tuple[Callable[[Tensor], Tensor], float]:
    """Return a mapping of the scale and a lower bound of its values."""
    if name in _MAPPINGS:
        return _MAPPINGS[name], -math.inf
    head, *numbers = name.removeprefix("biased_softplus").split("_")
    try:
        bias, least = [*map(float, numbers), *(1.0, _LEAST_BIASED)[len(numbers) :]]
    except ValueError:
        bias = least = math.nan
    if not name.startswith("biased_softplus") or head or not 0.0 <= least < bias < math.inf:
        raise SpecError(
            f"NormalParamExtractor cannot be built: there is no scale mapping {name!r}. There are "
            f"{', '.join(repr(known) for known in _MAPPINGS)} and 'biased_softplus_<bias>_<min>' with 0 <= min < bias, "
            "such as 'biased_softplus_1.0'; or pass a callable."
        )
    return partial(_biased_softplus, shift=math.log(math.expm1(bias - least)), least=least), least
