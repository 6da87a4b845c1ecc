"""Drawing in proportion to weights that change, without looking at all of them."""

from __future__ import annotations

import torch
from torch import Tensor

_SHIFT = 4
_FAN = 1 << _SHIFT  # children of a node: a level costs about the same with 8, and there are more of them then
_TOP = 4096  # so many nodes are searched at once
_BELOW = 1.0 - 2.0**-52  # times x is the number next below x, or the one below that


class SumTree:
    """Weights w [N], and the sums of 16, of 16 x 16, ... neighbours: ``P(i) = wᵢ / Σⱼ wⱼ`` in a few steps.

    Sums are always computed from the weights below them, so that rounding does not add up over time.

    Args:
        size: how many weights there are; all zero to begin with.

    >>> tree = SumTree(100_000)
    >>> tree.set(torch.tensor([3, 70_000]), torch.tensor([1.0, 3.0]))
    >>> tree.total, tree.find(torch.tensor([0.0, 0.2, 0.3, 0.9])).tolist()
    (4.0, [3, 3, 70000, 70000])
    """

    def __init__(self, size: int) -> None:
        self._levels = [_zeros(size)]
        while self._levels[-1].numel() > _TOP:
            self._levels.append(_zeros(self._levels[-1].numel() // _FAN))
        self._blocks = [level.view(-1, _FAN) for level in self._levels]

    @property
    def weights(self) -> Tensor:
        """All weights, float64 [N] (and zeros after them)."""
        return self._levels[0]

    @property
    def total(self) -> float:
        """Their sum."""
        return float(self._levels[-1].sum())

    def set(self, index: Tensor, weight: Tensor) -> None:
        """Give the weights of an index ``[n]`` new values ``[n]``; of one that is in it twice, either value."""
        self._levels[0][index] = weight.double()
        for above, block in zip(self._levels[1:], self._blocks, strict=False):
            index = index >> _SHIFT
            above[index] = block.index_select(0, index).sum(1)

    def fill(self, start: int, stop: int, weight: float) -> None:
        """Give all weights from ``start`` to before ``stop`` one value."""
        self._levels[0][start:stop] = weight
        for above, block in zip(self._levels[1:], self._blocks, strict=False):
            start, stop = start // _FAN, (stop - 1) // _FAN + 1
            above[start:stop] = block[start:stop].sum(1)

    def find(self, fraction: Tensor) -> Tensor:
        """The i where ``Σⱼ₍ⱼ<ᵢ₎ wⱼ <= fraction · Σⱼ wⱼ`` begins to hold for the last time, for fractions in [0, 1).

        A weight of zero is never found, whatever the rounding.
        """
        sums = self._levels[-1].cumsum(0)
        total = float(sums[-1])
        rest = (fraction * total).clamp_(max=total * _BELOW)
        index = torch.searchsorted(sums, rest, right=True)
        rest.sub_((sums - self._levels[-1]).index_select(0, index))
        rest, index = rest.unsqueeze(1), index.unsqueeze(1)
        for block in reversed(self._blocks[:-1]):
            part = block.index_select(0, index.view(-1))
            sums = part.cumsum(1)
            # Sums in another order may differ in their last digits: stay inside of this node.
            rest = torch.minimum(rest.clamp_(min=0.0), sums[:, -1:] * _BELOW)
            child = torch.searchsorted(sums, rest, right=True)
            rest.sub_(sums.sub_(part).gather(1, child))
            index = (index << _SHIFT).add_(child)
        return index.view(-1)


def _zeros(size: int) -> Tensor:
    return torch.zeros(-(-size // _FAN) * _FAN, dtype=torch.float64)
