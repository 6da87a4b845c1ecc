"""A second module of the same parameters."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)

_COMMON = ("_parameters", "_buffers", "_non_persistent_buffers_set")


def twin_of(module: M) -> M:
    """A module like this one, of the same parameters, buffers and children.

    Moving, training or loading one is moving, training and loading the other. Attributes, hooks, and which children
    there are can be changed in each by itself.

    >>> layer = nn.Linear(4, 2)
    >>> twin = twin_of(layer)
    >>> twin.weight is layer.weight, twin is layer
    (True, False)
    """
    twin = type(module).__new__(type(module))
    for name, held in vars(module).items():
        vars(twin)[name] = copy.copy(held) if isinstance(held, dict) and name not in _COMMON else held
    return twin
