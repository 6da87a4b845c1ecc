"""How a location and a scale become two tensors of one shape and type, at no cost where they already are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor

from keywork._errors import SpecError


def location_scale(owner: str, loc: Any, scale: Any) -> tuple[Tensor, Tensor]:
    """Bring both to one shape, floating type and device; either may be a number.

    Raises:
        SpecError: the two shapes do not broadcast.
    """
    if isinstance(loc, Tensor) and isinstance(scale, Tensor):
        if loc.shape == scale.shape and loc.dtype == scale.dtype and loc.is_floating_point():
            return loc, scale
        device = loc.device
    else:
        device = next((x.device for x in (loc, scale) if isinstance(x, Tensor)), torch.device("cpu"))
    dtype = torch.result_type(torch.as_tensor(loc), torch.as_tensor(scale))
    if not dtype.is_floating_point:
        dtype = torch.get_default_dtype()
    loc, scale = (torch.as_tensor(x, dtype=dtype, device=device) for x in (loc, scale))
    try:
        both = torch.broadcast_tensors(loc, scale)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise SpecError(
            f"{owner} cannot be built: loc has shape {list(loc.shape)} and scale {list(scale.shape)}, which do not "
            "broadcast. Give them the same shape, or a scale of one number."
        ) from error
    return both[0], both[1]


def event_split(owner: str, shape: Size, event_dims: int | None) -> tuple[Size, Size, tuple[int, ...]]:
    """Split a shape into batch shape, event shape and the axes of the event, counted from the end.

    Args:
        owner: whose shape it is, for the message.
        shape: the shape of the parameters.
        event_dims: how many of the last dimensions make one event; None is one, or zero for a scalar.

    Raises:
        SpecError: there are fewer dimensions than that.
    """
    dims = len(shape)
    if event_dims is None:
        event_dims = 1 if dims else 0
    if not 0 <= event_dims <= dims:
        raise SpecError(
            f"{owner} cannot be built: {event_dims} event dimensions were asked for, and its parameters have shape "
            f"{list(shape)}. Pass a number from 0 to {dims}."
        )
    cut = dims - event_dims
    return shape[:cut], shape[cut:], _AXES[event_dims] if event_dims < 2 else tuple(range(-event_dims, 0))


_AXES: tuple[tuple[int, ...], ...] = ((), (-1,))


def sum_event(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Sum over the axes of the event; none leaves the tensor as it is."""
    return x.sum(axes) if axes else x


def squeeze_location(loc: Tensor, upscale: float) -> Tensor:
    """upscale · tanh(loc / upscale): a location that stays within ±upscale and is nearly loc around zero."""
    return torch.tanh(loc / upscale) * upscale
