"""The table of a graph: a row for each key, those of the next step in a group of their own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeAlias

from keywork._keys import NEXT, path_of
from keywork.flow._graph import Entry, Graph

if TYPE_CHECKING:
    from rich.table import Table

Cell: TypeAlias = Sequence[str]
"""What stands in one cell: items, which are kept whole as long as there is room."""

HEADS = ("key", "shape", "dtype", "domain", "written by", "read by")
_GAP = "  "
_FOLDING = (3, 4, 5)  # these columns are broken into lines where there is no room
_NARROWEST = 12
# Where a text may be broken, the best places first: between words (what is in brackets is one word), between the parts
# of a name, between its humps (OrnsteinUhlenbeck).
_WORDS = re.compile(r"(?:[(\[{][^)\]}]*[)\]}]|\S)+\s*|\s+")
_PARTS = re.compile(r"[^\s_./]*[\s_./]+|[^\s_./]+")
_HUMPS = re.compile(r".+?(?<=[a-z0-9])(?=[A-Z])|.+")


def table(graph: Graph, width: int) -> str:
    """Aligned text in plain ASCII, at most ``width`` columns wide if that leaves room for anything."""
    groups = [[_cells(entry) for entry in group] for group in groups_of(graph.entries)]
    heads = [(head,) for head in HEADS]
    widths = _widths(list(zip(heads, *(row for group in groups for row in group), strict=True)), width)
    rule = _GAP.join("-" * w for w in widths)
    lines = list(_lines(heads, widths))
    for group in groups:
        lines += [rule, *(line for row in group for line in _lines(row, widths))]
    for note in graph.notes:
        lines += textwrap.wrap(f"note: {note}", max(width, 2 * _NARROWEST), subsequent_indent="      ")
    return "\n".join(lines)


def rich_table(graph: Graph) -> Table:
    """The same as an object that rich shows."""
    from rich import box  # here, because rich takes its time to import
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", caption_justify="left")
    for head, style in zip(HEADS, ("bold cyan", "magenta", "green", "yellow", "", "dim"), strict=True):
        result.add_column(head, style=style, no_wrap=head in HEADS[:3])
    for group in groups_of(graph.entries):
        for row in map(_cells, group):
            result.add_row(*(Text(", ".join(cell)) for cell in row))  # Text: a cell such as [dim] is no markup
        result.add_section()
    if graph.notes:
        result.caption = Text("\n".join(f"note: {note}" for note in graph.notes))
    return result


def groups_of(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries of the step itself, then those of the next one."""
    for of_next in (False, True):
        group = [entry for entry in entries if (path_of(entry.key)[0] == NEXT) == of_next]
        if group:
            yield group


def _cells(entry: Entry) -> tuple[Cell, ...]:
    holds = entry.holds
    single = ".".join(path_of(entry.key)), holds.shape_text, holds.dtype or "?", holds.domain
    return *((text,) for text in single), entry.written_by or ("-",), entry.read_by or ("-",)


def _widths(columns: Sequence[Sequence[Cell]], width: int) -> list[int]:
    """The width of every column: nothing is folded if there is room, then only between items, then also within."""
    widths = [max(len(", ".join(cell)) for cell in column) for column in columns]
    items = [max(len(item) + 1 for cell in column for item in cell) for column in columns]  # 1: a comma
    words = [_longest(_WORDS, column) for column in columns]
    items[3] = words[3]  # a domain is one item, and a sentence all the same
    narrow = [_longest(_PARTS, columns[0]), *(_NARROWEST for _ in columns[1:])]
    for folding, least in ((_FOLDING, items), (_FOLDING, words), (_FOLDING, narrow), ((0,), narrow)):
        while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
            widest = max(folding, key=lambda column: widths[column] - least[column])
            if widths[widest] <= max(least[widest], _NARROWEST):
                break
            widths[widest] -= 1
    return widths


def _longest(pattern: re.Pattern[str], column: Sequence[Cell]) -> int:
    """The width that the longest piece of a column needs, moved to the right by two."""
    return max(len(piece.rstrip()) + 2 for cell in column for item in cell for piece in pattern.findall(item or " "))


def _lines(cells: Sequence[Cell], widths: Sequence[int]) -> Iterator[str]:
    folded = [_folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for pieces in zip_longest(*folded, fillvalue=""):
        yield _GAP.join(piece.ljust(width) for piece, width in zip(pieces, widths, strict=True)).rstrip()


def _folded(cell: Cell, width: int) -> list[str]:
    """The items of a cell in lines; one that is wider than a line goes on in the next, a little to the right.

    >>> _folded(["Linear", "CartPole-v1 step", "OrnsteinUhlenbeckProcess"], 18)
    ['Linear,', 'CartPole-v1 step,', 'OrnsteinUhlenbeck', '  Process']
    """
    lines = [""]
    for number, item in enumerate(cell):
        text = item + "," * (number < len(cell) - 1)
        joined = f"{lines[-1]} {text}".strip()
        if len(joined) <= width:
            lines[-1] = joined
        else:
            begun = lines if lines[-1] == "" else [*lines, ""]
            lines = [*begun[:-1], *_broken(text, width)]
    return lines


def _broken(text: str, width: int) -> list[str]:
    """A long text in lines that fit, from the second on a little to the right."""
    pieces = _WORDS.findall(text)
    for pattern in (_PARTS, _HUMPS, re.compile(f".{{1,{width - 2}}}")):
        pieces = [
            small
            for piece in pieces
            for small in ([piece] if len(piece.rstrip()) <= width - 2 else pattern.findall(piece))
        ]
    lines = [pieces[0]]
    for piece in pieces[1:]:
        if len((lines[-1] + piece).rstrip()) <= width:
            lines[-1] += piece
        else:
            lines.append("  " + piece)
    return [line.rstrip() for line in lines]
