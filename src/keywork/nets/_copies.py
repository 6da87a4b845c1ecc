"""Copies of a module that learn apart from one another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from keywork._errors import Finding

from ._reset import reset_parts


def copies_of(module: nn.Module, count: int, initialise: Callable[[Any], Any] | None) -> list[nn.Module]:
    """The module as it is, and further ones that are initialised anew, all of them copies."""
    made = [copy.deepcopy(module) for _ in range(count)]
    for one in made[1:]:
        if initialise is None:
            reset_parts(one)
        else:
            initialise(one)
    return made


def copy_findings(copies: Sequence[nn.Module]) -> list[Finding]:
    """Why these cannot be members of one ensemble."""
    first = dict(copies[0].named_parameters())
    lazy = [name for name, parameter in first.items() if is_lazy(parameter)]
    if lazy:
        problem = f"the parameter {lazy[0]!r} has no size yet."
        return [Finding("lazy-parameter", problem, "", "call the module once before, on an input of the right size.")]
    shapes = {name: tensor.shape for name, tensor in _tensors(copies[0])}
    for number, other in enumerate(copies[1:], 1):
        if {name: tensor.shape for name, tensor in _tensors(other)} != shapes:
            problem = f"member {number} has other parameters than member 0."
            return [Finding("unlike-members", problem, "", "give modules of one kind and size.")]
        for name, parameter in other.named_parameters():
            varied = parameter.numel() > 1 and bool((parameter != parameter.flatten()[0]).any())
            if varied and torch.equal(parameter, first[name]):
                problem = f"the parameter {name!r} is the same in members 0 and {number}, which would learn the same."
                fix = "pass parameter_init_function=function(module), or a list of modules in place of one."
                return [Finding("equal-members", problem, "no reset_parameters() that would change it", fix)]
    return []


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()
