"""Where the next steps go: a ring of slots, the oldest of which is written over first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Ring:
    """A ring of ``steps`` slots of time, each of which holds one step of each of ``num_envs`` streams.

    Row ``t * num_envs + e`` is slot t of stream e, and the row after it in the same stream is one slot on: so the
    order of every stream is kept, whatever the order in which rows are drawn.

    Attributes:
        steps: slots of time.
        num_envs: streams.
        head: the slot that is written next; once the ring is full, that of the oldest step.
        filled: slots that hold something.

    >>> ring = Ring(steps=5, num_envs=2)
    >>> ring.advance(4), ring.advance(3), ring.rows
    ([(0, 4, 0)], [(4, 5, 0), (0, 2, 1)], 10)
    """

    steps: int
    num_envs: int
    head: int = 0
    filled: int = 0

    @property
    def rows(self) -> int:
        """How many rows hold something: these are the first ones."""
        return self.filled * self.num_envs

    @property
    def oldest(self) -> int:
        """The slot of the oldest step."""
        return self.head if self.filled == self.steps else 0

    def advance(self, count: int) -> list[tuple[int, int, int]]:
        """Make room for ``count`` steps: the pieces ``(start, stop, source)`` in which they are to be written.

        Of more steps than there are slots only the last ones are written.
        """
        start, last = self.head, self.head + count
        if count > 0 and last < self.steps:  # as a rule: nothing has to be wrapped around
            self.head = last
            if self.filled < self.steps:
                self.filled = min(self.steps, self.filled + count)
            return [(start, last, 0)]
        begin = max(0, count - self.steps)
        start = (start + begin) % self.steps
        self.head, self.filled = last % self.steps, min(self.steps, self.filled + count)
        if start + count <= self.steps:
            return [(start, start + count, 0)] if count else []
        first = min(count - begin, self.steps - start)
        pieces = [(start, start + first, begin), (0, count - begin - first, begin + first)]
        return [piece for piece in pieces if piece[1] > piece[0]]
