"""Actions of several discrete choices at once, each with a number of choices of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor

from keywork.modules._choices import Choices, one_hot, random_allowed
from keywork.modules._mask import as_mask, require_choice


class SeveralOf(Choices):
    """K choices at once, stored as K indices or as K one-hot vectors in a row. Values and masks: ``[*B, Σ n_k]``.

    The value of an action is the sum of those of its choices.

    Args:
        owner: whose actions these are.
        sizes: how many choices each has; a single number takes as many of that size as there are values for.
        shape: in which the K indices are arranged.
        one_hot: stored as one-hot vectors.
    """

    _where: Tensor
    _valid: Tensor
    _kept: Tensor
    _sizes: Tensor

    def __init__(
        self, owner: str, sizes: Sequence[int] | int, shape: Sequence[int] | None = None, *, one_hot: bool = False
    ) -> None:
        known = None if isinstance(sizes, int) else tuple(sizes)
        vector = (None if known is None else (sum(known),), 1)
        arranged = shape if shape is not None or known is None else (len(known),)
        super().__init__(owner, *(vector if one_hot else (arranged, 1 if arranged is None else len(arranged))))
        self.one_hot, self.total = one_hot, None if known is None else sum(known)
        self.widest = sizes if isinstance(sizes, int) else max(sizes)
        self.equal = known is None or len(set(known)) == 1
        if known is not None:
            counts = torch.tensor(known)
            valid = torch.arange(self.widest) < counts.unsqueeze(-1)
            self.register_buffer("_sizes", counts.unsqueeze(-1), persistent=False)
            self.register_buffer("_valid", valid, persistent=False)
            self.register_buffer("_where", (valid.flatten().cumsum(0) - 1).view_as(valid), persistent=False)
            self.register_buffer("_kept", valid.flatten().nonzero().squeeze(-1), persistent=False)

    def greedy(self, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The pick ``[*B, K, 1]`` of each choice's highest value, and the sum ``[*B, 1]`` of these."""
        rows = self._split(values, -math.inf)
        if mask is not None:
            allowed = self._split(as_mask(self.owner, mask, values.shape), False)
            rows = rows.masked_fill(~require_choice(self.owner, allowed), -math.inf)
        best, picks = rows.max(-1, keepdim=True)
        return picks, best.sum(-2)

    def random(self, batch: Size, mask: Tensor | None, device: torch.device) -> Tensor:
        """Uniform and independent picks ``[*B, K, 1]``."""
        if mask is not None:
            flags = as_mask(self.owner, mask, Size((*batch, self.total or 0)))
            return random_allowed(require_choice(self.owner, self._split(flags, False)))
        sizes = self._sizes.to(device)
        # Below 1 all the same, the product is rounded up to the size in rare cases.
        picks = (torch.rand((*batch, *sizes.shape), device=device) * sizes).long()
        return torch.minimum(picks, sizes - 1)

    def value_of(self, values: Tensor, picks: Tensor) -> Tensor:
        """The sums of the picks' values, ``[*B, 1]``."""
        return self._split(values, -math.inf).gather(-1, picks).sum(-2)

    def encode(self, picks: Tensor, dtype: torch.dtype, count: int = 0) -> Tensor:
        """Indices ``[*B, *shape]``, or vectors ``[*B, Σ n_k]``."""
        if self.one_hot:
            vectors = one_hot(picks, self.widest).flatten(-2)
            return (vectors if self.equal else vectors[..., self._kept]).to(dtype)
        index = picks.squeeze(-1).to(dtype)
        return index if self.shape is None or self.dims == 1 else index.unflatten(-1, self.shape)

    def _split(self, values: Tensor, filler: float) -> Tensor:
        """One row a choice, ``[*B, K, widest]``; shorter rows are filled up."""
        if self.total is not None:
            self.require_count(values, self.total)
        elif values.shape[-1] % self.widest:
            self.require_count(values, math.ceil(values.shape[-1] / self.widest) * self.widest)
        if self.equal:
            return values.unflatten(-1, (-1, self.widest))
        return values[..., self._where].masked_fill(~self._valid, filler)
