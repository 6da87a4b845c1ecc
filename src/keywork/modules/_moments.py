"""The mean and the variance of numbers that come batch after batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from keywork._errors import NonFiniteError, refusal


class Moments(nn.Module):
    """Count n, mean μ and variance σ² of every row so far, as buffers in float64.

    A batch of m rows with mean μ' and variance v' is merged in (Chan, Golub and LeVeque 1979), where δ = μ' - μ:

    μ ← μ + δ m / (n + m),  σ² ← (n σ² + m v' + δ² n m / (n + m)) / (n + m),  n ← n + m.

    These are exactly the moments of all rows together, and no large sums are subtracted from one another. Before any
    row there is, the mean is 0 and the variance 1.

    Args:
        shape: of a row.

    >>> moments = Moments((1,))
    >>> moments.update(torch.tensor([[1.0], [3.0]]), "numbers")
    >>> moments.update(torch.tensor([[5.0]]), "numbers")
    >>> moments.mean.item(), round(moments.var.item(), 4), moments.count.item()  # ((1 - 3)² + 0 + (5 - 3)²) / 3
    (3.0, 2.6667, 3)
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.frozen = False

    @torch.no_grad()
    def update(self, rows: Tensor, name: str) -> None:
        """Merge in ``rows [N, *shape]``, unless frozen.

        Raises:
            NonFiniteError: there is a NaN or an infinity among them; nothing has changed then.
        """
        added = len(rows)
        if not added or self.frozen:
            return
        rows = rows.to(self.mean)
        mean, var = rows.mean(0), rows.var(0, correction=0)
        if not bool((mean + var).isfinite().all()):
            raise refusal(
                NonFiniteError,
                f"the running mean and variance of {name} cannot be updated: not every number is finite.",
                where=name,
                expected="finite numbers",
                got=f"{int((~rows.isfinite()).sum())} of {rows.numel()} numbers that are NaN or infinite",
                fix="look for where they come from; skipping them would hide it",
            )
        before = self.count[(..., *[None] * mean.ndim)]  # of the members of an ensemble: one each
        total = before + added
        delta = mean - self.mean
        # In place: what holds these very tensors, as a captured graph does, sees the new numbers.
        self.var.mul_(before).add_(var * added + delta.square() * before * added / total).div_(total)
        self.mean.add_(delta * added / total)
        self.count.add_(added)

    def inverse_std(self, eps: float) -> Tensor:
        """1 / √(σ² + eps)."""
        held: dict[str, Any] = self._buffers  # at half the price of an attribute
        inverse: Tensor = (held["var"] + eps).rsqrt()
        return inverse

    def standardised(self, x: Tensor, eps: float) -> Tensor:
        """(x - μ) / √(σ² + eps) of ``x [*B, *shape]``, in float64.

        In float32 little would be left of the difference of two large numbers.
        """
        held: dict[str, Any] = self._buffers
        centred: Tensor = x.double() - held["mean"]
        return centred * self.inverse_std(eps)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # A policy in half precision keeps its statistics: there a count would stand still, and a variance overflow.
        before: dict[str, Any] = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before.items():
            moved = self._buffers[name]
            if moved is not None and moved.dtype is not buffer.dtype:
                self._buffers[name] = buffer.to(moved.device)
        return self
