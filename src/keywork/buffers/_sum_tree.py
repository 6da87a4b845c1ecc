"""Drawing in proportion to weights that change, without looking at all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

_SHIFT = 4
_FAN = 1 << _SHIFT  # children of a node: a level costs about the same with 8, and there are more of them then
_TOP = 256  # so many nodes are searched at once
_BELOW = 1.0 - 2.0**-52  # times x is the number next below x, or the one below that
_ONES = np.ones(_FAN)
_BEFORE = np.triu(np.ones((_FAN, _FAN)), 1)  # a block times this says how much is before each: quicker than cumsum(1)


class SumTree:
    """Weights w [N], and the sums of 16, of 16 x 16, ... neighbours: ``P(i) = wᵢ / Σⱼ wⱼ`` in a few steps.

    Sums are always computed from the weights below them, so that rounding does not add up over time. They are arrays:
    on few numbers a call of numpy costs a third of one of torch.

    Args:
        size: how many weights there are; all zero to begin with.

    >>> tree = SumTree(100_000)
    >>> tree.set(torch.tensor([3, 70_000]), torch.tensor([1.0, 3.0]))
    >>> index, weight = tree.find(torch.tensor([0.0, 0.2, 0.3, 0.9]))
    >>> tree.total, index.tolist(), weight.tolist()
    (4.0, [3, 3, 70000, 70000], [1.0, 1.0, 3.0, 3.0])
    """

    def __init__(self, size: int) -> None:
        self._levels = [_zeros(size)]
        while self._levels[-1].size > _TOP:
            self._levels.append(_zeros(self._levels[-1].size // _FAN))
        self._blocks = [level.reshape(-1, _FAN) for level in self._levels]

    @property
    def weights(self) -> Tensor:
        """All weights, float64 [N] (and zeros after them)."""
        return torch.from_numpy(self._levels[0])

    @property
    def total(self) -> float:
        """Their sum."""
        return float(self._levels[-1].sum())

    def set(self, index: Tensor, weight: Tensor) -> None:
        """Give the weights of an index ``[n]`` new values ``[n]``; of one that is in it twice, either value."""
        at = index.numpy()
        self._levels[0][at] = weight.numpy()
        for above, block in zip(self._levels[1:], self._blocks, strict=False):
            at = at >> _SHIFT
            above[at] = block.take(at, 0) @ _ONES

    def fill(self, start: int, stop: int, weight: float) -> None:
        """Give all weights from ``start`` to before ``stop`` one value."""
        self._levels[0][start:stop] = weight
        for above, block in zip(self._levels[1:], self._blocks, strict=False):
            start, stop = start // _FAN, (stop - 1) // _FAN + 1
            above[start:stop] = block[start:stop] @ _ONES

    def find(self, fraction: Tensor) -> tuple[Tensor, Tensor]:
        """The i where ``Σⱼ₍ⱼ<ᵢ₎ wⱼ <= fraction · Σⱼ wⱼ`` begins to hold for the last time, for fractions in [0, 1).

        A weight of zero is never found, whatever the rounding.

        Returns:
            The indices ``[n]``, and their weights.
        """
        top = self._levels[-1]
        sums = top.cumsum()
        rest = np.minimum(fraction.numpy() * sums[-1], sums[-1] * _BELOW)
        index = sums.searchsorted(rest, "right")
        rest = np.maximum(rest - (sums - top).take(index), 0.0)
        begin = np.arange(0, rest.size * _FAN, _FAN)
        for block in reversed(self._blocks[:-1]):
            before = block.take(index, 0) @ _BEFORE
            # The last child before which there is no more than the rest: where that holds for all, the first "more" is
            # said to be 0. So it stays inside of this node, whatever the rounding of its sum, and the rest above zero.
            child = ((before > rest[:, None]).argmax(1) - 1) & (_FAN - 1)
            rest -= before.ravel().take(begin + child)
            index = (index << _SHIFT) + child
        weight = self._levels[0].take(index)
        if not weight.all():
            index, weight = self._find_slowly(fraction.numpy())
        return torch.from_numpy(index), torch.from_numpy(weight)

    def _find_slowly(self, fraction: Any) -> tuple[Any, Any]:
        """The same where a product of matrices has rounded two equal sums to two numbers: it adds in no fixed order."""
        sums = self._levels[0].cumsum()
        index = sums.searchsorted(np.minimum(fraction * sums[-1], sums[-1] * _BELOW), "right")
        return index, self._levels[0].take(index)


def _zeros(size: int) -> Any:
    return np.zeros(-(-size // _FAN) * _FAN)
