"""Which of a loss's inputs belong to which of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from keywork._keys import Key, unique


class Slots(NamedTuple):
    """Groups of keys that may overlap, as what a loss reads: each key once, in the order of the groups.

    They are found by position, so they stay right where the loss's keys are renamed.

    Attributes:
        keys: what is read.
        groups: for each group the positions of its keys.

    >>> slots = Slots.of(["observation", "hidden"], ["observation"], ["action"])
    >>> slots.keys
    ('observation', 'hidden', 'action')
    >>> slots.split([1, 2, 3])
    [[1, 2], [1], [3]]
    """

    keys: tuple[Key, ...]
    groups: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, *groups: Iterable[Key]) -> Self:
        """The slots of these groups."""
        lists = [list(group) for group in groups]
        keys = unique([key for group in lists for key in group])
        return cls(keys, tuple(tuple(keys.index(key) for key in group) for group in lists))

    def split(self, inputs: Sequence[Any]) -> list[list[Any]]:
        """The inputs of each group."""
        return [[inputs[slot] for slot in group] for group in self.groups]
