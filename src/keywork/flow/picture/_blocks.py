"""From cards, labels and lines to blocks and links: what has to stand straight below what.

Three kinds of things take room: cards (one each layer ``2 * row``), labels (one layer further down), and the *trunks*
of lines that pass several layers. A card, the one label that leads on from it, and the one card that this leads to
make one block, so that the main line of a pipeline is a straight line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keywork.flow.picture._boxes import Box
from keywork.flow.picture._nets import Net
from keywork.flow.picture._place import Block, Link

_TRUNK_WIDTH = 4.0
EDGE = 12.0  # lines meet a box at least so far from its corners


@dataclass(frozen=True, slots=True)
class Thing:
    """A card, a label or a trunk: where it stands and the room it takes."""

    first: int
    height: int  # in layers
    width: float
    margin: float
    weight: float


class Things:
    """All things of a picture: the cards, then the labels, then the trunks.

    Attributes:
        trunk_of: for each net that has a trunk, its thing.
        block_of: for each thing, its block.
    """

    def __init__(self, cards: Sequence[Box], labels: Sequence[Box], nets: Sequence[Net], rows: Sequence[int]) -> None:
        self.nets, self.rows, self.cards = nets, rows, len(cards)
        self.all = [Thing(2 * row, 1, card.width, 28.0, 3.0) for card, row in zip(cards, rows, strict=True)]
        self.all += [
            Thing(2 * rows[net.writer] + 1, 1, label.width, 18.0, 2.0) for label, net in zip(labels, nets, strict=True)
        ]
        self.trunk_of: dict[int, int] = {}
        for n, net in enumerate(nets):
            first, last = 2 * rows[net.writer] + 2, 2 * max(rows[reader] for reader in net.readers) - 1
            if first <= last:
                self.trunk_of[n] = len(self.all)
                self.all.append(Thing(first, last - first + 1, _TRUNK_WIDTH, 14.0, 0.3))
        self.below = self._alignments()
        self.block_of = [0] * len(self.all)

    def blocks(self) -> list[Block]:
        """The things, those that are aligned as one."""
        blocks: list[Block] = []
        heads = sorted(set(range(len(self.all))) - set(self.below.values()))
        for head in heads:
            chain = [head]
            while chain[-1] in self.below:
                chain.append(self.below[chain[-1]])
            things = [self.all[i] for i in chain]
            for i in chain:
                self.block_of[i] = len(blocks)
            widths = tuple(thing.width for thing in things for _ in range(thing.height))
            margins = tuple(thing.margin for thing in things for _ in range(thing.height))
            blocks.append(Block(things[0].first, widths, margins, sum(thing.weight for thing in things)))
        return blocks

    def links(self) -> Iterator[Link]:
        """The lines, between blocks; :meth:`blocks` comes first."""
        for n, net in enumerate(self.nets):
            label, top = self.cards + n, 2 * self.rows[net.writer]
            yield self._link(net.writer, label, top, 3.0)
            trunk = self.trunk_of.get(n)
            if trunk is not None:
                yield self._link(label, trunk, top + 1, 3.0, self._reach(label))
                passed = self.all[trunk].first, self.all[trunk].first + self.all[trunk].height - 1
                yield from (self._link(trunk, trunk, channel, 1.0) for channel in range(*passed))
            for reader in net.readers:
                if self._next_to(reader, net):
                    yield self._link(label, reader, top + 1, 2.0)
                elif trunk is not None:
                    yield self._link(trunk, reader, 2 * self.rows[reader] - 1, 0.1, self._reach(reader))

    def _link(self, above: int, below: int, channel: int, weight: float, slack: float = 0.0) -> Link:
        return Link(self.block_of[above], self.block_of[below], channel, weight, slack)

    def _reach(self, thing: int) -> float:
        return max(self.all[thing].width / 2 - EDGE, 0.0)

    def _next_to(self, reader: int, net: Net) -> bool:
        return self.rows[reader] == self.rows[net.writer] + 1

    def _alignments(self) -> dict[int, int]:
        """What stands straight below a thing."""
        from_near = [0] * self.cards
        readers = [[reader for reader in net.readers if self._next_to(reader, net)] for net in self.nets]
        for near in readers:
            for reader in near:
                from_near[reader] += 1
        below = {}
        for n, near in enumerate(readers):
            if len(near) == 1 and from_near[near[0]] == 1:
                below[self.cards + n] = near[0]
        for card in range(self.cards):
            own = [n for n, net in enumerate(self.nets) if net.writer == card]
            leading_on = [n for n in own if readers[n]]
            main = own if len(own) == 1 else leading_on
            if len(main) == 1:
                below[card] = self.cards + main[0]
        return below
