"""The picture of a graph, in numbers: where every card, label and line is. Plain data, drawn by ``_svg``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from keywork._keys import Key, next_key
from keywork.flow._graph import Graph
from keywork.flow.picture._blocks import EDGE
from keywork.flow.picture._boxes import Box, moved
from keywork.flow.picture._lanes import lanes_of, left_edges
from keywork.flow.picture._plan import Plan, plan_of
from keywork.flow.picture._route import Fork, Point, branches, spread, tracks_of

MARGIN = 20.0
_CHANNEL = 26.0  # height of a channel with one track or none
_EMPTY = 8.0  # height of one without any line
_TRACK = 11.0  # between two parallel tracks
_PORT = 16.0  # between two lines at one card


@dataclass(frozen=True, slots=True)
class Wire:
    """A line through ``points`` with rounded corners; ``arrow`` if it ends at a part that reads."""

    net: int
    points: tuple[Point, ...]
    arrow: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that is to be drawn. ``labels[n]`` names what the wires of net ``n`` carry; back edges come last.

    Attributes:
        keys: what each net is about; of a back edge the keys at both of its ends.
        ends: for each net the parts that it connects.
    """

    width: float
    height: float
    cards: tuple[Box, ...]
    labels: tuple[Box, ...]
    wires: tuple[Wire, ...]
    keys: tuple[tuple[Key, ...], ...]
    ends: tuple[tuple[int, ...], ...]


def layout(graph: Graph) -> Drawing:
    """Find a place for everything."""
    return _Router(plan_of(graph)).drawing()


