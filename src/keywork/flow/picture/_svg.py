"""The picture of a graph as an SVG document: light and dark, with tooltips, and the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from keywork._keys import Key
from keywork.flow._graph import Graph
from keywork.flow.picture._boxes import Box, Text
from keywork.flow.picture._layout import Drawing, Wire, layout
from keywork.flow.picture._route import CORNER, Point

# Hues by kind of part: (light, dark).
_HUES = {
    "input": ("#5c6b80", "#94a3b8"),
    "env": ("#0b7a60", "#3ecf9f"),
    "policy": ("#2a66cc", "#7aa9f9"),
    "value": ("#0c7490", "#5cc7e0"),
    "exploration": ("#9a5b06", "#f0b34a"),
    "collector": ("#5b6b82", "#9fb0c8"),
    "buffer": ("#5b6b82", "#9fb0c8"),
    "estimator": ("#7a4fd0", "#b396f5"),
    "loss": ("#c33554", "#f58aa0"),
    "optimiser": ("#4b5b70", "#a9b8cc"),
    "module": ("#5b6b82", "#9fb0c8"),
    "carry": ("#0b7a60", "#3ecf9f"),
}
_SURFACES = {"bg": ("#ffffff", "#12161d"), "card": ("#f7f8fa", "#1b212b"), "rim": ("#d9dee6", "#323b49"),
             "ink": ("#17202e", "#e8edf4"), "dim": ("#667285", "#93a0b3")}  # fmt: skip


def svg_of(graph: Graph) -> str:
    """Draw a graph. Each group says in ``data-`` attributes which parts and keys of the graph it is about."""
    return "\n".join(_document(layout(graph), {entry.key: i for i, entry in enumerate(graph.entries)})) + "\n"


def palette(dark: bool) -> str:
    """The colours as CSS variables: ``--kw-ink:#17202e;``..."""
    return "".join(f"--kw-{name}:{pair[dark]};" for name, pair in {**_SURFACES, **_HUES}.items())


def _document(drawing: Drawing, index: Mapping[Key, int]) -> Iterator[str]:
    width, height = _number(drawing.width), _number(drawing.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="kw-flow" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" aria-label="Data flow of the pipeline">'
    )
    yield f"<style>{_style()}</style>"
    yield f'<rect class="bg" width="{width}" height="{height}" rx="12"/>'
    for n, label in enumerate(drawing.labels):
        keys = [index.get(key, -1) for key in drawing.keys[n]]
        yield f'<g class="net {label.kind}" data-keys="{_listed(keys)}" data-parts="{_listed(drawing.ends[n])}">'
        own = [wire for wire in drawing.wires if wire.net == n]
        yield from (f'<path class="gap" d="{_path(wire.points)}"/>' for wire in own)
        yield from (f'<path class="line" d="{_path(wire.points)}"/>' for wire in own)
        yield from (_arrow(wire) for wire in own if wire.arrow)
        yield from _box(label, 8, keys)
        yield "</g>"
    for i, card in enumerate(drawing.cards):
        yield f'<g class="part {card.kind}" data-part="{i}">'
        yield from _box(card, 10)
        yield "</g>"
    yield "</svg>"


def _style() -> str:
    return (
        f".kw-flow{{{palette(dark=False)}max-width:100%;height:auto;font-family:system-ui,-apple-system,'Segoe UI',"
        "Roboto,'Helvetica Neue',Arial,sans-serif}"
        f"@media(prefers-color-scheme:dark){{.kw-flow{{{palette(dark=True)}}}}}"
        ".kw-flow .bg{fill:var(--kw-bg)}"
        + "".join(f".kw-flow .{kind}{{--hue:var(--kw-{kind})}}" for kind in _HUES)
        + ".kw-flow .card{fill:var(--kw-card);stroke:var(--kw-rim)}.kw-flow .stripe{fill:var(--hue)}"
        ".kw-flow .label{fill:var(--kw-bg);stroke:var(--hue)}"
        ".kw-flow path{fill:none}.kw-flow .gap{stroke:var(--kw-bg);stroke-width:6}"
        ".kw-flow .line{stroke:var(--hue);stroke-width:1.6}.kw-flow .carry .line,.kw-flow .carry .label"
        "{stroke-dasharray:5 4}.kw-flow .arrow{fill:var(--hue)}"
        ".kw-flow text{fill:var(--kw-ink)}.kw-flow .title{font-weight:650}.kw-flow .more{fill:var(--kw-dim)}"
        ".kw-flow .kind{fill:var(--hue);font-weight:700}"
        ".kw-flow .mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}"
        ".kw-flow .dim{fill:var(--kw-dim)}"
        ".kw-flow:has(.net:hover) .net:not(:hover){opacity:.18}.kw-flow .net:hover .line{stroke-width:2.6}"
    )


def _box(box: Box, radius: float, keys: Sequence[int] = ()) -> Iterator[str]:
    x, y, width, height = map(_number, (box.x, box.y, box.width, box.height))
    yield f"<g><title>{escaped(box.tip)}</title>"
    yield f'<rect class="{box.style}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{_number(radius)}"/>'
    if box.style == "card":
        # The left edge, in the colour of the kind; the outer corners follow those of the card.
        tall, r = _number(box.height - 2 * radius), _number(radius)
        yield (
            f'<path class="stripe" d="M{_number(box.x + radius)} {y}a{r} {r} 0 0 0-{r} {r}v{tall}a{r} {r} 0 0 0 {r} {r}'
            f'a6 {r} 0 0 1-6-{r}v-{tall}a6 {r} 0 0 1 6-{r}z"/>'
        )
    yield from (_text(text, keys[text.row] if 0 <= text.row < len(keys) else -1) for text in box.texts)
    yield "</g>"


def _text(text: Text, key: int) -> str:
    place = f'x="{_number(text.x)}" y="{_number(text.y)}" font-size="{_number(text.size)}"'
    if text.pieces[0][1] in ("key", "dim"):
        place += ' class="mono"'
    if text.anchor == "end":
        place += ' text-anchor="end"'
    if key >= 0:
        place += f' data-key="{key}"'
    pieces = (
        escaped(piece) if style == "key" else f'<tspan class="{style}">{escaped(piece)}</tspan>'
        for piece, style in text.pieces
    )
    return f"<text {place}>{''.join(pieces)}</text>"


def _path(points: Sequence[Point]) -> str:
    """A line through the points whose corners are rounded as far as the pieces are long enough."""
    commands = [f"M{_pair(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(
            CORNER,
            _length(before, corner) / 2 if before != points[0] else _length(before, corner),
            _length(corner, after) / 2 if after != points[-1] else _length(corner, after),
        )
        commands.append(f"L{_pair(_towards(corner, before, radius))}")
        commands.append(f"Q{_pair(corner)} {_pair(_towards(corner, after, radius))}")
    commands.append(f"L{_pair(points[-1])}")
    return "".join(commands)


def _arrow(wire: Wire) -> str:
    x, y = wire.points[-1]
    return f'<path class="arrow" d="M{_pair((x, y))}l-3.5-7h7z"/>'


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(start: Point, end: Point, by: float) -> Point:
    length = _length(start, end) or 1.0
    return start[0] + (end[0] - start[0]) * by / length, start[1] + (end[1] - start[1]) * by / length


def _pair(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _listed(numbers: Iterable[int]) -> str:
    return " ".join(str(number) for number in numbers if number >= 0)


def escaped(text: str) -> str:
    """For XML and HTML, which have no place for most control characters even in escaped form."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))
