"""A scale that is learned, and the same in every state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from keywork.distributions._normal_param_extractor import NormalParamExtractor


class AddStateIndependentNormalScale(nn.Module):
    """loc, scale = x, max(f(θ), scale_lb), with one learned θ for each of the last dimensions of x.

    Args:
        scale_shape: the shape of θ, such as the action's.
        scale_mapping: f, as :class:`NormalParamExtractor` takes it; ``"exp"`` makes θ the logarithm of the scale.
        scale_lb: lower bound of the scale.
        init_value: of θ, before f.

    >>> loc, scale = AddStateIndependentNormalScale(2)(torch.zeros(3, 2))
    >>> loc.shape, scale[0].tolist()
    (torch.Size([3, 2]), [1.0, 1.0])
    """

    def __init__(
        self,
        scale_shape: int | Sequence[int],
        scale_mapping: str | Callable[[Tensor], Tensor] = "exp",
        scale_lb: float = 1e-4,
        init_value: float = 0.0,
    ) -> None:
        super().__init__()
        shape = (scale_shape,) if isinstance(scale_shape, int) else tuple(scale_shape)
        self.state_independent_scale = nn.Parameter(torch.full(shape, float(init_value)))
        self._extractor = NormalParamExtractor(scale_mapping, scale_lb)

    def forward(self, loc: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Return ``(loc, scale, *others)``, the scale of loc's shape."""
        scale = self._extractor.scale(self.state_independent_scale)
        return loc, scale.expand_as(loc), *others