class _Router:
    """Draws the lines of a plan. Back edges count as nets after the others."""

    def __init__(self, plan: Plan) -> None:
        lanes = lanes_of(plan)
        edges = [*left_edges(plan), *(x - box.width / 2 for x, box in zip(lanes, plan.loop_labels, strict=True))]
        left = min(edges, default=MARGIN)
        self.plan = plan = plan.shifted(MARGIN - left)
        self.lanes = [x + MARGIN - left for x in lanes]
        self.leaving, self.entering = self._ports()
        self.forks: dict[int, list[Fork]] = {c: list(self._forks(c)) for c in range(-1, plan.layers)}
        self.tracks = {c: tracks_of(forks) for c, forks in self.forks.items()}
        self.tops, self.height = self._levels()

    def drawing(self) -> Drawing:
        """Put the boxes where they belong and connect them."""
        plan = self.plan
        self.cards = [
            moved(card, round(x - card.width / 2), self.tops[2 * row])
            for card, x, row in zip(plan.cards, plan.card_x, plan.rows, strict=True)
        ]
        self.labels = [
            moved(label, round(x - label.width / 2), self.tops[2 * plan.rows[net.writer] + 1])
            for label, x, net in zip(plan.labels, plan.label_x, plan.nets, strict=True)
        ]
        wires = [wire for n in range(len(plan.nets)) for wire in self._wires(n)]
        loops = [self._loop(k) for k in range(len(plan.loops))]
        boxes = [*self.cards, *self.labels, *(label for label, _ in loops)]
        wires += [wire for _, pair in loops for wire in pair]
        right = max(
            [*(box.x + box.width for box in boxes), *(x for wire in wires for x, _ in wire.points)], default=0.0
        )
        labels = (*self.labels, *(label for label, _ in loops))
        keys = [*(net.keys for net in plan.nets), *((*loop.keys, *map(next_key, loop.keys)) for loop in plan.loops)]
        ends = [
            *((net.writer, *net.readers) for net in plan.nets),
            *((loop.source, loop.target) for loop in plan.loops),
        ]
        return Drawing(right + MARGIN, self.height, tuple(self.cards), labels, tuple(wires), tuple(keys), tuple(ends))

    def _ports(self) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]]:
        """For (card, net): where the net's line leaves the card below, and where it enters above."""
        plan = self.plan
        below: dict[int, list[tuple[float, int]]] = defaultdict(list)
        above: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for n, net in enumerate(plan.nets):
            below[net.writer].append((plan.label_x[n], n))
            for reader in net.readers:
                near = plan.rows[reader] == plan.rows[net.writer] + 1
                above[reader].append((plan.label_x[n] if near else plan.trunks[n], n))
        for k, loop in enumerate(plan.loops, len(plan.nets)):
            below[loop.source].append((self.lanes[k - len(plan.nets)], k))
            above[loop.target].append((self.lanes[k - len(plan.nets)], k))
        return self._spread(below), self._spread(above)

    def _spread(self, wanted: dict[int, list[tuple[float, int]]]) -> dict[tuple[int, int], float]:
        ports: dict[tuple[int, int], float] = {}
        for card, lines in wanted.items():
            half, middle = self.plan.cards[card].width / 2 - EDGE, self.plan.card_x[card]
            lines.sort()
            points = spread([x for x, _ in lines], middle - half, middle + half, _PORT)
            ports |= {(card, n): round(point, 1) for (_, n), point in zip(lines, points, strict=True)}
        return ports

    def _forks(self, channel: int) -> Iterator[Fork]:
        """What happens between layer ``channel`` and the next."""
        plan, row, under_cards = self.plan, channel // 2, channel % 2 == 0
        for n, net in enumerate(plan.nets):
            writer, last = plan.rows[net.writer], plan.last_row(net)
            if not writer <= row < last:
                continue
            if under_cards:
                if writer == row:
                    port = self.leaving[net.writer, n]
                    yield Fork(n, port, (self._at_label(n, [port]),))
                else:
                    yield Fork(n, plan.trunks[n], (plan.trunks[n],))
                continue
            targets = [self.entering[reader, n] for reader in net.readers if plan.rows[reader] == row + 1]
            targets += [plan.trunks[n]] if last > row + 1 else []
            yield Fork(n, self._at_label(n, targets) if writer == row else plan.trunks[n], tuple(targets))
        for k, loop in enumerate(plan.loops):
            n = len(plan.nets) + k
            if channel == 2 * plan.rows[loop.source]:
                yield Fork(n, self.leaving[loop.source, n], (self.lanes[k],))
            if channel == 2 * plan.rows[loop.target] - 1:
                yield Fork(n, self.lanes[k], (self.entering[loop.target, n],))

    def _at_label(self, n: int, others: list[float]) -> float:
        """Where a line meets a label: straight from one of the ``others`` if that is within the label."""
        x, half = self.plan.label_x[n], self.plan.labels[n].width / 2 - EDGE
        return min((other for other in others if abs(other - x) <= half), key=lambda o: abs(o - x), default=x)

    def _levels(self) -> tuple[list[float], float]:
        """The upper edge of every layer, and the height of the whole."""
        plan = self.plan
        heights = [0.0] * plan.layers
        for card, row in zip(plan.cards, plan.rows, strict=True):
            heights[2 * row] = max(heights[2 * row], card.height)
        for label, net in zip(plan.labels, plan.nets, strict=True):
            layer = 2 * plan.rows[net.writer] + 1
            heights[layer] = max(heights[layer], label.height)
        tops, y = [], MARGIN
        self.track_y: dict[tuple[int, int], float] = {}
        for channel in range(-1, plan.layers):
            if channel >= 0:
                tops.append(y)
                y += heights[channel]
            for fork, track in zip(self.forks[channel], self.tracks[channel], strict=True):
                self.track_y[channel, fork.net] = y + 11 + _TRACK * track
            used = max(
                (t for f, t in zip(self.forks[channel], self.tracks[channel], strict=True) if not f.straight), default=0
            )
            between_rows = 0 <= channel < plan.layers - 1
            y += _CHANNEL + _TRACK * used if self.forks[channel] else _EMPTY * between_rows
        return tops, y + MARGIN

    def _wires(self, n: int) -> Iterator[Wire]:
        """The lines of a net, from above to below; the trunk is drawn in one piece."""
        plan, net = self.plan, self.plan.nets[n]
        trunk: list[Point] = []
        for channel in range(2 * plan.rows[net.writer], 2 * plan.last_row(net)):
            fork = next(fork for fork in self.forks[channel] if fork.net == n)
            row = channel // 2
            if channel == 2 * plan.rows[net.writer]:
                begin = self.cards[net.writer].bottom
            elif channel == 2 * plan.rows[net.writer] + 1:
                begin = self.labels[n].bottom
            else:
                begin = self.tops[channel]
            track = self.track_y[channel, n]
            ending = self.tops[channel + 1]
            passes_on = channel % 2 == 0 and row > plan.rows[net.writer]
            open_ended = channel % 2 == 1 and plan.last_row(net) > row + 1
            continued: list[Point] = []
            for target, points in branches(fork, begin, track, ending):
                points = _joined(trunk, points) if trunk and points[0] == trunk[-1] else points
                if passes_on or (open_ended and target == plan.trunks[n]):
                    continued = points
                else:
                    yield Wire(n, tuple(points), arrow=channel % 2 == 1)
            trunk = continued

    def _loop(self, k: int) -> tuple[Box, list[Wire]]:
        """A back edge: down from its source, up or down its lane, and down to its target."""
        plan, loop, n = self.plan, self.plan.loops[k], len(self.plan.nets) + k
        lane, label = self.lanes[k], self.plan.loop_labels[k]
        low = self.track_y[2 * plan.rows[loop.source], n]
        high = self.track_y[2 * plan.rows[loop.target] - 1, n]
        label = moved(label, round(lane - label.width / 2), self._free_place(low, high, label.height))
        first, second = (label.bottom, label.y) if low > high else (label.y, label.bottom)
        source, target = self.leaving[loop.source, n], self.entering[loop.target, n]
        there = ((source, self.cards[loop.source].bottom), (source, low), (lane, low), (lane, first))
        back = ((lane, second), (lane, high), (target, high), (target, self.cards[loop.target].y))
        return label, [Wire(n, there, arrow=False), Wire(n, back, arrow=True)]

    def _free_place(self, low: float, high: float, height: float) -> float:
        """The upper edge of a back edge's label, near the middle of its lane and off other back edges' lines."""
        edges = sorted(y for (_, n), y in self.track_y.items() if n >= len(self.plan.nets))
        inside = [y for y in edges if min(low, high) <= y <= max(low, high)]
        middle = (low + high - height) / 2
        places = [
            min(max(middle, above + 4), below - 4 - height)
            for above, below in pairwise(inside)
            if below - above >= height + 8
        ]
        nearest: float = min(places, key=lambda y: abs(y - middle), default=middle)
        return round(nearest)


def _joined(first: list[Point], second: list[Point]) -> list[Point]:
    """One line of two that meet; points on a straight stretch are left out."""
    straight = first[-2][0] == first[-1][0] == second[1][0]
    return (first[:-1] if straight else first) + second[1:]
