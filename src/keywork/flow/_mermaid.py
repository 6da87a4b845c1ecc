"""A graph as a Mermaid flowchart, which GitHub and many notebooks draw."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

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
# All but these: what no Markdown and no grammar gives a meaning. An underscore has one at the end of a word, a full
# stop after the number that a list begins with, a hyphen at the beginning of a line.
_SPECIAL = re.compile(r"[^\w\s.,:/()→-]|(?<![^\W_])_|_(?![^\W_])|(?<=\d)\.(?=\s)|^-|[^\S ]|(?<![^ ]) |[\x00-\x1f]")


def mermaid(graph: Graph) -> str:
    """A node for each part, a line for what one part hands to another, a dotted one for what the next step gets."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield "flowchart TD"
    for index, part in enumerate(graph.parts):
        words = f"<br>{_escaped(part.description)}" if part.description else ""
        yield f'  p{index}["{_escaped(part.name)}{words}"]:::{part.kind}'
    for (writer, reader), keys in _bundled((s.key, s.writer, r) for s in graph.streams for r in s.readers):
        yield f'  p{writer} -->|"{_label(keys)}"| p{reader}'
    for (first, reader), keys in _bundled((s.key, s.writer, r) for s in graph.handed_on for r in s.readers):
        yield f'  p{first} -.->|"{_label(keys)}"| p{reader}'
    for (source, target), keys in _bundled((c.key, c.source, c.target) for c in graph.carries):
        yield f'  p{source} -.->|"next step: {_label(keys)}"| p{target}'
    for kind in dict.fromkeys(part.kind for part in graph.parts):
        fill, border = _COLOURS[kind]
        yield f"  classDef {kind} fill:{fill},stroke:{border},color:{_INK}"


def _bundled(lines: Iterable[tuple[Key, int, int]]) -> Iterable[tuple[tuple[int, int], list[Key]]]:
    """The keys that go the same way, together."""
    bundles: dict[tuple[int, int], list[Key]] = {}
    for key, start, end in lines:
        bundles.setdefault((start, end), []).append(key)
    return bundles.items()


def _label(keys: Sequence[Key]) -> str:
    return "<br>".join(_escaped(".".join(path_of(key))) for key in keys)


def _escaped(text: str) -> str:
    """Letters, digits and a few harmless characters as they are, all others by their number (``#34;``).

    Mermaid reads Markdown and HTML in its labels, and ends them at a quote; to a number it does nothing.

    >>> _escaped('my_key, "x"')
    'my_key, #34;x#34;'
    """
    blank = "#160;"  # a label must not be empty
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", text) if text.strip() else blank
