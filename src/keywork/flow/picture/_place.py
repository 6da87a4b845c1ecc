"""Where blocks stand from left to right: in a given order, apart from each other, and with straight lines.

All layers follow one order of the blocks, so a block of several layers is straight by construction.

Positions solve ``min sum w_i (x_i - d_i)^2`` subject to ``x_j - x_i >= gap`` for given wishes ``d`` (the first phase
of VPSC: Dwyer, Marriott and Stuckey, "Fast node overlap removal", 2005). A block wishes to be where its neighbours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

_ROUNDS = 30


@dataclass(frozen=True, slots=True)
class Block:
    """Things that stand straight below each other, one in each of the layers from ``first`` on.

    Attributes:
        widths: the width in each layer.
        margins: the room to leave beside it, in each layer.
        weight: where two blocks are in each other's way, the lighter one gives way more.
    """

    first: int
    widths: tuple[float, ...]
    margins: tuple[float, ...]
    weight: float

    @property
    def layers(self) -> range:
        """The layers that it stands in."""
        return range(self.first, self.first + len(self.widths))


@dataclass(frozen=True, slots=True)
class Link:
    """A line between block ``above``, in layer ``channel``, and block ``below``, in the layer after it.

    It is straight as long as the two are at most ``slack`` apart.
    """

    above: int
    below: int
    channel: int
    weight: float
    slack: float = 0.0


Gap = tuple[int, int, float]  # (left, right, least distance of their centres)


def settled(blocks: Sequence[Block], links: Sequence[Link], order: Sequence[int]) -> list[float]:
    """The centre of every block: neighbours in a layer never overlap, and lines are as straight as that allows."""
    gaps, near = gaps_of(blocks, order), neighbours(len(blocks), links)
    # A block weighs what pulls at it: then two blocks that pull at each other do not carry a whole group away.
    weighed = [replace(block, weight=sum(weight for _, weight, _ in near[i]) or 0.1) for i, block in enumerate(blocks)]
    xs = separate(weighed, order, [0.0] * len(blocks), gaps)
    for _ in range(_ROUNDS):
        # Half a step at a time, or two blocks that want each other's place would swap for ever.
        desired = [(x + wish(near[i], xs, x)) / 2 for i, x in enumerate(xs)]
        xs = separate(weighed, order, desired, gaps)
    return xs


def separate(
    blocks: Sequence[Block], order: Sequence[int], desired: Sequence[float], gaps: Sequence[Gap]
) -> list[float]:
    """The positions nearest to the ``desired`` ones that keep every gap.

    Blocks are taken from left to right; where one comes too near to another, the two become a group that moves
    as one.

    >>> blocks = [Block(0, (10,), (0,), 1), Block(0, (10,), (0,), 1)]
    >>> separate(blocks, [0, 1], [50, 50], [(0, 1, 10)])
    [45.0, 55.0]
    """
    count = len(blocks)
    before: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for left, right, gap in gaps:
        before[right].append((left, gap))
    group, offset = list(range(count)), [0.0] * count
    members = [[i] for i in range(count)]
    at = [float(d) for d in desired]
    mass = [block.weight for block in blocks]
    for block in order:
        while True:
            here = group[block]
            worst, shift, other = 1e-9, 0.0, -1
            for i in members[here]:
                for left, gap in before[i]:
                    there = group[left]
                    if there != here:
                        distance = offset[left] + gap - offset[i]
                        violation = at[there] + distance - at[here]
                        if violation > worst:
                            worst, shift, other = violation, distance, there
            if other < 0:
                break
            # ``here`` joins ``other``, ``shift`` to the right of it.
            total = mass[other] + mass[here]
            at[other] = (mass[other] * at[other] + mass[here] * (at[here] - shift)) / total
            mass[other] = total
            for i in members[here]:
                group[i], offset[i] = other, offset[i] + shift
            members[other] += members[here]
    return [at[group[i]] + offset[i] for i in range(count)]


def gaps_of(blocks: Sequence[Block], order: Sequence[int]) -> list[Gap]:
    """The least distances between neighbours, in all layers."""
    last_in: dict[int, tuple[int, float, float]] = {}
    widest: dict[tuple[int, int], float] = {}
    for i in order:
        block = blocks[i]
        for layer, width, margin in zip(block.layers, block.widths, block.margins, strict=True):
            if layer in last_in:
                left, its_width, its_margin = last_in[layer]
                gap = (width + its_width) / 2 + max(margin, its_margin)
                widest[left, i] = max(widest.get((left, i), 0.0), gap)
            last_in[layer] = i, width, margin
    return [(left, right, gap) for (left, right), gap in widest.items()]


Near = tuple[int, float, float]  # (other block, weight, slack)


def neighbours(count: int, links: Sequence[Link]) -> list[list[Near]]:
    """For each block the others that it has lines to, with weight and slack."""
    near: list[list[Near]] = [[] for _ in range(count)]
    for link in links:
        if link.above != link.below:
            near[link.above].append((link.below, link.weight, link.slack))
            near[link.below].append((link.above, link.weight, link.slack))
    return near


def wish(near: Sequence[Near], xs: Sequence[float], here: float) -> float:
    """Where a block would like to be: the mean of the nearest places that make each of its lines straight."""
    total = sum(weight for _, weight, _ in near)
    if not total:
        return here
    return sum(weight * min(max(here, xs[i] - slack), xs[i] + slack) for i, weight, slack in near) / total
