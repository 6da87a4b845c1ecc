"""The memory of a buffer: rows of bytes, one for each step, allocated once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._errors import UsageError, refusal
from keywork._keys import Key
from keywork.buffers._layout import Layout
from keywork.buffers._memory import free_memory

_LOG = logging.getLogger("keywork")


class Storage:
    """Rows of one layout, ``[*lead, row_bytes]``.

    Args:
        layout: what a row holds.
        lead: ``(steps,)``, or ``(steps, num_envs)`` for several streams.
        device: where the rows are.

    Attributes:
        entries: views of all rows, one for each field of the layout: ``[*lead, *shape]``.

    Raises:
        UsageError: there is not enough memory for them.

    >>> from keywork.buffers._layout import Field
    >>> storage = Storage(Layout([Field("action", torch.int64, ())]), (4,), torch.device("cpu"))
    >>> storage.write([torch.arange(3)], (3,), [(0, 3, 0)])
    >>> storage.read(torch.tensor([2, 1]))["action"].tolist()
    [2, 1]
    """

    def __init__(self, layout: Layout, lead: tuple[int, ...], device: torch.device) -> None:
        self.layout, self.lead, self.device = layout, lead, device
        count = int(np.prod(lead))
        self.nbytes = count * layout.row_bytes
        size = f"{count:,} rows of {layout.row_bytes:,} bytes, {self.nbytes:,} bytes in all, on {device}"
        free = free_memory(device)
        if free is not None and self.nbytes > free:
            raise refusal(
                UsageError,
                "ReplayBuffer cannot be allocated: there is not enough memory.",
                where=f"capacity={count}",
                expected=size,
                got=f"{free:,} bytes are free",
                fix=f"capacity={int(0.8 * free) // layout.row_bytes} or less, or store less with keys=[...]",
            )
        _LOG.info("ReplayBuffer: %s.", size)
        self._rows = torch.empty(count, layout.row_bytes, dtype=torch.uint8, device=device)
        self.entries = layout.views(self._rows, lead)
        # Assigning a slice costs numpy a fifth of what it costs torch: where it can, it writes into the same memory.
        self._columns = [_array(column) for column in layout.columns(self._rows, lead)]

    def write(self, values: Sequence[Tensor], lead: tuple[int, ...], pieces: Sequence[tuple[int, int, int]]) -> None:
        """Store the entries' values, ``[*lead, *shape]`` with time as the last of ``lead``.

        Args:
            values: in the order of the layout's fields.
            lead: ``(T,)``, or ``(num_envs, T)``.
            pieces: what goes where: ``(start, stop, source)``, see :meth:`Ring.advance`.
        """
        for column, packed in zip(self._columns, self.layout.pack(values, lead), strict=True):
            value: Any = packed.numpy(force=True) if type(column) is np.ndarray else packed.detach()
            if len(lead) == 2:
                value = value.swapaxes(0, 1)
            for start, stop, source in pieces:
                column[start:stop] = value[source : source + stop - start]

    def read(self, index: Tensor, entries: Mapping[Key, Tensor] | None = None) -> TensorDict:
        """The rows of an index of any shape as a TensorDict of that batch size, with further entries."""
        if self.device.type != "cpu":
            index = index.to(self.device)
            entries = {key: value.to(self.device) for key, value in (entries or {}).items()}
        flat = index if index.ndim == 1 else index.flatten()
        return self.layout.unpack(self._rows.index_select(0, flat), tuple(index.shape), entries)


def _array(column: Tensor) -> Any:
    """The memory of a column as an array, where numpy has such arrays."""
    if column.device.type != "cpu" or column.dtype not in _NUMPY:
        return column
    return column.numpy()


_NUMPY = {
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128),
}
