"""A scale that is learned, and the same in every state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from keywork._errors import SpecError
from keywork.distributions._normal_param_extractor import NormalParamExtractor


class AddStateIndependentNormalScale(nn.Module):
    """loc, scale = x, max(f(θ), scale_lb), with one learned θ for each of the last dimensions of x.

    Args:
        scale_shape: the shape of θ, such as the action's; one θ for all dimensions if left out.
        scale_mapping: f, as :class:`NormalParamExtractor` takes it; ``"exp"`` makes θ the logarithm of the scale.
        scale_lb: lower bound of the scale.
        device: where θ is.
        make_param: whether θ is a parameter, or else a buffer, which is saved and not learned.
        init_value: of θ, before f.

    Raises:
        SpecError: an unknown mapping; in a call, the last dimensions of x are not ``scale_shape``.

    >>> loc, scale = AddStateIndependentNormalScale(2)(torch.zeros(3, 2))
    >>> loc.shape, scale[0].tolist()
    (torch.Size([3, 2]), [1.0, 1.0])
    """

    def __init__(
        self,
        scale_shape: int | Sequence[int] = (),
        scale_mapping: str | Callable[[Tensor], Tensor] = "exp",
        scale_lb: float = 1e-4,
        *,
        device: torch.device | str | None = None,
        make_param: bool = True,
        init_value: float = 0.0,
    ) -> None:
        super().__init__()
        shape = (scale_shape,) if isinstance(scale_shape, int) else tuple(scale_shape)
        start = torch.full(shape, float(init_value), device=device)
        if make_param:
            self.state_independent_scale: Tensor = nn.Parameter(start)
        else:
            self.register_buffer("state_independent_scale", start)
        self._extractor = NormalParamExtractor(scale_mapping, scale_lb)

    def forward(self, loc: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Return ``(loc, scale, *others)``, the scale of loc's shape."""
        shape = self.state_independent_scale.shape
        if loc.shape[max(loc.ndim - len(shape), 0) :] != shape:
            raise SpecError(
                f"AddStateIndependentNormalScale cannot give loc of shape {list(loc.shape)} a scale: it learns one of "
                f"shape {list(shape)}, which has to be that of loc's last dimensions. "
                "Pass scale_shape=, the shape of one action, or leave it out for one scale of all dimensions."
            )
        scale = self._extractor.scale(self.state_independent_scale)
        return loc, scale.expand_as(loc), *others
