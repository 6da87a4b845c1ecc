"""How an entry of each kind lies in a row of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from keywork._errors import SpecError
from keywork._keys import Key, as_key


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of a row: its key, and what it holds.

    >>> Field("action", torch.float32, (6,)).nbytes
    24
    """

    key: Key
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of this entry in one row."""
        return self.dtype.itemsize * prod(self.shape)


@dataclass(frozen=True, slots=True)
class Group:
    """The fields of one dtype, which lie side by side.

    Attributes:
        dtype: of all of them.
        before: where they begin in a row, counted in numbers of this dtype.
        sizes: how many numbers each has.
        numbers: which fields they are.
    """

    dtype: torch.dtype
    before: int
    sizes: tuple[int, ...]
    numbers: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers they have together."""
        return sum(self.sizes)


class Layout:
    """Where each entry lies in a row of bytes: those of the largest numbers first, so that all lie aligned.

    A row holds one step with all its entries side by side: to fetch it is one jump in memory, where an array for each
    entry would take one jump each. What comes out are views into the rows.

    Args:
        fields: the entries, in the order in which a batch shows them.

    >>> layout = Layout([Field("done", torch.bool, (1,)), Field("observation", torch.float32, (3,))])
    >>> layout.row_bytes  # 12 and 1, rounded up to a multiple of 8
    16
    >>> [tuple(view.shape) for view in layout.views(torch.zeros(5, 16, dtype=torch.uint8), (5,))]
    [(5, 1), (5, 3)]
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self.keys = tuple(field.key for field in self.fields)
        size = max((field.dtype.itemsize for field in self.fields), default=1)
        used = sum(field.nbytes for field in self.fields)
        align = max(8, size)
        self.row_bytes = -(-max(used, 1) // align) * align
        self.groups = self._by_dtype()
        self._pieces = self._cuts()

    def views(self, rows: Tensor, lead: tuple[int, ...]) -> list[Tensor]:
        """Rows of bytes ``[n, row_bytes]`` as entries ``[*lead, *shape]``, where ``lead`` has n elements.

        Args:
            rows: contiguous; the entries share its memory.
            lead: the batch size.

        Returns:
            The entries in the order of the fields.
        """
        found: list[Any] = [None] * len(self.fields)
        for dtype, sizes, members in self._pieces:
            pieces = rows.view(dtype).split_with_sizes(sizes, 1)
            for place, number, flat in members:
                piece = pieces[place]
                found[number] = piece if flat and len(lead) == 1 else piece.view(*lead, *self.fields[number].shape)
        return found

    def columns(self, rows: Tensor, lead: tuple[int, ...]) -> list[Tensor]:
        """Where in rows of bytes each group lies: ``[*lead, size]``."""
        return [
            rows.view(group.dtype).narrow(1, group.before, group.size).view(*lead, group.size) for group in self.groups
        ]

    def _by_dtype(self) -> list[Group]:
        dtypes = dict.fromkeys(field.dtype for field in self.fields)
        groups, begin = [], 0
        for dtype in sorted(dtypes, key=lambda dtype: -dtype.itemsize):
            numbers = tuple(number for number, field in enumerate(self.fields) if field.dtype == dtype)
            group = Group(dtype, begin // dtype.itemsize, tuple(prod(self.fields[n].shape) for n in numbers), numbers)
            groups.append(group)
            begin += dtype.itemsize * group.size
        return groups

    def _cuts(self) -> list[tuple[torch.dtype, list[int], list[tuple[int, int, bool]]]]:
        """For each group how its view of a row is split, and which piece is which field, and whether it is flat."""
        cuts = []
        for group in self.groups:
            after = self.row_bytes // group.dtype.itemsize - group.before - group.size
            sizes = [*[group.before] * (group.before > 0), *group.sizes, *[after] * (after > 0)]
            places = enumerate(group.numbers, int(group.before > 0))
            cuts.append((group.dtype, sizes, [(at, n, len(self.fields[n].shape) == 1) for at, n in places]))
        return cuts


def fields_of(td: Any, keys: Sequence[Key]) -> list[Field]:
    """What the entries ``keys`` of a TensorDict hold, without its batch dimensions.

    Raises:
        SpecError: one is no tensor.
    """
    for key in keys:
        if not isinstance(td[key], Tensor):
            got = type(td[key]).__name__
            raise SpecError(
                f"ReplayBuffer cannot store {key!r}: rows hold tensors, not {got}. Leave it out with keys=[...]."
            )
    return [Field(as_key(key), td[key].dtype, tuple(td[key].shape[td.batch_dims :])) for key in keys]
