"""What draws rows, and the simplest of it: every row alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from keywork._errors import UsageError
from keywork._keys import Key
from keywork.buffers._ring import Ring
from keywork.buffers._storage import Storage


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
        self._ring = ring

    def added(self, pieces: Sequence[tuple[int, int, int]]) -> None:  # noqa: B027 - most need not know
        """Steps have been written to these slots (see :meth:`Ring.advance`)."""

    @abstractmethod
    def draw(self, size: int, generator: torch.Generator) -> Draw:
        """``size`` rows (or slices) of those that hold something, of which there is at least one."""

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

    >>> sampler = RandomSampler()
    >>> sampler.begin(Ring(steps=4, num_envs=2, filled=4), None)
    >>> sampler.draw(100, torch.Generator().manual_seed(0)).rows.unique().tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        return Draw(torch.randint(self.ring.rows, (size,), generator=generator), {})
