"""Steps down the gradient of a loss, each compiled as one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

from torch import Tensor

from keywork.train._compile import compiled_method
from keywork.train._flat import FlatAdam, Verdict
from keywork.train._gradient import LossGradient, Terms


class Descent(Generic[Terms]):
    """Steps of an optimiser down the sum of a loss's first terms.

    Compiled, loss, gradient and its norm are one function, and autograd has nothing left to do: that takes less
    time than a loss that is compiled alone. The first step is not compiled, for it finds
    parameters that the loss does not depend on. Compiled anew is what comes in another shape, or after a number, a flag
    or a text of the modules has another value. Their parts are taken to stay what they are, as the optimiser takes
    them: exchange them first, and build it last.

    Args:
        terms: a method of a key module, such as ``loss.run`` or ``loss.actor_terms``.
        optimizer: of all that is to be trained of the module.
        losses: how many of its terms are added up; of these, None counts as nothing.
        compile: whether it is compiled.

    >>> import torch
    >>> from torch import nn
    >>> from keywork.nn import TensorDictModuleBase
    >>> class Squared(TensorDictModuleBase):
    ...     def __init__(self):
    ...         super().__init__(["x"], ["loss"])
    ...         self.weight = nn.Parameter(torch.tensor([2.0, 3.0]))
    ...
    ...     def compute(self, x):
    ...         return (self.weight.dot(x).square(),)
    >>> loss = Squared()
    >>> descent = Descent(loss.run, FlatAdam(loss, lr=0.1))
    >>> terms, norm = descent(torch.tensor([1.0, 0.0]))  # of (w₁)², whose slope at 2 is 4
    >>> terms, norm, loss.weight.tolist()[1]
    ((tensor(4.),), tensor(4.), 3.0)
    """

    def __init__(
        self, terms: Callable[..., Terms], optimizer: FlatAdam, losses: int = 1, *, compile: bool = False
    ) -> None:
        self._gradient, self._optimizer = LossGradient(terms, optimizer.flat, losses), optimizer
        self._compiled = compiled_method(self.of_vector, optimizer.flat.vector.device) if compile else None
        self._is_first = True

    def __call__(self, *inputs: Any) -> tuple[Terms, Tensor]:
        """Take a step: the terms before it, without gradient, and the norm of the gradient before clipping, [].

        Raises:
            UsageError: the loss does not depend on one of the parameters.
        """
        if self._compiled is None or self._is_first:
            self._is_first = False
            terms, total, gradient = self._gradient(*inputs)
            return terms, self._optimizer.descend(gradient, total)
        terms, gradient, verdict = self._compiled(self._optimizer.flat.vector, *inputs)
        self._optimizer.apply(gradient, verdict)
        return terms, verdict.norm

    def of_vector(self, vector: Tensor, *inputs: Any) -> tuple[Terms, Tensor, Verdict]:
        """What a step needs to know, as a function of the parameters: terms, gradient, and what is to be done."""
        terms, total, gradient = self._gradient.of_vector(vector, *inputs)
        return terms, gradient, self._optimizer.judge(gradient, total)
