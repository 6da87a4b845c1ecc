"""What a loss computes of tensors with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from types import MethodType
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from keywork.train._flat import FlatParameters

Terms = TypeVar("Terms", bound=tuple[Any, ...])


class LossGradient(Generic[Terms]):
    """What a loss computes of tensors, the sum of its first terms, and the gradient of this sum as one vector [n].

    Args:
        terms: a method of a key module, such as ``loss.run`` or ``loss.actor_terms``.
        parameters: all that are to be trained, of the module itself.
        losses: how many of its terms are added up; of these, None counts as nothing.
    """

    def __init__(self, terms: Callable[..., Terms], parameters: FlatParameters, losses: int = 1) -> None:
        self._terms, self._parameters, self._losses = terms, parameters, losses
        self._runner, number_of = _Runner(terms), {one: number for number, one in enumerate(parameters.parameters)}
        # By the places where they are: a module that two others share is one place, a tensor that two share is at two.
        self._numbers = {
            f"{path}.{name}": number_of[parameter]
            for path, module in self._runner.named_modules()
            for name, parameter in module.named_parameters(recurse=False)
            if parameter in number_of
        }

    def __call__(self, *inputs: Any) -> tuple[Terms, Tensor, Tensor]:
        """The terms without gradient, the sum, and the gradient.

        Raises:
            UsageError: the loss does not depend on one of the parameters.
        """
        terms = self._terms(*inputs)
        total = self._total(terms)
        gradient = self._parameters.gradient(total)
        told = [term if term is None or not term.requires_grad else term.detach() for term in terms]
        return _made(type(terms), told), total.detach(), gradient

    def of_vector(self, vector: Tensor, *inputs: Any) -> tuple[Terms, Tensor, Tensor]:
        """The same as a function of the parameters, too, for the compiler, which follows no autograd."""
        kind: Any = tuple
        there: list[bool] = []

        def total_of(vector: Tensor) -> tuple[Tensor, list[Tensor]]:
            nonlocal kind
            pieces = self._parameters.pieces(vector)
            given = {name: pieces[number] for name, number in self._numbers.items()}
            terms: Terms = torch.func.functional_call(self._runner, given, inputs, tie_weights=False)
            kind = type(terms)
            there.extend(term is not None for term in terms)
            return self._total(terms), [term for term in terms if term is not None]

        gradient, (total, found) = torch.func.grad_and_value(total_of, has_aux=True)(vector)
        pieces = iter(found)
        return _made(kind, [next(pieces) if is_there else None for is_there in there]), total, gradient

    def _total(self, terms: Terms) -> Tensor:
        """The sum of the losses."""
        losses: list[Tensor] = [term for term in terms[: self._losses] if term is not None]
        return reduce(torch.add, losses)


def _made(kind: Any, terms: list[Tensor | None]) -> Any:
    """A tuple of a kind, with names or without."""
    return kind._make(terms) if hasattr(kind, "_make") else kind(terms)


class _Runner(nn.Module, Generic[Terms]):
    """A method of a key module, as what ``functional_call`` calls."""

    def __init__(self, terms: Callable[..., Terms]) -> None:
        super().__init__()
        method = cast(MethodType, terms)
        self.loss, self.function = method.__self__, method.__func__

    def forward(self, *inputs: Any) -> Terms:
        """What it computes."""
        terms: Terms = self.function(self.loss, *inputs)
        return terms
