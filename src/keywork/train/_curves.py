"""Training curves as SVG: one small chart for each metric, drawn by hand, the same bytes for the same numbers.

Metrics are rows of numbers by name, one of them ``"step"``. Names are grouped by what stands before their slash.
``x_mean`` is drawn in a band if ``x_min`` and ``x_max``, or ``x_std``, are there too. Rows that lack a metric do
not interrupt its line; NaN and infinities do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from keywork.train._scales import Point, padded, running_mean, short, thinned, ticks, unbroken

Row = Mapping[str, float]
Band = tuple[float, float, float]  # step, low, high

_FIRST = (
    *("episode/return_mean", "eval/return_mean", "episode/length_mean", "eval/length_mean"),
    *("loss/objective", "loss/critic", "loss/entropy"),
    *("ppo/explained_variance", "ppo/entropy", "ppo/kl", "ppo/clip_fraction"),
    "speed/steps_per_second",
)
_LEFT_OUT = ("step", "time")
_HUES = {  # by group: light, dark
    "episode": ("#0b7a60", "#3ecf9f"),
    "eval": ("#0c7490", "#5cc7e0"),
    "loss": ("#c33554", "#f58aa0"),
    "speed": ("#5b6b82", "#9fb0c8"),
}
_OTHER_HUE = ("#7a4fd0", "#b396f5")
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 34.0, 24.0
_SMOOTHED_FROM = 80  # points
_HOVERS = 40  # places in a chart that show their value


@dataclass(frozen=True, slots=True)
class Series:
    """One metric over steps, with the band around it if it has one."""

    name: str
    points: tuple[Point, ...]
    band: tuple[Band, ...] = ()


def curves_svg(rows: Sequence[Row], goals: Mapping[str, float] | None = None, columns: int = 3) -> str:
    """All curves in one picture: the first one large, the others below it.

    Args:
        rows: what was logged, in order.
        goals: values that a metric should reach, drawn as dashed lines.
        columns: how many charts beside each other.

    >>> curves_svg([{"step": 0, "loss/critic": 1.0}, {"step": 10, "loss/critic": 0.5}])[:4]
    '<svg'
    """
    series, goals, end = series_of(rows), goals or {}, _end(rows)
    width, gap, small, large = 340.0, 16.0, 190.0, 270.0
    whole = columns * width + (columns - 1) * gap
    pieces, y = [], gap
    if series and _is_main(series[0]):
        pieces.append(_placed(series[0], (gap, y, whole, large), end, goals.get(series[0].name)))
        series, y = series[1:], y + large + gap
    for i, one in enumerate(series):
        x = gap + (i % columns) * (width + gap)
        box = (x, y + (i // columns) * (small + gap), width, small)
        pieces.append(_placed(one, box, end, goals.get(one.name)))
    height = y + math.ceil(len(series) / columns) * (small + gap)
    if not pieces:
        pieces = [f'<text x="{gap}" y="{gap + 14}" font-size="13" class="dim">Nothing was logged yet.</text>']
        height += 24
    body = "\n".join(pieces)
    return (
        f"{_opening('kw-curves', whole + 2 * gap, height)}<style>{curves_style()}</style>"
        f'<rect class="ground" width="100%" height="100%" rx="12"/>\n{body}\n</svg>\n'
    )


def curve_charts(rows: Sequence[Row], goals: Mapping[str, float] | None = None) -> list[tuple[str, str]]:
    """Each curve as a picture of its own, for a page that arranges them and holds `curves_style`.

    Returns:
        pairs of where to show a picture and the picture: ``""`` everywhere, ``"wide"`` where there is room for
        the large form of the first curve, and ``"narrow"`` where there is not.
    """
    charts = []
    for i, one in enumerate(series_of(rows)):
        sizes = (
            [("wide", 1052.0, 270.0), ("narrow", 340.0, 220.0)] if i == 0 and _is_main(one) else [("", 340.0, 190.0)]
        )
        for place, width, height in sizes:
            chart = "".join(_chart(one, width, height, _end(rows), (goals or {}).get(one.name)))
            charts.append((place, f"{_opening(_classes(one.name), width, height)}{chart}</svg>"))
    return charts


def curves_style() -> str:
    """The style sheet of the charts."""
    grounds = {"ground": ("#ffffff", "#12161d"), "grid": ("#e6e9ef", "#2a323e"), "ink": ("#17202e", "#e8edf4"),
               "dim": ("#667285", "#93a0b3"), "other": _OTHER_HUE, **_HUES}  # fmt: skip

    def colours(which: int) -> str:
        return "".join(f"--kwc-{name}:{pair[which]};" for name, pair in grounds.items())

    return (
        f".kw-curves{{{colours(0)}max-width:100%;height:auto;font-family:system-ui,-apple-system,'Segoe UI',Roboto,"
        "'Helvetica Neue',Arial,sans-serif}"
        f"@media(prefers-color-scheme:dark){{.kw-curves{{{colours(1)}}}}}"
        + "".join(f".kw-curves .{name},.kw-curves.{name}{{--hue:var(--kwc-{name})}}" for name in (*_HUES, "other"))
        + ".kw-curves .ground{fill:var(--kwc-ground)}.kw-curves text{fill:var(--kwc-dim)}"
        ".kw-curves .name{fill:var(--kwc-ink);font-weight:650}.kw-curves .last{fill:var(--hue);font-weight:650}"
        ".kw-curves .number{font-variant-numeric:tabular-nums}.kw-curves .grid{stroke:var(--kwc-grid)}"
        ".kw-curves path{fill:none;stroke:var(--hue);stroke-linejoin:round;stroke-linecap:round}"
        ".kw-curves .line{stroke-width:1.8}.kw-curves .raw{stroke-width:1;opacity:.35}"
        ".kw-curves .band{fill:var(--hue);stroke:none;opacity:.14}.kw-curves .dot{fill:var(--hue)}"
        ".kw-curves .goal{stroke:var(--kwc-dim);stroke-dasharray:4 4}"
        ".kw-curves .spot{fill:transparent}.kw-curves .spot:hover{fill:var(--kwc-ink);opacity:.07}"
    )


def series_of(rows: Sequence[Row]) -> list[Series]:
    """The metrics that are drawn, in the order in which they are.

    >>> [one.name for one in series_of([{"step": 1, "ppo/kl": 0.1, "loss/critic": 2.0, "time": 9.0}])]
    ['loss/critic', 'ppo/kl']
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    bands = {name: _band(rows, name) for name in names if name.endswith("_mean")}
    parts = {name[: -len("mean")] + end for name, band in bands.items() if band for end in ("min", "max", "std")}
    shown = [name for name in names if name not in _LEFT_OUT and name not in parts and not name.endswith("/count")]
    series = [Series(name, _values(rows, name), bands.get(name, ())) for name in sorted(shown, key=_rank)]
    # What was logged once in a whole run, such as the final evaluation, is no curve.
    least = 2 if any(len(one.points) > 1 for one in series) else 1
    return [one for one in series if len(one.points) >= least]


