"""Numbers that come step after step, and are told of now and then."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from keywork.train._algorithm import Metrics
from keywork.train._flat import FlatAdam
from keywork.train._parts import means


class Told:
    """The means of what updates compute, handed out every so many steps.

    Args:
        names: of the numbers.
        every: how many steps there are from one time to the next.
        optimizers: whose steps are looked after at these times.

    >>> import torch
    >>> told = Told(["loss"], every=10)
    >>> told.add([torch.tensor(1.0)])
    >>> told.add([torch.tensor(2.0)])
    >>> told.at(8), told.at(12)
    ({}, {'loss': 1.5})
    """

    def __init__(self, names: Sequence[str], every: int, *optimizers: FlatAdam) -> None:
        self._names, self._every, self._optimizers = tuple(names), every, optimizers
        self._rows: list[Sequence[Tensor]] = []
        self._next = every

    def add(self, row: Sequence[Tensor]) -> None:
        """The numbers of one gradient step."""
        self._rows.append(row)

    def at(self, frames: int) -> Metrics:
        """The means since the last time, if it is time after so many steps; else nothing.

        Raises:
            NonFiniteError: a loss or a gradient was NaN or infinite.
        """
        if frames < self._next or not self._rows:
            return {}
        self._next = frames + self._every
        for optimizer in self._optimizers:
            optimizer.check()
        rows, self._rows = self._rows, []
        return means(self._names, rows)
