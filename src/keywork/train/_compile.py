"""Losses as compiled functions of tensors, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from keywork.nn import TensorDictModuleBase
from keywork.train._flat import FlatParameters

Terms: TypeAlias = tuple[Tensor, ...]


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


class LossGradient:
    """What a loss computes of tensors, the sum of its first terms, and the gradient of this sum as one vector [n].

    Compiled, the gradient is part of what is compiled, and autograd has nothing left to do: that takes half the time of
    a loss that is compiled alone. The first call is not, for it finds parameters that the loss does not depend on.

    Args:
        loss: a key module.
        parameters: all that are to be trained, of the loss itself.
        losses: how many of its terms are added up.
        compile: whether it is compiled, anew for each shape that comes.

    >>> class Squared(TensorDictModuleBase):
    ...     def __init__(self):
    ...         super().__init__(["x"], ["loss"])
    ...         self.weight = nn.Parameter(torch.tensor([2.0, 3.0]))
    ...
    ...     def compute(self, x):
    ...         return (self.weight.dot(x).square(),)
    >>> loss = Squared()
    >>> _, total, gradient = LossGradient(loss, FlatParameters(loss), 1)(torch.tensor([1.0, 2.0]))
    >>> total, gradient  # 8², and 2 · 8 · x
    (tensor(64.), tensor([16., 32.]))
    """

    def __init__(
        self, loss: TensorDictModuleBase, parameters: FlatParameters, losses: int, *, compile: bool = False
    ) -> None:
        self._loss, self._parameters, self._losses = loss, parameters, losses
        self._compiled = torch.compile(self.of_vector, dynamic=False) if compile else None
        self._is_first = True
        self._runner, number_of = _Runner(loss), {one: number for number, one in enumerate(parameters.parameters)}
        # By the places where they are: a module that two others share is one place, a tensor that two share is at two.
        self._numbers = {
            f"{path}.{name}": number_of[parameter]
            for path, module in self._runner.named_modules()
            for name, parameter in module.named_parameters(recurse=False)
            if parameter in number_of
        }

    def __call__(self, *inputs: Any) -> tuple[Terms, Tensor, Tensor]:
        """The terms, the sum, and the gradient.

        Raises:
            UsageError: the loss does not depend on one of the parameters.
        """
        if self._compiled is not None and not self._is_first:
            found: tuple[Terms, Tensor, Tensor] = self._compiled(self._parameters.vector, *inputs)
            return found
        self._is_first = False
        terms: Terms = self._loss.run(*inputs)
        total = reduce(torch.add, terms[: self._losses])
        return terms, total.detach(), self._parameters.gradient(total)

    def of_vector(self, vector: Tensor, *inputs: Any) -> tuple[Terms, Tensor, Tensor]:
        """The same as a function of the parameters, too."""

        def total_of(vector: Tensor) -> tuple[Tensor, Terms]:
            pieces = self._parameters.pieces(vector)
            given = {name: pieces[number] for name, number in self._numbers.items()}
            terms: Terms = torch.func.functional_call(self._runner, given, inputs, tie_weights=False)
            return reduce(torch.add, terms[: self._losses]), terms

        gradient, (total, terms) = torch.func.grad_and_value(total_of, has_aux=True)(vector)
        return terms, total, gradient


class _Runner(nn.Module):
    """A key module's ``run``, as what ``functional_call`` calls."""

    def __init__(self, loss: TensorDictModuleBase) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, *inputs: Any) -> Terms:
        """What it computes."""
        return self.loss.run(*inputs)
