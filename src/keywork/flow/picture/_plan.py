"""What stands in which layer of the picture, and where from left to right.

Layers from above to below: a row of cards, the labels of what they write, the next row of cards, and so on. The
*channel* ``c`` is the room between layer ``c`` and the one below it, for the horizontal pieces of the lines.
A line that passes several layers does so as one vertical *trunk*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keywork._keys import Key
from keywork.flow._graph import Graph
from keywork.flow.picture._blocks import Things
from keywork.flow.picture._boxes import WIDEST_CARD, Box, card_of, carry_label_of, label_of
from keywork.flow.picture._nets import Net, nets_of, rows_of
from keywork.flow.picture._order import ordered
from keywork.flow.picture._place import settled

_WIDEST_ROW = 4 * WIDEST_CARD + 100


@dataclass(frozen=True, slots=True)
class Loop:
    """The keys that part ``source`` hands to part ``target`` of the next step."""

    source: int
    target: int
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Boxes without heights above the ground yet, their layers, and their centres from left to right.

    Attributes:
        rows: the row of each card; its layer is twice that.
        trunks: the centre of the trunk of each net that has one.
    """

    nets: tuple[Net, ...]
    loops: tuple[Loop, ...]
    cards: tuple[Box, ...]
    labels: tuple[Box, ...]
    loop_labels: tuple[Box, ...]
    rows: tuple[int, ...]
    card_x: tuple[float, ...]
    label_x: tuple[float, ...]
    trunks: dict[int, float]

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return 2 * max(self.rows, default=0) + 1

    def last_row(self, net: Net) -> int:
        """The row of the lowest reader."""
        return max(self.rows[reader] for reader in net.readers)

    def shifted(self, dx: float) -> Plan:
        """The same plan further to the right, at whole pixels."""
        return replace(
            self,
            card_x=tuple(round(x + dx) for x in self.card_x),
            label_x=tuple(round(x + dx) for x in self.label_x),
            trunks={n: round(x + dx) for n, x in self.trunks.items()},
        )


def plan_of(graph: Graph) -> Plan:
    """Measure, stack and line up everything that is drawn."""
    nets, unread = nets_of(graph)
    loops = _loops_of(graph)
    entries = {entry.key: entry for entry in graph.entries}
    cards = []
    for i, part in enumerate(graph.parts):
        inputs = sum(i in net.readers for net in nets) + sum(i == loop.target for loop in loops)
        outputs = sum(i == net.writer for net in nets) + sum(i == loop.source for loop in loops)
        cards.append(card_of(part, unread.get(i, ()), max(inputs, outputs)))
    kinds = ["carry" if net.carried else graph.parts[net.writer].kind for net in nets]
    labels = [label_of([entries[key] for key in net.keys], kind) for net, kind in zip(nets, kinds, strict=True)]
    rows = rows_of([card.width for card in cards], nets, _WIDEST_ROW)

    things = Things(cards, labels, nets, rows)
    blocks = things.blocks()
    links = list(things.links())
    xs = settled(blocks, links, ordered(blocks, links))
    x = [xs[block] for block in things.block_of]
    middle = len(cards), len(cards) + len(labels)
    return Plan(
        tuple(nets), tuple(loops), tuple(cards), tuple(labels), tuple(carry_label_of(loop.keys) for loop in loops),
        tuple(rows), tuple(x[: middle[0]]), tuple(x[middle[0] : middle[1]]),
        {n: x[thing] for n, thing in things.trunk_of.items()},
    )  # fmt: skip


def _loops_of(graph: Graph) -> list[Loop]:
    """The back edges, those of one way together, less what nobody would miss; short ones first."""
    read = {key for part in graph.parts for key in part.inputs}
    together: dict[tuple[int, int], list[Key]] = {}
    for carry in graph.carries:
        if carry.key in read:
            together.setdefault((carry.source, carry.target), []).append(carry.key)
    loops = [Loop(source, target, tuple(keys)) for (source, target), keys in together.items()]
    return sorted(loops, key=lambda loop: (loop.source - loop.target, loop.source))
