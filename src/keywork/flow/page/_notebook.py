"""What a notebook shows of a flow: the picture and the table, without any script."""

from __future__ import annotations

from keywork.flow._graph import Graph
from keywork.flow.page._tables import table_html
from keywork.flow.picture import svg_of

# Every rule begins with the class of the outermost element, so that none reaches the notebook around it.
_STYLE = (
    ".kw-cell svg{display:block;max-height:none;margin:0 0 12px}"
    ".kw-cell table{border-collapse:collapse;font-size:12px;text-align:left}"
    ".kw-cell th,.kw-cell td{padding:3px 14px 3px 0;text-align:left;vertical-align:top;font-weight:400;background:none}"
    ".kw-cell thead th{font-weight:600;border-bottom:1px solid #8884}.kw-cell tbody+tbody{border-top:1px solid #8884}"
)


def notebook_of(graph: Graph) -> str:
    """HTML for one output cell."""
    return "\n".join(
        [
            f'<div class="kw-cell"><style>{_STYLE}</style>',
            svg_of(graph),
            f"<details><summary>{len(graph.entries)} keys</summary>",
            *table_html(graph),
            "</details></div>",
        ]
    )
