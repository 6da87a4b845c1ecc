"""The cheap checks that every function here makes on its first line: shapes, masks, coefficients, the time axis."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork._errors import SpecError


def require_same_shape(function: str, **tensors: Tensor) -> None:
    """Raise SpecError unless all tensors have one shape: broadcasting here would be a silent mistake."""
    shapes = [tensor.shape for tensor in tensors.values()]
    if shapes.count(shapes[0]) != len(shapes):
        raise SpecError(
            f"{function} cannot be computed: its tensors differ in shape. "
            f"It takes {', '.join(tensors)} of one shape; got {_shapes(tensors)}. "
            "A trailing dimension of one is added with .unsqueeze(-1) and removed with .squeeze(-1)."
        )


def require_mask(function: str, **masks: Tensor) -> None:
    """Raise SpecError unless all are boolean: ``1 - done`` on anything else means different things."""
    for name, mask in masks.items():
        if mask.dtype is not torch.bool:
            raise SpecError(
                f"{function} cannot be computed: {name} is no mask. "
                f"It takes a tensor of torch.bool; got {mask.dtype}. Pass {name}.bool()."
            )


def require_fraction(function: str, **coefficients: float) -> None:
    """Raise SpecError unless all lie in [0, 1]; NaN does not."""
    for name, value in coefficients.items():
        if not 0.0 <= value <= 1.0:
            raise SpecError(
                f"{function} cannot be computed: {name} is out of range. "
                f"It takes a number in [0, 1]; got {value}. Pass {name}=0.99, for example."
            )


def require_positive(function: str, **numbers: float) -> None:
    """Raise SpecError unless all are above zero; NaN is not."""
    for name, value in numbers.items():
        if not value > 0:
            raise SpecError(
                f"{function} cannot be computed: {name} is out of range. "
                f"It takes a number above zero; got {value}. Pass {name}=1, for example."
            )


def require_rows(function: str, choices: dict[str, Tensor], rows: dict[str, Tensor]) -> None:
    """Raise SpecError unless the first are [*B, n] of one shape and the second [*B, 1] with the same *B."""
    require_same_shape(function, **choices)
    shape = next(iter(choices.values())).shape
    if not shape or any(row.shape != (*shape[:-1], 1) for row in rows.values()):
        raise SpecError(
            f"{function} cannot be computed: its tensors do not belong together. "
            f"It takes {', '.join(choices)} [*B, n] and {', '.join(rows)} [*B, 1]; got {_shapes(choices | rows)}. "
            "A trailing dimension of one is added with .unsqueeze(-1)."
        )


def require_time_axis(function: str, tensor: Tensor, time_dim: int) -> int:
    """The time axis counted from the front.

    The default, -2, stands for the layout [*B, T, 1]. Given [num_envs, T] it would run across the environments, and
    nothing in the result would show it: so it is refused unless the last dimension is one.
    """
    if not -tensor.ndim <= time_dim < tensor.ndim or (time_dim == -2 and tensor.shape[-1] != 1):
        raise SpecError(
            f"{function} cannot be computed: time_dim={time_dim} is no time axis of these tensors. "
            "It takes [*B, T, 1] with time_dim=-2; "
            f"got {list(tensor.shape)}. Pass time_dim=-1 for [*B, T], or count another axis from the front, "
            "such as time_dim=0 for [T, *B]."
        )
    return time_dim % tensor.ndim


def _shapes(tensors: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