def _rank(name: str) -> tuple[int, int, str]:
    groups = ("episode", "eval", "loss", "speed")
    group = name.partition("/")[0]
    place = groups.index(group) if group in groups else 2.5
    return int(place * 2), _FIRST.index(name) if name in _FIRST else len(_FIRST), name


def _values(rows: Sequence[Row], name: str) -> tuple[Point, ...]:
    return tuple((float(row["step"]), float(row[name])) for row in rows if name in row and "step" in row)


def _band(rows: Sequence[Row], mean: str) -> tuple[Band, ...]:
    low, high, std = (mean[: -len("mean")] + end for end in ("min", "max", "std"))
    edges = [
        (float(row["step"]), float(row[low]), float(row[high]))
        if low in row and high in row
        else (float(row["step"]), float(row[mean]) - float(row[std]), float(row[mean]) + float(row[std]))
        for row in rows
        if "step" in row and mean in row and ((low in row and high in row) or std in row)
    ]
    return tuple(edge for edge in edges if all(map(math.isfinite, edge)))


def _end(rows: Sequence[Row]) -> float:
    """The last step: where all charts end, so that they can be compared."""
    return max((float(row["step"]) for row in rows if "step" in row), default=0.0)


def _is_main(series: Series) -> bool:
    return series.name.endswith("/return_mean")


def _opening(classes: str, width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{classes}" role="img" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" aria-label="Training curves">'
    )


def _classes(name: str) -> str:
    group = name.partition("/")[0]
    return f"kw-curves {group if group in _HUES else 'other'}"


def _placed(series: Series, box: tuple[float, float, float, float], end: float, goal: float | None) -> str:
    x, y, width, height = box
    chart = "".join(_chart(series, width, height, end, goal))
    hue = _classes(series.name).split()[1]
    return f'<g class="{hue}" transform="translate({x:g} {y:g})">{chart}</g>'


