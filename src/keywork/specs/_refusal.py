"""The one form of this room's messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from keywork import _errors
from keywork._errors import SpecError


def refusal(what: str, *, where: str, expected: str, got: str, fix: str) -> SpecError:
    """A SpecError in its five parts, see :func:`keywork._errors.refusal`."""
    return _errors.refusal(SpecError, what, where=where, expected=expected, got=got, fix=fix)


def describe(value: Any) -> str:
    """What a value is, in words: ``a float32 tensor of shape (8, 2)``."""
    if isinstance(value, torch.Tensor):
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        article = "an" if str(value.dtype).startswith("torch.int") else "a"
        return f"{article} {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}{place}"
    if isinstance(value, np.ndarray):
        return f"a numpy array of dtype {value.dtype} and shape {value.shape}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"
