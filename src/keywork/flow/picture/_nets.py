"""What a picture shows of a graph: bundles of keys that go the same way, and the row that each part stands in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keywork._keys import Key, next_key
from keywork.flow._graph import Graph


@dataclass(frozen=True, slots=True)
class Net:
    """Keys that one part writes and the same parts read: drawn as one label and one line.

    If ``carried``, they are states of the step before, and the writer is the part that takes them up.
    """

    writer: int
    readers: tuple[int, ...]
    keys: tuple[Key, ...]
    carried: bool = False


def nets_of(graph: Graph) -> tuple[list[Net], dict[int, tuple[Key, ...]]]:
    """The bundles of a graph, and for each part the keys that it writes and nothing reads."""
    bundles: dict[tuple[int, tuple[int, ...], bool], list[Key]] = {}
    unread: dict[int, list[Key]] = {}
    carried = {(carry.source, next_key(carry.key)) for carry in graph.carries}
    for stream in graph.streams:
        if stream.readers:
            bundles.setdefault((stream.writer, stream.readers, False), []).append(stream.key)
        elif (stream.writer, stream.key) not in carried:
            unread.setdefault(stream.writer, []).append(stream.key)
    for stream in graph.handed_on:
        bundles.setdefault((stream.writer, stream.readers, True), []).append(stream.key)
    nets = [Net(writer, readers, tuple(keys), carried) for (writer, readers, carried), keys in bundles.items()]
    return nets, {part: tuple(keys) for part, keys in unread.items()}


def rows_of(widths: Sequence[float], nets: Sequence[Net], widest: float) -> list[int]:
    """For each part its row: below all that it reads from, as high as possible, no row wider than ``widest``.

    >>> rows_of([100, 100, 100, 100], [Net(0, (1, 2), ("x",)), Net(1, (3,), ("y",))], widest=250)
    [0, 1, 1, 2]
    >>> rows_of([100, 100, 100, 100], [Net(0, (1, 2), ("x",)), Net(1, (3,), ("y",))], widest=150)
    [0, 1, 2, 3]
    """
    rows: list[int] = []
    used: dict[int, float] = {}
    for part, width in enumerate(widths):
        above = [rows[net.writer] for net in nets if part in net.readers]
        row = max(above, default=-1) + 1
        while used.get(row, 0.0) and used[row] + width > widest:
            row += 1
        used[row] = used.get(row, 0.0) + width
        rows.append(row)
    return rows
