"""The memory of a buffer: which entries lie side by side, and how a batch is put together from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._errors import SpecError, UsageError
from keywork._keys import DONE, NEXT, REWARD, TERMINATED, TRUNCATED, Key, leaf, listed, next_key, path_of
from keywork.buffers._following import Following
from keywork.buffers._layout import Field, Layout
from keywork.buffers._memory import require_memory
from keywork.buffers._ring import Ring
from keywork.buffers._table import Table
from keywork.buffers._tree import Tree


@dataclass(frozen=True, slots=True)
class Plan:
    """How the steps of a buffer are stored.

    Attributes:
        num_envs: the number of streams, None for batches ``[T]``.
        device: where they are.
        ahead: ``("next", ...)`` is read from another row than the rest.
        share: ``("next", ...)`` is not stored where the step after it holds the same.
    """

    num_envs: int | None
    device: torch.device
    ahead: bool = False
    share: bool = False


class Storage:
    """The steps of a ring.

    A row holds one step with all its entries side by side. Only where some entries of a batch come from other rows
    than the rest, they have rows of their own.

    Args:
        fields: the entries, in the order in which a batch shows them.
        ring: where the steps go.
        plan: how they are stored.

    Raises:
        UsageError: there is not enough memory, or nothing that could be shared.

    >>> ring = Ring(steps=4, num_envs=1)
    >>> storage = Storage([Field("action", torch.int64, ())], ring, Plan(None, torch.device("cpu")))
    >>> storage.write([torch.arange(3)], (3,), ring.advance(3))
    >>> storage.read(torch.tensor([2, 1]))["action"].tolist()
    [2, 1]
    """

    def __init__(self, fields: Sequence[Field], ring: Ring, plan: Plan) -> None:
        self.fields, self.keys, self.device = tuple(fields), tuple(field.key for field in fields), plan.device
        self.lead = (ring.steps,) if plan.num_envs is None else (ring.steps, ring.num_envs)
        self.shared = _shared(self.fields) if plan.share else []
        paired = {number for pair in self.shared for number in pair}
        rest = [number for number in range(len(fields)) if number not in paired]
        late = [number for number in rest if plan.ahead and path_of(self.keys[number])[0] == NEXT]
        now = [number for number in rest if number not in late]
        groups = [(numbers, numbers is late) for numbers in (now, late) if numbers]
        layouts = [Layout([self.fields[number] for number in numbers]) for numbers, _ in groups]
        sharing = Layout([self.fields[number] for number, _ in self.shared])
        row_bytes = sum(layout.row_bytes for layout in layouts) + sharing.row_bytes * bool(self.shared)
        require_memory(prod(self.lead), row_bytes, self.device)
        self._parts = [
            (Table(layout, self.lead, self.device), numbers, is_late)
            for layout, (numbers, is_late) in zip(layouts, groups, strict=True)
        ]
        self._following = Following(sharing, ring, self.lead, self.device) if self.shared else None
        self._tree = Tree(self.keys)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        tables = sum(table.rows.nbytes for table, _, _ in self._parts)
        return tables + (0 if self._following is None else self._following.nbytes)

    def write(self, values: Sequence[Tensor], lead: tuple[int, ...], pieces: Sequence[tuple[int, int, int]]) -> None:
        """Store the entries' values, as :meth:`Table.write`."""
        for table, numbers, _ in self._parts:
            whole = len(numbers) == len(values)
            table.write(values if whole else [values[number] for number in numbers], lead, pieces)
        if self._following is not None:
            now, after = zip(*[(values[root], values[late]) for root, late in self.shared], strict=True)
            self._following.write(now, after, lead, pieces)

    def read(
        self, index: Tensor, entries: Mapping[Key, Tensor] | None = None, last: Tensor | None = None
    ) -> TensorDict:
        """The rows of an index of any shape as a TensorDict of that batch size.

        Args:
            index: the rows.
            entries: what else it shall hold.
            last: the rows from which ``("next", ...)`` comes; None for the same ones.
        """
        lead = tuple(index.shape)
        if self.device.type != "cpu":
            index = index.to(self.device)
            entries = {key: value.to(self.device) for key, value in (entries or {}).items()}
        index = index if index.ndim == 1 else index.flatten()
        last = index if last is None else last.to(self.device).flatten()
        values: list[Any] = [None] * len(self.fields)
        for table, numbers, late in self._parts:
            for number, value in zip(numbers, table.read(last if late else index, lead), strict=True):
                values[number] = value
        if self._following is not None:
            both = self._following.table.read(index, lead), self._following.after(last, lead)
            for (root, following), here, after in zip(self.shared, *both, strict=True):
                values[root], values[following] = here, after
        # The public constructor checks every shape once more, at a quarter of the price of a whole sample.
        return TensorDict._new_unsafe(self._tree.of(values, entries), batch_size=torch.Size(lead), device=self.device)

    def entries(self) -> dict[Key, Tensor]:
        """Views of all rows of what is stored, ``[*lead, *shape]``."""
        found = dict[Key, Tensor]()
        for table, numbers, _ in self._parts:
            found.update(zip((self.keys[number] for number in numbers), table.entries, strict=True))
        if self._following is not None:
            found.update(zip((self.keys[root] for root, _ in self.shared), self._following.table.entries, strict=True))
        return found

    def flags(self, key: Key) -> Tensor | None:
        """A view of the booleans under a key, one for each row; None where they are not stored.

        Raises:
            SpecError: they are no booleans, or several for each step.
        """
        value = self.entries().get(key)
        if value is None:
            return None
        if value.dtype != torch.bool or value.numel() != prod(self.lead):
            raise SpecError(
                f"ReplayBuffer reads {key!r} as one boolean for each step, [..., 1], and the first batch has "
                f"{str(value.dtype).removeprefix('torch.')}{[*value.shape[len(self.lead) :]]}: store it as such."
            )
        return value.view(-1)

    def state_dict(self, filled: int) -> dict[str, Any]:
        """What the first slots hold, copied."""
        stored = {key: value[:filled].clone() for key, value in self.entries().items()}
        state = {"steps": TensorDict(stored, [filled, *self.lead[1:]]).to_dict()}
        if self._following is not None:
            rows, values = self._following.kept()
            keys = [self.keys[late] for _, late in self.shared]
            state["beside"] = {
                "row": rows,
                **TensorDict(dict(zip(keys, values, strict=True)), [rows.numel()]).to_dict(),
            }
        return state

    def restore(self, values: Sequence[Tensor], lead: tuple[int, ...], beside: dict[str, Any] | None) -> None:
        """Store what the first slots held, and what :meth:`state_dict` says was kept beside."""
        pieces = [(0, lead[-1], 0)]
        for table, numbers, _ in self._parts:
            table.write([values[number] for number in numbers], lead, pieces)
        if self._following is not None and beside is not None:
            self._following.table.write([values[root] for root, _ in self.shared], lead, pieces)
            rows = beside["row"].to("cpu")
            found = TensorDict({NEXT: beside[NEXT]}, [rows.numel()])
            self._following.keep(rows.numpy(), [found[self.keys[late]] for _, late in self.shared])


def _shared(fields: Sequence[Field]) -> list[tuple[int, int]]:
    """The numbers of those entries at the root and under ``"next"`` of which one follows the other."""
    number = {(field.key, field.dtype, field.shape): n for n, field in enumerate(fields)}
    pairs = [(n, number.get((next_key(field.key), field.dtype, field.shape))) for n, field in enumerate(fields)]
    found = [(root, late) for root, late in pairs if late is not None and leaf(fields[root].key) not in _OF_A_STEP]
    if not found:
        raise UsageError(
            'ReplayBuffer.share_next has nothing to share: no entry is stored both at the root and under "next" with '
            f"one shape and dtype.\n   the buffer stores: {listed(field.key for field in fields)}\n"
            '   Store both of them, such as keys=["observation", "action", "next"], or leave share_next() out.'
        )
    return found


_OF_A_STEP = (REWARD, DONE, TERMINATED, TRUNCATED)
"""What belongs to a step and not to a state, and is read by samplers."""
