"""The page of a run: one HTML file that needs nothing else, from plain data."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from keywork.train._curves import Row, curve_charts, curves_style
from keywork.train._page_style import STYLE
from keywork.train._scales import short, ticks

_NEAR = 0.5  # a goal further off than this part of the returns' range is not in the histogram
_BARS = 20


@dataclass(frozen=True, kw_only=True)
class Page:
    """What is said of a run.

    Attributes:
        title: what was trained where.
        run: the run's name.
        rows: what was logged, in order.
        returns: of the final evaluation's episodes; None if there was none.
        goal: the mean return that counts as solved, if the environment names one.
        interrupted: whether training was stopped before its end.
        facts: a few numbers for the top of the page.
        settings: tables of names and values, each with its title.
        commands: what to type, by what it does.
        flow_svg: the picture of the pipeline, trusted as it is.
        flow_table: the same as text.
    """

    title: str
    run: str
    rows: Sequence[Row] = ()
    returns: Sequence[float] | None = None
    goal: float | None = None
    interrupted: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    flow_svg: str = ""
    flow_table: str = ""


def page_html(page: Page) -> str:
    """The page as text; every name and value in it is escaped, and it fetches nothing."""
    return "".join(
        (
            "<!doctype html>\n",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(page.title)}</title>",
            f"<style>{STYLE}{curves_style()}</style></head>\n<body><main>\n",
            *_header(page),
            *_curves(page),
            *_evaluation(page),
            *_pipeline(page),
            *_settings(page),
            *_commands(page),
            "</main></body></html>\n",
        )
    )


def _header(page: Page) -> Iterator[str]:
    yield f'<header><h1>{escape(page.title)}</h1><p class="run">{escape(page.run)}</p>\n'
    yield from _result(page)
    if page.facts:
        yield _fact_list(page.facts)
    yield "</header>\n"


def _result(page: Page) -> Iterator[str]:
    """The one number that the run was for, as far as it got."""
    trained = [row["episode/return_mean"] for row in page.rows if "episode/return_mean" in row]
    if page.returns:
        mean, spread = statistics.fmean(page.returns), statistics.pstdev(page.returns)
        about = f"mean return of {len(page.returns)} evaluation episodes, played without exploration"
        figure = f"{_amount(mean)} <small>± {_amount(spread)}</small>"
        solved = None if page.goal is None else mean >= page.goal
    elif trained:
        about, solved = "mean return of the last training episodes; there was no evaluation", None
        figure = _amount(trained[-1])
    else:
        about, solved, figure = "no episode has ended yet", None, "–"
    yield f'<div class="result"><span class="figure">{figure}</span>'
    if page.interrupted:
        yield '<span class="verdict bad">interrupted</span>'
    if solved is not None:
        verdict, kind = ("solved", "good") if solved else ("not solved", "bad")
        yield f'<span class="verdict {kind}">{verdict}: the goal is {page.goal:g}</span>'
    yield f'</div><p class="about">{about}</p>\n'


def _curves(page: Page) -> Iterator[str]:
    goals = {} if page.goal is None else {"episode/return_mean": page.goal}
    charts = curve_charts(page.rows, goals)
    yield '<section><h2>Training</h2><div class="curves">\n'
    for place, chart in charts:
        yield f'<div class="{place}">{chart}</div>\n'
    yield "</div>"
    if not charts:
        yield '<p class="note">Nothing was logged.</p>'
    yield "</section>\n"


def _evaluation(page: Page) -> Iterator[str]:
    if not page.returns:
        return
    ordered = sorted(page.returns)
    facts = {
        "episodes": str(len(ordered)),
        "lowest": _amount(ordered[0]),
        "median": _amount(statistics.median(ordered)),
        "highest": _amount(ordered[-1]),
    }
    yield "<section><h2>Evaluation</h2>\n"
    if ordered[0] == ordered[-1]:
        yield f'<p class="about">Every one of the episodes returned {_amount(ordered[0])}.</p>'
    else:
        yield "".join(histogram(page.returns, page.goal))
    yield f"{_fact_list(facts)}</section>\n"


def histogram(returns: Sequence[float], goal: float | None) -> Iterator[str]:
    """How many episodes had which return, of which there are several; the goal as a line if it is near."""
    low, high = min(returns), max(returns)
    if goal is not None and low - _NEAR * (high - low) <= goal <= high + _NEAR * (high - low):
        edges = ticks(min(low, goal), max(high, goal), _BARS)
    else:
        goal, edges = None, ticks(low, high, _BARS)
    counts = [sum(left <= value < right for value in returns) for left, right in pairwise(edges)]
    counts[-1] += sum(value == edges[-1] for value in returns)
    width, height, foot = 560.0, 170.0, 22.0
    step = width / len(counts)

    yield f'<svg class="histogram" role="img" viewBox="0 0 {width:g} {height + foot:g}" aria-label="Returns">'
    for i, count in enumerate(counts):
        if count:
            tall = (height - 20) * count / max(counts)
            place = f'x="{i * step + 1:.1f}" y="{height - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}"'
            tip = f"{short(edges[i])} to {short(edges[i + 1])}: {count} episode{'s' * (count != 1)}"
            yield f'<rect {place} rx="3"><title>{tip}</title></rect>'
            yield f'<text x="{(i + 0.5) * step:.1f}" y="{height - tall - 6:.1f}" text-anchor="middle">{count}</text>'
    yield f'<path class="axis" d="M0 {height:g}H{width:g}"/>'
    if goal is not None:
        x = (goal - edges[0]) / (edges[-1] - edges[0]) * width
        yield f'<path class="goal" d="M{x:.1f} 0V{height:g}"><title>the goal: {goal:g}</title></path>'
    for i in range(0, len(edges), max(1, len(edges) // 8)):
        anchor = "start" if i == 0 else "end" if i == len(edges) - 1 else "middle"
        yield f'<text x="{i * step:.1f}" y="{height + 16:g}" text-anchor="{anchor}">{short(edges[i])}</text>'
    yield "</svg>\n"


def _pipeline(page: Page) -> Iterator[str]:
    if not page.flow_svg and not page.flow_table:
        return
    yield f'<section><h2>The pipeline</h2>\n<div class="picture">{page.flow_svg}</div>\n'
    if page.flow_table:
        yield f"<details><summary>Every key in a table</summary><pre>{escape(page.flow_table)}</pre></details>"
    yield "</section>\n"


def _settings(page: Page) -> Iterator[str]:
    if not page.settings:
        return
    yield '<section><h2>Settings</h2><div class="columns">\n'
    for title, table in page.settings.items():
        rows = (
            f"<tr><th scope=row>{escape(name)}</th><td>{escape(_value(value))}</td></tr>"
            for name, value in table.items()
        )
        yield f"<div><h3>{escape(title)}</h3><table>{''.join(rows)}</table></div>\n"
    yield "</div></section>\n"


def _commands(page: Page) -> Iterator[str]:
    if not page.commands:
        return
    yield "<section><h2>Once more</h2>\n"
    for purpose, command in page.commands.items():
        yield f'<h3>{escape(purpose)}</h3><pre class="command">{escape(command)}</pre>\n'
    yield "</section>\n"


def _fact_list(facts: Mapping[str, str]) -> str:
    pairs = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{"".join(pairs)}</dl>'


def _amount(value: float) -> str:
    """A return with as many digits as matter: ``500.0``, ``−152.3``, ``0.0213``, ``12,345``."""
    form = ",.0f" if abs(value) >= 10_000 else ".1f" if abs(value) >= 1 or value == 0 else ".3g"
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}", 1)


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return " × ".join(_value(item) for item in value) or "–"
    return str(value) or "–"