@dataclass(frozen=True, slots=True)
class _Frame:
    """From numbers to pixels."""

    left: float
    width: float
    height: float
    steps: tuple[float, float]
    values: tuple[float, float]

    def x(self, step: float) -> float:
        low, high = self.steps
        return self.left + (step - low) / (high - low) * (self.width - self.left - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.values
        return self.height - _BOTTOM - (value - low) / (high - low) * (self.height - _TOP - _BOTTOM)

    def at(self, step: float, value: float) -> str:
        return f"{self.x(step):.1f} {self.y(value):.1f}"


def _chart(series: Series, width: float, height: float, end: float, goal: float | None) -> Iterator[str]:
    """One chart from step 0 to step ``end``."""
    finite = [value for _, value in series.points if math.isfinite(value)]
    group, _, name = series.name.rpartition("/")
    title = name.removesuffix("_mean").replace("_", " ")
    yield (
        f'<text x="{_LEFT:g}" y="18" font-size="13"><tspan class="name">{_escaped(title)}</tspan>'
        f"<tspan>{_escaped(f'  {group}' if group else '')}</tspan></text>"
    )
    if not finite:
        yield f'<text x="{_LEFT:g}" y="{height / 2:g}" font-size="12">no finite value</text>'
        return
    last = f'x="{width - _RIGHT:g}" y="18" font-size="13" text-anchor="end"'
    yield f'<text class="last number" {last}>{short(finite[-1])}</text>'
    edges = [*finite, *(y for _, low, high in series.band for y in (low, high)), *([] if goal is None else [goal])]
    y_ticks = ticks(*padded(min(edges), max(edges)), 4)
    steps = padded(min(0.0, series.points[0][0]), end)
    left = max(_LEFT, 12 + 6.4 * max(len(short(value)) for value in y_ticks))
    frame = _Frame(left, width, height, steps, (y_ticks[0], y_ticks[-1]))
    yield from _axes(frame, [x for x in ticks(*steps, 6 if width > 600 else 3) if steps[0] <= x <= steps[1]], y_ticks)
    yield from _lines(series, frame)
    if goal is not None:
        yield f'<path class="goal" d="M{frame.at(steps[0], goal)}L{frame.at(steps[1], goal)}"/>'
    yield from _spots([point for point in series.points if math.isfinite(point[1])], frame)


def _axes(frame: _Frame, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Iterator[str]:
    right, bottom = frame.width - _RIGHT, frame.height - _BOTTOM
    for value in y_ticks:
        y = frame.y(value)
        yield f'<path class="grid" d="M{frame.left:g} {y:.1f}H{right:g}"/>'
        yield (
            f'<text class="number" x="{frame.left - 7:g}" y="{y + 3.5:.1f}" font-size="10" text-anchor="end">'
            f"{short(value)}</text>"
        )
    for step in x_ticks:
        x = frame.x(step)
        anchor = "end" if right - x < 12 else "middle"
        place = f'x="{x:.1f}" y="{bottom + 15:g}" font-size="10" text-anchor="{anchor}"'
        yield f'<text class="number" {place}>{short(step)}</text>'


def _lines(series: Series, frame: _Frame) -> Iterator[str]:
    room = int(frame.width - frame.left - _RIGHT)
    if len(series.band) > 1:
        upper = thinned([(x, high) for x, _, high in series.band], room // 2)
        lower = thinned([(x, low) for x, low, _ in series.band], room // 2)
        outline = "L".join(frame.at(*point) for point in (*upper, *reversed(lower)))
        yield f'<path class="band" d="M{outline}Z"/>'
    stretches = list(unbroken(series.points))
    count = sum(map(len, stretches))
    for stretch in stretches:
        share = max(2, room * len(stretch) // count)
        if len(stretch) == 1:
            yield f'<circle class="dot" cx="{frame.x(stretch[0][0]):.1f}" cy="{frame.y(stretch[0][1]):.1f}" r="2.5"/>'
        elif count < _SMOOTHED_FROM:
            yield f'<path class="line" d="{_line(thinned(stretch, share), frame)}"/>'
        else:
            yield f'<path class="raw" d="{_line(thinned(stretch, share), frame)}"/>'
            smooth = running_mean(stretch, count // 50)
            yield f'<path class="line" d="{_line(thinned(smooth, share), frame)}"/>'


def _line(points: Sequence[Point], frame: _Frame) -> str:
    return "M" + "L".join(frame.at(*point) for point in points)


def _spots(points: Sequence[Point], frame: _Frame) -> Iterator[str]:
    """Invisible columns that say a value when the pointer is on them."""
    stride = math.ceil(len(points) / _HOVERS)
    shown = points[::stride]
    middles = [(frame.x(a) + frame.x(b)) / 2 for (a, _), (b, _) in pairwise(shown)]
    edges = [frame.left, *middles, frame.width - _RIGHT]
    for (step, value), (left, right) in zip(shown, pairwise(edges), strict=True):
        yield (
            f'<rect class="spot" x="{left:.1f}" y="{_TOP:g}" width="{max(right - left, 0):.1f}" '
            f'height="{frame.height - _TOP - _BOTTOM:g}"><title>step {step:,.0f}: {value:.5g}</title></rect>'
        )


def _escaped(text: str) -> str:
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))
