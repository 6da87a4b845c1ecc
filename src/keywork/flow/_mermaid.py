"""A graph as a Mermaid flowchart, which GitHub and many notebooks draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keywork._keys import Key, path_of
from keywork.flow._graph import Graph, Kind

# For each kind of part the fill and the border. The text is dark on all of them, so they do on light and dark pages.
_COLOURS: dict[Kind, tuple[str, str]] = {
    "input": ("#e7ebf1", "#5c6b80"),
    "env": ("#d6f3e9", "#0b7a60"),
    "policy": ("#dbe8fc", "#2a66cc"),
    "value": ("#d5eff6", "#0c7490"),
    "exploration": ("#fbe9cf", "#9a5b06"),
    "collector": ("#e7ebf1", "#5b6b82"),
    "buffer": ("#e7ebf1", "#5b6b82"),
    "estimator": ("#e9e1fb", "#7a4fd0"),
    "loss": ("#fbdfe5", "#c33554"),
    "optimiser": ("#e4e8ee", "#4b5b70"),
    "module": ("#e7ebf1", "#5b6b82"),
}
_INK = "#17202e"


def mermaid(graph: Graph) -> str:
    """A node for each part, a line for what one part hands to another, a dotted one for what the next step gets."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield "flowchart TD"
    for index, part in enumerate(graph.parts):
        words = f"<br>{_escaped(part.description)}" if part.description else ""
        yield f'  p{index}["{_escaped(part.name)}{words}"]:::{part.kind}'
    hands: dict[tuple[int, int], list[Key]] = {}
    for stream in graph.streams:
        for reader in stream.readers:
            hands.setdefault((stream.writer, reader), []).append(stream.key)
    for (writer, reader), keys in hands.items():
        yield f'  p{writer} -->|"{_label(keys)}"| p{reader}'
    back: dict[tuple[int, int], list[Key]] = {}
    for carry in graph.carries:
        back.setdefault((carry.source, carry.target), []).append(carry.key)
    for (source, target), keys in back.items():
        yield f'  p{source} -.->|"next step: {_label(keys)}"| p{target}'
    for kind in dict.fromkeys(part.kind for part in graph.parts):
        fill, border = _COLOURS[kind]
        yield f"  classDef {kind} fill:{fill},stroke:{border},color:{_INK}"


def _label(keys: Sequence[Key]) -> str:
    return "<br>".join(_escaped(".".join(path_of(key))) for key in keys)


def _escaped(text: str) -> str:
    """Letters, digits and a few harmless characters as they are, all others by their number (``#34;``).

    Mermaid reads Markdown and HTML in its labels, and ends them at a quote; to a number it does nothing.
    """
    return "".join(c if c.isalnum() or c in " .-/" or ord(c) > 127 and c.isprintable() else f"#{ord(c)};" for c in text)
