"""Losses as compiled functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from keywork.nn import TensorDictModuleBase


def tensor_function(module: TensorDictModuleBase, *, compile: bool) -> Callable[..., Any]:
    """What a key module computes, from tensors to tensors: its ``run``, compiled if that is asked for.

    No container is in it, so that it compiles as a whole. It is compiled for each shape that comes, of which a
    training run has one or two. A setting of the module that changes in the course of training has to be a tensor:
    see :func:`changing`.

    >>> from torch import nn
    >>> from keywork.modules import ValueOperator
    >>> run = tensor_function(ValueOperator(nn.Linear(4, 1)), compile=False)
    >>> run(torch.zeros(8, 4))[0].shape
    torch.Size([8, 1])
    """
    return torch.compile(module.run, dynamic=False) if compile else module.run


def changing(number: float, *, compile: bool) -> float | Tensor:
    """A setting that changes as training goes on: a plain number would be a constant of what is compiled.

    >>> changing(0.2, compile=True), changing(0.2, compile=False)
    (tensor(0.2000), 0.2)
    """
    return torch.tensor(number) if compile else number
