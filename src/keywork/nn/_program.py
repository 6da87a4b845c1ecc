"""Program: the steps of a sequential with every key resolved to a slot of one flat list of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from keywork._keys import Key, is_parent, unique
from keywork.nn._base import TensorDictModuleBase


@dataclass(frozen=True, slots=True)
class Program:
    """Where each step finds its inputs and leaves its outputs.

    Attributes:
        size: the number of slots; the inputs of the whole come first.
        steps: for each step the slots that it reads and the slots that it writes.
        slots: the slot of every key.
    """

    size: int
    steps: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    slots: dict[Key, int]

    @classmethod
    def of(cls, steps: Sequence[TensorDictModuleBase], inputs: Sequence[Key]) -> Program:
        """Resolve the keys of ``steps``, once."""
        slots: dict[Key, int] = {}
        for key in inputs:
            slots.setdefault(key, len(slots))
        resolved = []
        for step in steps:
            reads = tuple(slots.setdefault(key, len(slots)) for key in step.in_keys)
            resolved.append((reads, tuple(slots.setdefault(key, len(slots)) for key in step.out_keys)))
        return cls(len(slots), tuple(resolved), slots)

    def run(self, steps: Iterable[Any], inputs: Sequence[Any]) -> list[Any]:
        """Run the steps (all, or only the first ones) and return the slots."""
        values: list[Any] = [*inputs, *[None] * (self.size - len(inputs))]
        number = 0
        try:
            for step, (reads, writes) in zip(steps, self.steps, strict=False):
                outputs = step.run(*[values[i] for i in reads])
                for slot, output in zip(writes, outputs, strict=True):
                    values[slot] = output
                number += 1
        except Exception as error:
            error.add_note(f"in step {number} of a TensorDictSequential of {len(self.steps)}")
            raise
        return values


def overlaps(keys: Iterable[Key]) -> bool:
    """Whether one of the keys lies inside another, so that they cannot be two separate slots."""
    return any(is_parent(a, b) or is_parent(b, a) for a, b in combinations(unique(keys), 2))
