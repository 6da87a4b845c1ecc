"""Several choices, each with a number of choices of its own, as one vector of indices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from keywork._errors import SpecError, shape_of

from ._categorical import Categorical
from ._constraints import Constraint, integers_below
from ._index_choice import IndexChoice
from ._logits import require_floating
from ._masked_categorical import MaskedCategorical
from ._several_choices import SeveralChoices


class MultiCategorical(SeveralChoices):
    """p(a) = Πₖ softmax(logitsₖ)[aₖ]; a holds K indices, aₖ < nvecₖ: the actions of a MultiDiscrete space.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are the likeliest of each. Log-probabilities and entropies are summed
    over the K choices. There is no reparameterised sample: learn from ``log_prob``.

    Args:
        logits: unnormalised log-probabilities of all choices one after the other, ``[*batch, Σ nvec]``.
        nvec: how many choices each index has.
        shape: in which the K indices are arranged, ``[K]`` if left out.
        mask: True, or an integer that is not zero, allows a choice: ``[*batch, Σ nvec]``, or ``[Σ nvec]`` for all rows;
            see :class:`MaskedCategorical`.
        validate_args: True checks the values of logits, mask and scored indices; this waits for the device.

    Raises:
        SpecError: another number of logits, a shape of another size, or a mask that allows nothing for an index.

    >>> dist = MultiCategorical(torch.tensor([0.0, 1.0, 0.0, 0.0, 2.0]), nvec=[2, 3])
    >>> dist.mode, dist.log_prob(dist.mode).exp()  # 0.7311 · 0.7870
    (tensor([1, 2]), tensor(0.5753))
    """

    def __init__(
        self,
        logits: Tensor,
        *,
        nvec: Sequence[int],
        shape: Sequence[int] | None = None,
        mask: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.nvec = tuple(nvec)
        event = (len(self.nvec),) if shape is None else tuple(shape)
        if logits.shape[-1:] != (sum(self.nvec),) or math.prod(event) != len(self.nvec) or not self.nvec:
            raise SpecError(
                f"MultiCategorical cannot be built: logits are {shape_of(logits)}, and nvec={list(self.nvec)} in the "
                f"shape {list(event)} asks for a last dimension of {sum(self.nvec)} and {math.prod(event)} indices. "
                "Pass logits of shape [*batch, sum(nvec)], and nvec with a number for each index."
            )
        require_floating("MultiCategorical", "logits", logits)
        scores = self._table(logits, event, -math.inf)
        each: IndexChoice = Categorical(scores)
        if mask is not None:
            if mask.shape[-1:] != logits.shape[-1:]:
                raise SpecError(
                    f"MultiCategorical cannot be built: its mask is {shape_of(mask)}, and has to say of each of the "
                    f"{sum(self.nvec)} choices whether it is allowed. Give it the shape of the logits."
                )
            each = MaskedCategorical(scores, mask=self._table(mask, event, 0), validate_args=validate_args)
        super().__init__(each, len(event), validate_args)

    @property
    def support(self) -> Constraint:
        """Whole numbers from 0 to nvec - 1."""
        counts = torch.tensor(self.nvec, device=self._each._scores.device).view(self.event_shape)
        return integers_below(counts, len(self.event_shape))

    def _table(self, flat: Tensor, event: tuple[int, ...], filler: float) -> Tensor:
        """``[*B, Σ n]`` as ``[*B, *event, widest]``, where shorter choices are filled up."""
        widest = max(self.nvec)
        if all(n == widest for n in self.nvec):
            return flat.reshape(*flat.shape[:-1], *event, widest)
        starts = [sum(self.nvec[:k]) for k in range(len(self.nvec))]
        parts = [flat[..., first : first + n] for first, n in zip(starts, self.nvec, strict=True)]
        rows = [F.pad(part, (0, widest - n), value=filler) for part, n in zip(parts, self.nvec, strict=True)]
        return torch.stack(rows, -2).reshape(*flat.shape[:-1], *event, widest)
