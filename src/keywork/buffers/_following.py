"""What a step leads to, where it is the root of the step after it: stored once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from keywork.buffers._layout import Layout
from keywork.buffers._memory import require_memory
from keywork.buffers._ring import Ring
from keywork.buffers._table import Table


class Following:
    """The entries x of every step, and those that follow it: x' of step t is x of step t + 1 of its stream.

    Where that is not so to the last bit (an episode ended, a stream was begun anew, or t is the newest step), x' is
    kept beside. So what is read is what was written, whatever was written.

    Args:
        layout: of x.
        ring: where the steps are.
        lead: ``(steps,)``, or ``(steps, num_envs)`` for several streams.
        device: where the rows are.

    Attributes:
        table: x of every step.
    """

    def __init__(self, layout: Layout, ring: Ring, lead: tuple[int, ...], device: torch.device) -> None:
        self.table, self._ring = Table(layout, lead, device), ring
        count = ring.steps * ring.num_envs
        self._place = np.full(count, -1, np.int32)  # of each row: where x' is kept, -1 if it is in the row after it
        self._beside = Table(layout, (min(count, max(64, 2 * ring.num_envs)),), device)
        self._free = [*range(len(self._beside.rows))]

    @property
    def nbytes(self) -> int:
        """Bytes of all its memory."""
        return self.table.rows.nbytes + self._beside.rows.nbytes + self._place.nbytes

    def write(self, values: Sequence[Tensor], after: Sequence[Tensor], lead: tuple[int, ...], pieces: Any) -> None:
        """Store x and x', as :meth:`Table.write`."""
        self.table.write(values, lead, pieces)
        if not pieces:
            return
        steps, num_envs = self._ring.steps, self._ring.num_envs
        first, begin = pieces[0][0], pieces[0][2]
        x, following = (_time_first(part, len(lead), begin) for part in (values, after))
        slots = np.concatenate([np.arange(start, stop) for start, stop, _ in pieces])
        rows = slots[:, None] * num_envs + np.arange(num_envs)
        self._release(rows.reshape(-1))
        self._meet((first - 1) % steps * num_envs, [value[0] for value in x])
        differs = torch.ones(rows.shape, dtype=torch.bool)  # the newest step is always kept beside
        differs[:-1] = False
        for value, other in zip(x, following, strict=True):
            differs[:-1] |= _differ(value[1:], other[:-1], 2).cpu()
        self.keep(rows[differs.numpy()], [value[differs.to(value.device)] for value in following])

    def _meet(self, row: int, x: Sequence[Tensor]) -> None:
        """The steps after those in the rows from this one on have come: what they hold need not be kept beside."""
        rows = np.arange(row, row + self._ring.num_envs)
        waiting = (self._place[rows] >= 0).nonzero()[0]
        place, differs = (
            torch.from_numpy(self._place[rows[waiting]]).long(),
            torch.zeros(waiting.size, dtype=torch.bool),
        )
        for value, kept in zip(x, self._beside.entries, strict=True):
            at = value.device
            differs |= _differ(value[torch.from_numpy(waiting).to(at)], kept[place.to(at)], 1).cpu()
        self._release(rows[waiting[~differs.numpy()]])

    def keep(self, rows: np.ndarray, after: Sequence[Tensor]) -> None:
        """Keep x' ``[n, *shape]`` of these rows beside."""
        while len(self._free) < rows.size:
            self._grow()
        begin = len(self._free) - rows.size
        places = self._free[begin:]
        del self._free[begin:]
        self._place[rows] = places
        index = torch.tensor(places, dtype=torch.int64, device=self._beside.rows.device)
        for kept, value in zip(self._beside.entries, after, strict=True):
            kept[index] = value.to(kept.device)

    def after(self, rows: Tensor, lead: tuple[int, ...]) -> list[Tensor]:
        """x' ``[*lead, *shape]`` of the rows of a flat index on this device."""
        taken = self.table.take((rows + self._ring.num_envs) % self._place.size)
        place = torch.from_numpy(self._place.take(rows.cpu().numpy()))
        beside = (place >= 0).nonzero().view(-1)
        if beside.numel():
            device = taken.device
            taken[beside.to(device)] = self._beside.take(place[beside].long().to(device))
        return self.table.layout.views(taken, lead)

    def kept(self) -> tuple[Tensor, list[Tensor]]:
        """The rows whose x' is kept beside, and what it is."""
        rows = (self._place >= 0).nonzero()[0]
        place = torch.from_numpy(self._place[rows]).long().to(self._beside.rows.device)
        return torch.from_numpy(rows), [entry[place] for entry in self._beside.entries]

    def _release(self, rows: np.ndarray) -> None:
        place = self._place[rows]
        self._free += place[place >= 0].tolist()
        self._place[rows] = -1

    def _grow(self) -> None:
        rows = self._beside.rows
        old, device = len(rows), rows.device
        room = min(2 * old, self._place.size)
        require_memory(room, self.table.layout.row_bytes, device, "ends of episodes")
        self._beside = Table(self.table.layout, (room,), device)
        self._beside.rows[:old] = rows
        self._free += range(old, room)


def _time_first(values: Sequence[Tensor], ndim: int, begin: int) -> list[Tensor]:
    """``[T - begin, num_envs, *shape]`` of each."""
    return [(value.unsqueeze(1) if ndim == 1 else value.swapaxes(0, 1))[begin:] for value in values]


def _differ(one: Tensor, other: Tensor, ndim: int) -> Tensor:
    """Where of the first ``ndim`` dimensions two tensors are not the same bits."""
    if one.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other)
    if one.is_floating_point():  # a NaN is the same as itself, and -0 is not 0
        bits = _BITS[one.dtype.itemsize]
        one, other = one.view(bits), other.view(bits)
    unequal = one != other
    return unequal if unequal.ndim == ndim else unequal.flatten(ndim).any(-1)


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
