"""Rows of bytes of one layout, allocated once: what is written into them, and taken out of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from keywork.buffers._layout import Group, Layout

_KEPT = 1 << 20  # bytes of joined values for which the memory is kept from one call to the next


class Table:
    """Rows of one layout, ``[*lead, row_bytes]``.

    Args:
        layout: what a row holds.
        lead: ``(steps,)``, or ``(steps, num_envs)`` for several streams.
        device: where the rows are.

    Attributes:
        entries: views of all rows, one for each field of the layout: ``[*lead, *shape]``.

    >>> from keywork.buffers._layout import Field
    >>> table = Table(Layout([Field("action", torch.int64, ())]), (4,), torch.device("cpu"))
    >>> table.write([torch.arange(3)], (3,), [(0, 3, 0)])
    >>> table.read(torch.tensor([2, 1]), (2,))
    [tensor([2, 1])]
    """

    def __init__(self, layout: Layout, lead: tuple[int, ...], device: torch.device) -> None:
        self.layout, self.device = layout, device
        self.rows = torch.empty(prod(lead), layout.row_bytes, dtype=torch.uint8, device=device)
        self.entries = layout.views(self.rows, lead)
        # Taking rows and assigning slices costs numpy less than it costs torch: where it can, it uses the same memory.
        self._array = self.rows.numpy() if device.type == "cpu" else None
        self._columns = [_shared(column) for column in layout.columns(self.rows, lead)]
        self._groups = [(group, _pick(group.numbers), self._is_flat(group)) for group in layout.groups]
        self._lead: tuple[int, ...] = ()
        self._joined: list[tuple[Tensor, Any]] = []

    def write(self, values: Sequence[Tensor], lead: tuple[int, ...], pieces: Sequence[tuple[int, int, int]]) -> None:
        """Store the entries' values, ``[*lead, *shape]`` with time as the last of ``lead``, on this device.

        Args:
            values: in the order of the layout's fields, without gradients.
            lead: ``(T,)``, or ``(num_envs, T)``.
            pieces: what goes where: ``(start, stop, source)``, see :meth:`Ring.advance`.
        """
        joined = self._joined if lead == self._lead else self._join(lead)
        for (group, pick, flat), column, (out, source) in zip(self._groups, self._columns, joined, strict=True):
            parts = pick(values)
            if not flat:
                parts = [part.reshape(*lead, size) for part, size in zip(parts, group.sizes, strict=True)]
            torch.cat(parts, -1, out=out)
            for start, stop, begin in pieces:
                column[start:stop] = source[begin : begin + stop - start]

    def read(self, index: Tensor, lead: tuple[int, ...]) -> list[Tensor]:
        """The entries ``[*lead, *shape]`` of the rows of a flat index on this device."""
        return self.layout.views(self.take(index), lead)

    def take(self, index: Tensor) -> Tensor:
        """The rows of a flat index on this device, with memory of their own."""
        if self._array is None or not index.numel():  # no rows as an array could not be seen as another dtype
            return self.rows.index_select(0, index)
        return torch.from_numpy(self._array.take(index.numpy(), 0))

    def _join(self, lead: tuple[int, ...]) -> list[tuple[Tensor, Any]]:
        """Memory for the values of a batch joined for each group, and the same with time first."""
        joined = []
        for group in self.layout.groups:
            out = torch.empty(*lead, group.size, dtype=group.dtype, device=self.device)
            joined.append((out, _shared(out if len(lead) == 1 else out.swapaxes(0, 1))))
        if prod(lead) * self.layout.row_bytes <= _KEPT:
            self._lead, self._joined = lead, joined
        return joined

    def _is_flat(self, group: Group) -> bool:
        return all(len(self.layout.fields[number].shape) == 1 for number in group.numbers)


def _pick(numbers: Sequence[int]) -> Any:
    """What takes these elements of a sequence, as a tuple also if there is only one."""
    return itemgetter(*numbers) if len(numbers) > 1 else itemgetter(slice(numbers[0], numbers[0] + 1))


def _shared(tensor: Tensor) -> Any:
    """The memory of a tensor as an array, where numpy has such arrays."""
    return tensor.numpy() if tensor.device.type == "cpu" and tensor.dtype in _NUMPY else tensor


_NUMPY = {
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128),
}
