"""Program: the steps of a sequential with every key resolved to a slot of one flat list of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from keywork._keys import Key, is_parent
from keywork.nn._base import TensorDictModuleBase


@dataclass(frozen=True, slots=True)
class Program:
    """Where each step finds its inputs and leaves its outputs.

    Attributes:
        slots: the slot of every key; those of the inputs of the whole come first.
        steps: for each step the slots that it reads and the slots that it writes.
        grouped: whether one key lies inside another, so that they are not separate slots.
    """

    slots: dict[Key, int]
    steps: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    grouped: bool

    @classmethod
    def of(cls, steps: Sequence[TensorDictModuleBase], inputs: Sequence[Key]) -> Program:
        """Resolve the keys of ``steps``, once."""
        slots = {key: slot for slot, key in enumerate(inputs)}
        resolved = []
        for step in steps:
            kept = step.out_keys
            reads = tuple(slots.setdefault(key, len(slots)) for key in step.in_keys)
            # An output that is computed and not kept goes to the last slot, which nobody reads.
            writes = tuple(slots.setdefault(key, len(slots)) if key in kept else -1 for key in step._out_keys)
            resolved.append((reads, writes))
        return cls(slots, tuple(resolved), any(is_parent(a, b) for a, b in permutations(slots, 2)))

    def run(self, steps: Iterable[Any], inputs: Sequence[Any]) -> list[Any]:
        """Run the steps (all, or only the first ones) on the inputs and return the slots."""
        values: list[Any] = [*inputs, *[None] * (len(self.slots) - len(inputs) + 1)]
        number = 0
        try:
            for step, (reads, writes) in zip(steps, self.steps, strict=False):
                for slot, output in zip(writes, step.compute(*[values[slot] for slot in reads]), strict=True):
                    values[slot] = output
                number += 1
        except Exception as error:
            error.add_note(f"in step {number} of {len(self.steps)} of a TensorDictSequential")
            raise
        return values
