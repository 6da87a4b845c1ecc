"""Actions of several discrete choices at once, each with a number of choices of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor

from keywork.modules._choices import Choices, random_allowed, sum_of_ones
from keywork.modules._mask import as_mask, require_choice


class SeveralOf(Choices):
    """K choices at once, stored as K indices or as K one-hot vectors in a row. Values and masks: ``[*B, Σ n_k]``.

    The value of an action is the sum of those of its choices. Inside, choices are rows of one table ``[K, widest]``, of
    which shorter ones are filled up.

    Args:
        owner: whose actions these are.
        sizes: how many choices each has; a single number takes as many of that size as there are values for.
        shape: in which the K indices are arranged.
        one_hot: stored as one-hot vectors.
    """

    sizes: Tensor
    valid: Tensor
    where: Tensor
    kept: Tensor

    def __init__(
        self, owner: str, sizes: Sequence[int] | int, shape: Sequence[int] | None = None, *, one_hot: bool = False
    ) -> None:
        known = None if isinstance(sizes, int) else tuple(sizes)
        total = None if known is None else sum(known)
        arranged = tuple(shape) if shape is not None else None if known is None else (len(known),)
        flat = (None if total is None else (total,), 1)
        super().__init__(owner, *(flat if one_hot else (arranged, 1 if arranged is None else len(arranged))))
        self.one_hot, self.total = one_hot, total
        self.widest = sizes if isinstance(sizes, int) else max(sizes)
        self.equal = known is None or len(set(known)) == 1
        if known is not None:
            counts = torch.tensor(known).unsqueeze(-1)
            valid = torch.arange(self.widest) < counts
            self.register_buffer("sizes", counts, persistent=False)
            self.register_buffer("valid", valid, persistent=False)
            self.register_buffer("kept", valid.flatten().nonzero().squeeze(-1), persistent=False)
            self.register_buffer("where", (valid.flatten().cumsum(0) - 1).view_as(valid), persistent=False)

    def greedy(self, values: Tensor, mask: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The action of each choice's highest value, and the sum ``[*B, 1]`` of these."""
        rows = self._rows(values, -math.inf)
        if mask is not None:
            allowed = self._rows(as_mask(self.owner, mask, values.shape), False)
            rows = rows.masked_fill(~require_choice(self.owner, allowed), -math.inf)
        best, index = rows.max(-1, keepdim=True)
        return self._stored(index, dtype), best.sum(-2)

    def random(self, action: Tensor, mask: Tensor | None) -> Tensor:
        """Uniform and independent choices."""
        batch = self.batch_of(action)
        if mask is not None:
            flags = as_mask(self.owner, mask, Size((*batch, self.total or 0)))
            return self._stored(random_allowed(require_choice(self.owner, self._rows(flags, False))), action.dtype)
        lots = torch.rand((*batch, *self.sizes.shape), device=action.device)
        # Below 1 as the lots are, the product is rounded up to the size itself in rare cases.
        return self._stored(torch.minimum((lots * self.sizes).long(), self.sizes - 1), action.dtype)

    def value_of(self, values: Tensor, action: Tensor) -> Tensor:
        """The sums of the values of what was chosen, ``[*B, 1]``."""
        if self.one_hot:
            return sum_of_ones(values, action, 1)
        index = action.long().reshape(*self.batch_of(action), -1, 1)
        return self._rows(values, -math.inf).gather(-1, index).sum(-2)

    def _rows(self, flat: Tensor, filler: float) -> Tensor:
        """``[*B, Σ n_k]`` as ``[*B, K, widest]``."""
        count = math.ceil(flat.shape[-1] / self.widest) * self.widest if self.total is None else self.total
        self.require_count(flat, count)
        if self.equal:
            return flat.reshape(*flat.shape[:-1], -1, self.widest)
        return flat[..., self.where].masked_fill(~self.valid, filler)

    def _stored(self, index: Tensor, dtype: torch.dtype) -> Tensor:
        """Indices ``[*B, K, 1]`` in the form of an action."""
        batch = index.shape[:-2]
        if not self.one_hot:
            return index.reshape(*batch, *(index.shape[-2:-1] if self.shape is None else self.shape)).to(dtype)
        table = index == torch.arange(self.widest, device=index.device)
        flat = table.flatten(-2)
        return (flat if self.equal else flat[..., self.kept]).to(dtype)
