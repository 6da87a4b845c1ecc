"""Every row once before any comes again: minibatches of epochs."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from keywork._errors import UsageError
from keywork.buffers._sampler import Draw, Sampler


@final
class SamplerWithoutReplacement(Sampler):
    """Goes through all rows in a random order, then again in another one.

    The last batch of an epoch holds what is left, which may be less than a whole batch. An epoch begins anew when
    something is added to the buffer.

    Args:
        drop_last: leave out what is left at the end of an epoch where it makes no whole batch.

    >>> from keywork.buffers import ReplayBuffer
    >>> from tensordict import TensorDict
    >>> buffer = ReplayBuffer(100, sampler=SamplerWithoutReplacement(), seed=0)
    >>> buffer.extend(TensorDict(time=torch.arange(5), batch_size=[5]))
    >>> batches = [buffer.sample(2)["time"].tolist() for _ in range(3)]
    >>> [len(batch) for batch in batches], sorted(sum(batches, []))
    ([2, 2, 1], [0, 1, 2, 3, 4])
    """

    def __init__(self, *, drop_last: bool = False) -> None:
        self.drop_last = drop_last
        self._order: Tensor = torch.empty(0, dtype=torch.int64)
        self._at = 0

    def added(self, pieces: Any) -> None:
        """A new epoch begins."""
        self._at = self._order.numel()

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        left = self._order.numel() - self._at
        if left < (size if self.drop_last else 1):
            rows = self.valid_rows()
            self._order, self._at = rows[torch.randperm(rows.numel(), generator=generator)], 0
        rows_in_all = self._order.numel()
        if size > rows_in_all:
            raise UsageError(
                f"SamplerWithoutReplacement cannot draw {size} rows: the buffer holds {rows_in_all}, and none comes "
                f"twice. Type batch_size={rows_in_all} or less."
            )
        index = self._order[self._at : self._at + size]
        self._at += index.numel()
        return Draw(index, {})

    def state_dict(self) -> dict[str, Any]:
        """The order of this epoch, and how much of it is done."""
        return {"order": self._order.clone(), "at": self._at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order, self._at = state["order"].clone(), int(state["at"])
