"""All probability on one action within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from ._base import HALF, require
from ._bounds import as_bounds
from ._constraints import Constraint, interval
from ._location_scale import event_split
from ._point import PointDistribution


class TanhDelta(PointDistribution):
    """a = centre + half · tanh(param): from low to high, with half = (high − low) / 2.

    It is the action that a ``TanhNormal`` of loc = param and the same bounds takes without noise, and every exploration
    type, RANDOM too, gives it: a parameter of zero is the centre of any bounds. Gradients flow through it.

    log p(a) is +inf where all of the event equals the action within |a − action| ≤ atol + rtol · |action|, and −inf
    elsewhere; the entropy is −inf, as for ``Delta``. Actions are compared as they are, not mapped back through the
    tanh, so that one on a bound is found too.

    Args:
        param: the action before the tanh, ``[*batch, *event]``, or a number.
        low: lower bound, a number, or a tensor on the device of param that broadcasts to the event.
        high: upper bound; bounds of −b and b as numbers are the fastest.
        event_dims: how many of the last dimensions make one action; None is one, or zero for a scalar.
        atol: absolute tolerance of ``log_prob``.
        rtol: relative tolerance of ``log_prob``.
        validate_args: True checks the values of param and tensor bounds, and of the actions that are scored; this
            waits for the device.

    Raises:
        SpecError: low ≥ high, or shapes that do not broadcast.

    >>> TanhDelta(torch.zeros(2), low=0.0, high=10.0).rsample()
    tensor([5., 5.])
    """

    arg_constraints = {"param": constraints.real}  # noqa: RUF012

    def __init__(
        self,
        param: Tensor | float,
        low: Tensor | float = -1.0,
        high: Tensor | float = 1.0,
        event_dims: int | None = None,
        atol: float = 1e-6,
        rtol: float = 1e-6,
        *,
        validate_args: bool | None = None,
    ) -> None:
        param = param if isinstance(param, Tensor) else torch.as_tensor(param)
        self.param = param if param.is_floating_point() else param.to(torch.get_default_dtype())
        wide = self.param.float() if self.param.dtype in HALF else self.param
        self._bounds = as_bounds("TanhDelta", low, high, wide)
        batch, event, axes = event_split("TanhDelta", self.param.shape, event_dims)
        self._event_dims = len(axes)
        point = self._bounds.squash(wide).to(self.param.dtype)
        super().__init__(point, (batch, event), (atol, rtol), validate_args)

    @property
    def low(self) -> Tensor | float:
        """The lower bound."""
        return self._bounds.low

    @property
    def high(self) -> Tensor | float:
        """The upper bound."""
        return self._bounds.high

    @property
    def support(self) -> Constraint:
        """From low to high, both included: the action can be rounded onto a bound."""
        return interval(self.low, self.high, self._event_dims)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> TanhDelta:
        """The same distribution over a larger batch."""
        return TanhDelta(
            self.param.expand(Size(batch_shape) + self.event_shape),
            self.low,
            self.high,
            event_dims=self._event_dims,
            atol=self.atol,
            rtol=self.rtol,
            validate_args=self._validate_args,
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        low, high = torch.as_tensor(self.low), torch.as_tensor(self.high)
        require(low < high, self, "low", low, "low < high")
