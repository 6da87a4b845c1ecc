"""The table of a graph: a row for each key, those of the next step in a group of their own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from keywork._keys import NEXT, path_of
from keywork.flow._graph import Entry, Graph

if TYPE_CHECKING:
    from rich.table import Table

HEADS = ("key", "shape", "dtype", "domain", "written by", "read by")
_GAP = "  "
_FOLDING = (3, 4, 5)  # these columns are broken into lines where there is no room
_NARROWEST = 12


def table(graph: Graph, width: int) -> str:
    """Aligned text in plain ASCII, at most ``width`` columns wide unless single words need more."""
    groups = [[_cells(entry) for entry in group] for group in _groups(graph.entries)]
    columns = zip(HEADS, *(row for group in groups for row in group), strict=True)
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        widest = max(_FOLDING, key=lambda column: widths[column])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
    rule = _GAP.join("-" * w for w in widths)
    lines = list(_lines(HEADS, widths))
    for group in groups:
        lines += [rule, *(line for row in group for line in _lines(row, widths))]
    return "\n".join([*lines, *(f"note: {note}" for note in graph.notes)])


def rich_table(graph: Graph) -> Table:
    """The same as an object that rich shows."""
    from rich import box  # here, because rich takes its time to import
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", caption_justify="left")
    for head, style in zip(HEADS, ("bold cyan", "magenta", "green", "yellow", "", "dim"), strict=True):
        result.add_column(head, style=style, no_wrap=head in HEADS[:3])
    for group in _groups(graph.entries):
        for row in map(_cells, group):
            result.add_row(*map(Text, row))  # Text: a cell such as [dim] is no markup
        result.add_section()
    if graph.notes:
        result.caption = Text("\n".join(f"note: {note}" for note in graph.notes))
    return result


def _groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries of the step itself, then those of the next one."""
    for of_next in (False, True):
        group = [entry for entry in entries if (path_of(entry.key)[0] == NEXT) == of_next]
        if group:
            yield group


def _cells(entry: Entry) -> tuple[str, ...]:
    holds = entry.holds
    writers, readers = ", ".join(entry.written_by) or "-", ", ".join(entry.read_by) or "-"
    return ".".join(path_of(entry.key)), holds.shape_text, holds.dtype or "?", holds.domain, writers, readers


def _lines(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    folded = [
        textwrap.wrap(cell, width, break_long_words=False) or [""] for cell, width in zip(cells, widths, strict=True)
    ]
    for pieces in zip_longest(*folded, fillvalue=""):
        yield _GAP.join(piece.ljust(width) for piece, width in zip(pieces, widths, strict=True)).rstrip()
