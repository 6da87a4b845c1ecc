"""The report of a run: from its folder and its outcome to one page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from keywork.flow import Flow
from keywork.train._evaluate import Evaluation, return_goal
from keywork.train._page import Page, page_html
from keywork.train._recipes import RECIPES
from keywork.train._run import Run
from keywork.train._settings import RunSettings, to_plain
from keywork.train._trainer import Outcome


def report_html(run: Run, outcome: Outcome, evaluation: Evaluation | None, flow: Flow) -> str:
    """One self-contained page on a run.

    Args:
        run: its folder, with ``config.json`` and ``metrics.jsonl`` written.
        outcome: how training ended.
        evaluation: the final one, if there was one.
        flow: the pipeline.
    """
    written = run.config()
    settings, config = written.get("settings", {}), written.get("config", {})
    algorithm, env = str(written.get("algorithm", "?")), str(settings.get("env", "?"))
    page = Page(
        title=f"{algorithm.upper()} on {env}",
        run=run.name,
        rows=run.rows(),
        returns=evaluation.returns if evaluation else None,
        goal=return_goal(env),
        interrupted=outcome.interrupted,
        facts=_facts(outcome, settings),
        settings={"Run": settings, algorithm.upper(): config, "Versions": written.get("versions", {})},
        commands={
            "Train in the same way": shlex.join(_command(algorithm, settings, config)),
            "Repeat the evaluation": shlex.join(["keywork", "eval", str(run.path)]),
        },
        flow_svg=flow.svg(),
        flow_table=flow.table(),
    )
    return page_html(page)


def _facts(outcome: Outcome, settings: Mapping[str, Any]) -> dict[str, str]:
    rate = outcome.frames / outcome.seconds if outcome.seconds > 0 else 0.0
    return {
        "environment steps": f"{outcome.frames:,}",
        "training time": _duration(outcome.seconds),
        "steps per second": f"{rate:,.0f}",
        "environments": f"{settings.get('num_envs', '?')}",
        "seed": f"{settings.get('seed', '?')}",
    }


def _duration(seconds: float) -> str:
    """``8.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _command(algorithm: str, settings: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """What to type to train in the same way: everything that differs from the defaults, and whatever decides."""
    yield from ("keywork", "train", algorithm)
    recipe = RECIPES.get(algorithm)
    usual = to_plain(RunSettings()) | (to_plain(recipe.config()) if recipe else {})
    for name, value in {**settings, **config}.items():
        plain = list(value) if isinstance(value, list | tuple) else value
        default = usual.get(name)
        default = list(default) if isinstance(default, list | tuple) else default
        if name in ("name", "runs") or (plain == default and name not in ("env", "seed")):
            continue
        option = name.replace("_", "-")
        if isinstance(plain, bool):
            yield f"--{option}" if plain else f"--no-{option}"
        else:
            yield f"--{option}"
            yield from (str(item) for item in (plain if isinstance(plain, list) else [plain]))
