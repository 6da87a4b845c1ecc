"""All probability on one action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from keywork._errors import SpecError

from ._constraints import Constraint, real
from ._point import PointDistribution


class Delta(PointDistribution):
    """a = param. Every exploration type, RANDOM too, gives the parameter, and gradients flow through it.

    log p(a) is +inf where all of the event equals the parameter within |a − param| ≤ atol + rtol · |param|, and −inf
    elsewhere; the entropy is −inf. Both are what the limit of a vanishing scale gives: a policy of this distribution
    is for algorithms that need no log-prob.

    Args:
        param: the action ``[*batch, *event]``.
        atol: absolute tolerance of ``log_prob``.
        rtol: relative tolerance of ``log_prob``.
        batch_shape: the shape of the batch; all but the last dimension by default.
        event_shape: the shape of one action; the rest of the parameter's shape by default.
        validate_args: True checks that the parameter and scored values are numbers; this waits for the device.

    Raises:
        SpecError: batch shape and event shape do not make up the parameter's shape.

    >>> Delta(torch.tensor([0.5, 1.0])).rsample((2,))
    tensor([[0.5000, 1.0000],
            [0.5000, 1.0000]])
    """

    arg_constraints = {"param": constraints.real}  # noqa: RUF012

    def __init__(
        self,
        param: Tensor | float,
        atol: float = 1e-6,
        rtol: float = 1e-6,
        batch_shape: Sequence[int] | None = None,
        event_shape: Sequence[int] | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.param = param if isinstance(param, Tensor) else torch.as_tensor(param)
        shape = self.param.shape
        if batch_shape is None and event_shape is None:
            cut = max(len(shape) - 1, 0)
        else:
            cut = len(batch_shape) if batch_shape is not None else len(shape) - len(event_shape or ())
        batch, event = shape[: max(cut, 0)], shape[max(cut, 0) :]
        if (batch_shape is not None and tuple(batch_shape) != batch) or (
            event_shape is not None and tuple(event_shape) != event
        ):
            raise SpecError(
                f"Delta cannot be built: batch_shape={batch_shape} and event_shape={event_shape} do not make up the "
                f"shape of the parameter, {list(shape)}. Leave one of the two out."
            )
        super().__init__(self.param, (batch, event), (atol, rtol), validate_args)

    @property
    def support(self) -> Constraint:
        """Every real value of the event's shape."""
        return real(len(self.event_shape))

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Delta:
        """The same distribution over a larger batch; no memory is copied."""
        param = self.param.expand(Size(batch_shape) + self.event_shape)
        return Delta(param, self.atol, self.rtol, event_shape=self.event_shape, validate_args=self._validate_args)
