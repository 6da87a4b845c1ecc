"""How an entry of each kind lies in a row of bytes, and how rows become a TensorDict again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._errors import SpecError
from keywork._keys import Key, as_key, path_of


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


class Layout:
    """Where each entry lies in a row of bytes: those of the largest numbers first, so that all lie aligned.

    A row holds one step with all its entries side by side: to fetch it is one jump in memory, where an array for each
    entry would take one jump each. What comes out are views into the rows.

    Args:
        fields: the entries, in the order in which a batch shows them.

    >>> layout = Layout([Field("done", torch.bool, (1,)), Field("observation", torch.float32, (3,))])
    >>> layout.row_bytes  # 12 and 1, rounded up to a multiple of 8
    16
    >>> layout.unpack(torch.zeros(5, 16, dtype=torch.uint8), (5,))["observation"].shape
    torch.Size([5, 3])
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self.keys = tuple(field.key for field in self.fields)
        size = max((field.dtype.itemsize for field in self.fields), default=1)
        used = sum(field.nbytes for field in self.fields)
        align = max(8, size)
        self.row_bytes = -(-max(used, 1) // align) * align
        self._groups = self._by_dtype()

    def unpack(self, rows: Tensor, lead: tuple[int, ...], entries: Mapping[Key, Tensor] | None = None) -> TensorDict:
        """Rows of bytes ``[n, row_bytes]`` as entries ``[*lead, *shape]``, where ``lead`` has n elements.

        Args:
            rows: contiguous; the entries share its memory.
            lead: the batch size.
            entries: what else the TensorDict shall hold.
        """
        found = self.views(rows, lead)
        tree: Any = {}
        for field, value in zip(self.fields, found, strict=True):
            _put(tree, field.key, value)
        for key, value in (entries or {}).items():
            _put(tree, key, value)
        # The public constructor checks every shape once more, at a quarter of the price of a whole sample.
        return TensorDict._new_unsafe(tree, batch_size=torch.Size(lead), device=rows.device)

    def views(self, rows: Tensor, lead: tuple[int, ...]) -> list[Tensor]:
        """The entries in rows of bytes, as :meth:`unpack`, in the order of the fields."""
        found: list[Any] = [None] * len(self.fields)
        for dtype, sizes, members in self._groups:
            pieces = rows.view(dtype).split_with_sizes(sizes, 1)
            for place, (number, flat) in enumerate(members, 1):
                piece = pieces[place]
                found[number] = piece if flat and len(lead) == 1 else piece.view(*lead, *self.fields[number].shape)
        return found

    def pack(self, values: Sequence[Tensor], lead: tuple[int, ...]) -> list[Tensor]:
        """The entries ``[*lead, *shape]``, in the order of the fields, joined for each dtype: ``[*lead, n]``."""
        joined = []
        for _, sizes, members in self._groups:
            pairs = zip(members, sizes[1:], strict=False)
            parts = [values[n] if flat else values[n].reshape(*lead, size) for (n, flat), size in pairs]
            joined.append(parts[0] if len(parts) == 1 else torch.cat(parts, -1))
        return joined

    def columns(self, rows: Tensor, lead: tuple[int, ...]) -> list[Tensor]:
        """Where in rows of bytes what is packed lies: ``[*lead, n]`` for each dtype."""
        found = []
        for dtype, (before, *sizes, _), _ in self._groups:
            found.append(rows.view(dtype).narrow(1, before, sum(sizes)).view(*lead, sum(sizes)))
        return found

    def _by_dtype(self) -> list[tuple[torch.dtype, list[int], list[tuple[int, bool]]]]:
        """For each dtype how its view of a row is split (first what is before), and which field each piece is."""
        dtypes = dict.fromkeys(field.dtype for field in self.fields)
        groups, begin = [], 0
        for dtype in sorted(dtypes, key=lambda dtype: -dtype.itemsize):
            members = [(n, len(field.shape) == 1) for n, field in enumerate(self.fields) if field.dtype == dtype]
            sizes = [prod(self.fields[n].shape) for n, _ in members]
            before = begin // dtype.itemsize
            after = self.row_bytes // dtype.itemsize - before - sum(sizes)
            groups.append((dtype, [before, *sizes, after], members))
            begin += dtype.itemsize * sum(sizes)
        return groups


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


def _put(tree: dict[str, Any], key: Key, value: Tensor) -> None:
    *groups, name = path_of(key)
    for group in groups:
        tree = tree.setdefault(group, {})
    tree[name] = value
