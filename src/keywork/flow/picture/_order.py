"""The order of blocks from left to right in which few lines cross.

Barycentre sweeps find a first order (Sugiyama, Tagawa and Toda 1981); then each block is *sifted*: carried past all
others and left where its lines cross the least (Matuszewski, Schoenfeld and Molitor 1999).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence

from keywork.flow.picture._place import Block, Link, gaps_of, neighbours, separate, wish

_SWEEPS = 16
_SIFTINGS = 6


def ordered(blocks: Sequence[Block], links: Sequence[Link]) -> list[int]:
    """The blocks from left to right; every layer takes those that stand in it."""
    sifter = _Sifter(blocks, links)
    given = list(range(len(blocks)))
    # Sifting gets stuck at times, so it begins at several places; of equally good ends the first one is taken.
    ends = [sifter.settle(start) for start in (_by_barycentres(blocks, links), given, given[::-1])]
    return min(ends, key=lambda order: crossings(order, links))


def crossings(order: Sequence[int], links: Sequence[Link]) -> int:
    """How many pairs of links cross if the blocks stand in this order.

    >>> crossings([0, 1, 2, 3], [Link(0, 3, 0, 1), Link(1, 2, 0, 1)])
    1
    """
    rank = {block: position for position, block in enumerate(order)}
    channels: dict[int, list[tuple[int, int]]] = {}
    for link in links:
        channels.setdefault(link.channel, []).append((rank[link.above], rank[link.below]))
    total = 0
    for pairs in channels.values():
        seen: list[int] = []
        for _, below in sorted(pairs):
            total += len(seen) - bisect_right(seen, below)
            insort(seen, below)
    return total


def _by_barycentres(blocks: Sequence[Block], links: Sequence[Link]) -> list[int]:
    """The order of least crossings that sweeps down and up come by."""
    best = order = list(range(len(blocks)))
    xs = separate(blocks, order, [0.0] * len(blocks), gaps_of(blocks, order))
    fewest = crossings(order, links)
    bent = sorted((link for link in links if link.above != link.below), key=lambda link: link.channel)
    for sweep in range(_SWEEPS):
        sums: dict[int, tuple[float, float]] = {}
        for link in bent if sweep % 2 == 0 else reversed(bent):
            still, mover = (link.above, link.below) if sweep % 2 == 0 else (link.below, link.above)
            total, mass = sums.get(mover, (0.0, 0.0))
            sums[mover] = total + link.weight * xs[still], mass + link.weight
            xs[mover] = sums[mover][0] / sums[mover][1]
        order = sorted(range(len(blocks)), key=lambda i: (xs[i], i))
        xs = separate(blocks, order, xs, gaps_of(blocks, order))
        count = crossings(order, links)
        if count < fewest:
            best, fewest = order, count
    return best


class _Sifter:
    """Carries single blocks past the others.

    Two links of one channel cross if their upper ends stand in the other order than their lower ends, so carrying
    block ``a`` past block ``b`` matters only for the links that these two have in common channels.
    """

    def __init__(self, blocks: Sequence[Block], links: Sequence[Link]) -> None:
        self.blocks, self.all_links, self.near = blocks, links, neighbours(len(blocks), links)
        self.links: list[dict[int, list[tuple[int, int]]]] = [{} for _ in blocks]
        for link in links:
            for end in {link.above: None, link.below: None}:
                self.links[end].setdefault(link.channel, []).append((link.above, link.below))

    def settle(self, order: Sequence[int]) -> list[int]:
        """Sift until it does not help any more."""
        best = list(order)
        for _ in range(_SIFTINGS):
            trial = self.sifted(best)
            if trial == best or crossings(trial, self.all_links) > crossings(best, self.all_links):
                break
            best = trial
        return best

    def sifted(self, order: Sequence[int]) -> list[int]:
        """One round: every block once, those with most lines first."""
        order = list(order)
        xs = separate(self.blocks, order, [0.0] * len(order), gaps_of(self.blocks, order))
        busiest_first = sorted(order, key=lambda i: (-sum(map(len, self.links[i].values())), i))
        for block in busiest_first:
            others = [i for i in order if i != block]
            place = self._best_place(block, others, xs)
            order = [*others[:place], block, *others[place:]]
        return order

    def _best_place(self, block: int, others: Sequence[int], xs: Sequence[float]) -> int:
        rank = {other: float(position) for position, other in enumerate(others)}
        here = wish(self.near[block], xs, xs[block])
        layers = set(self.blocks[block].layers)
        crossed, best = 0, (0, float("inf"), 0)
        left = None
        for place in range(len(others) + 1):
            right = others[place] if place < len(others) else None
            if right is not None and layers.isdisjoint(self.blocks[right].layers):
                continue
            # Of all places with equally few crossings, the one that is nearest to where the block wants to be.
            short = here - xs[right] if right is not None else 0.0
            over = xs[left] - here if left is not None else 0.0
            best = min(best, (crossed, max(short, over, 0.0), place))
            if right is not None:
                rank[block] = place - 0.5
                before = self._crossings(block, right, rank)
                rank[block] = place + 0.5
                crossed += self._crossings(block, right, rank) - before
            left = right
        return best[2]

    def _crossings(self, one: int, other: int, rank: dict[int, float]) -> int:
        total = 0
        theirs = self.links[other]
        for channel, ours in self.links[one].items():
            for above, below in ours:
                for their_above, their_below in theirs.get(channel, ()):
                    upper, lower = rank[above] - rank[their_above], rank[below] - rank[their_below]
                    total += upper * lower < 0
        return total
