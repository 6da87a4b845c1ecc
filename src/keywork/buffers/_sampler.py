"""What draws rows, and the simplest of it: every row alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from keywork._errors import UsageError
from keywork._keys import VALID, Key
from keywork.buffers._ring import Ring
from keywork.buffers._storage import Storage
from keywork.specs import TensorSpec


class Draw(NamedTuple):
    """Which rows were drawn: ``rows`` ``[B]`` or ``[B, T]``, and what a batch shall hold besides them."""

    rows: Tensor
    entries: dict[Key, Tensor]


class Sampler(ABC):
    """Decides which rows of a buffer make a batch. One sampler serves one buffer.

    Attributes:
        writes: the keys that it adds to every batch.
    """

    writes: tuple[Key, ...] = ()
    _ring: Ring | None = None
    _valid: Tensor | None = None  # of each row, whether its step was really taken; None where all were

    def begin(self, ring: Ring, storage: Storage) -> None:
        """The buffer's memory has just been allocated.

        Raises:
            UsageError: the sampler belongs to another buffer.
        """
        if self._ring is not None:
            raise UsageError(
                f"{type(self).__name__} cannot be used by a second buffer: it remembers the rows of its first one. "
                f"Give each buffer its own: ReplayBuffer(capacity, sampler={type(self).__name__}(...))."
            )
        self._ring, self._valid = ring, storage.flags(VALID)

    def added(self, pieces: Sequence[tuple[int, int, int]]) -> None:  # noqa: B027 - most need not know
        """Steps have been written to these slots (see :meth:`Ring.advance`)."""

    @property
    def write_specs(self) -> dict[Key, TensorSpec]:
        """What is known of the values of :attr:`writes`, for the flow: by key, without batch dimensions."""
        return {}

    @abstractmethod
    def draw(self, size: int, generator: torch.Generator) -> Draw:
        """``size`` rows (or slices) of those that hold something, of which there is at least one."""

    def valid(self, rows: Tensor) -> Tensor:
        """Which of these rows hold a step that was really taken, where the buffer keeps ``("collector", "valid")``."""
        if self._valid is None:
            return torch.ones_like(rows, dtype=torch.bool)
        return self._valid[rows.to(self._valid.device)].to("cpu")

    def valid_rows(self) -> Tensor:
        """All rows that may be drawn, in order.

        Raises:
            UsageError: there is none.
        """
        if self._valid is None:
            return torch.arange(self.ring.rows)
        rows = self._valid[: self.ring.rows].nonzero().view(-1).to("cpu")
        if not rows.numel():
            raise UsageError(
                f"{type(self).__name__} has nothing to draw from: of the {self.ring.rows} steps in the buffer none is "
                f"one of an episode ({VALID!r} is False). extend(td) the buffer more before the first sample()."
            )
        return rows

    def update_priority(self, index: Tensor, priority: Tensor) -> None:
        """Say how much these rows matter.

        Raises:
            UsageError: this sampler has no priorities.
        """
        raise UsageError(
            f"{type(self).__name__} has no priorities to update: type "
            "ReplayBuffer(capacity, sampler=PrioritizedSampler()), or leave update_priority out."
        )

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, as tensors and plain numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - nothing to remember
        """Go on where another one was."""

    @property
    def ring(self) -> Ring:
        """Where the buffer's steps are."""
        if self._ring is None:
            name = type(self).__name__
            raise UsageError(
                f"{name} has no rows yet: type ReplayBuffer(capacity, sampler={name}(...)), and extend it."
            )
        return self._ring


@final
class RandomSampler(Sampler):
    """Draws every row with the same probability, each time anew: a row may come twice in a batch.

    >>> from keywork.buffers import ReplayBuffer
    >>> from tensordict import TensorDict
    >>> buffer = ReplayBuffer(100, sampler=RandomSampler(), seed=0)
    >>> buffer.extend(TensorDict(time=torch.arange(8), batch_size=[8]))
    >>> buffer.sample(100)["time"].unique().tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        rows = torch.randint(self.ring.rows, (size,), generator=generator)
        if self._valid is None:
            return Draw(rows, {})
        for _ in range(_TRIES):
            rows = rows[self.valid(rows)]
            if rows.numel() >= size:
                return Draw(rows[:size], {})
            rows = torch.cat([rows, torch.randint(self.ring.rows, (size,), generator=generator)])
        choice = self.valid_rows()
        return Draw(choice[torch.randint(choice.numel(), (size,), generator=generator)], {})


_TRIES = 8  # by then steps that were really taken are so few that it is cheaper to list them
