"""The table of keys in HTML."""

from __future__ import annotations

from collections.abc import Iterator

from keywork.flow._graph import Entry, Graph
from keywork.flow._table import HEADS, groups_of
from keywork.flow.page._facts import dotted
from keywork.flow.picture import escaped


def table_html(graph: Graph) -> Iterator[str]:
    """A row for each key; those of the next step in a group of their own."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    yield f"<table><thead><tr>{heads}</tr></thead>"
    for group in groups_of(graph.entries):
        yield "<tbody>"
        yield from map(_row, group)
        yield "</tbody>"
    yield "</table>"
    for note in graph.notes:
        yield f'<p class="note">note: {escaped(note)}</p>'


def _row(entry: Entry) -> str:
    holds = entry.holds
    cells = (
        f"<code>{escaped(holds.shape_text)}</code>",
        escaped(holds.dtype or "?"),
        escaped(holds.domain),
        escaped(", ".join(entry.written_by) or "-"),
        escaped(", ".join(entry.read_by) or "-"),
    )
    name = f'<th scope="row"><code>{escaped(dotted(entry.key))}</code></th>'
    return f"<tr>{name}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
