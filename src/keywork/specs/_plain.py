"""Tensors as plain Python numbers: what a spec is compared, printed and rebuilt by."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def plain(tensor: Tensor) -> Any:
    """The tensor's numbers as nested tuples, or as one number if they are all the same.

    >>> import torch
    >>> plain(torch.ones(2, 3)), plain(torch.eye(2))
    (1.0, ((1.0, 0.0), (0.0, 1.0)))
    """
    if tensor.numel() == 0:
        return 0
    first = tensor.flatten()[0]
    return first.item() if bool((tensor == first).all()) else as_tuples(tensor.tolist())


def as_tuples(numbers: Any) -> Any:
    """Nested lists as nested tuples, which can be hashed."""
    return tuple(as_tuples(number) for number in numbers) if isinstance(numbers, list) else numbers
