"""What is said at the start and at the end of a run, and after an evaluation."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import gymnasium
from rich.console import Console
from rich.text import Text

from keywork.flow import Flow
from keywork.train import Evaluation, Outcome, Run, RunSettings

Rows = list[tuple[str, str]]


def show_start(console: Console, flow: Flow, settings: RunSettings, run: Run) -> None:
    """The table of the pipeline, and where the results go."""
    if console.is_terminal:
        console.print(flow.rich(), soft_wrap=False)
    else:
        console.print(flow.table(), "")
    show_rows(console, [("environment", f"{settings.num_envs} x {settings.env}, seed {settings.seed}"), ("results", f"{run.path}/")])
    console.print()


def show_end(console: Console, outcome: Outcome, evaluation: Evaluation | None, run: Run, env: str) -> None:
    """What came out, where it is, and how to see it again."""
    rows = evaluation_rows(evaluation, env) if evaluation else []
    rate = outcome.frames / outcome.seconds if outcome.seconds else 0.0
    rows.append(("training", f"{outcome.frames:,} steps in {outcome.seconds:.1f} s: {rate:,.0f} steps/s"))
    rows.append(("report", str(run.path / "report.html")))
    rows.append(("again", again(run.path)))
    show_rows(console, rows)


def again(path: Path) -> str:
    """The command that repeats a run's evaluation."""
    return f"keywork eval {shlex.quote(str(path))}"


def evaluation_rows(evaluation: Evaluation, env: str) -> Rows:
    """The returns of an evaluation, and whether they solve the environment."""
    numbers = evaluation.metrics
    mean, spread = numbers["eval/return_mean"], numbers["eval/return_std"]
    least, most = numbers["eval/return_min"], numbers["eval/return_max"]
    rows = [("return", f"{mean:.2f} +/- {spread:.2f} over {len(evaluation.returns)} episodes, from {least:.2f} to {most:.2f}")]
    spec = gymnasium.registry.get(env.rpartition(":")[2])
    if spec is not None and spec.reward_threshold is not None:
        rows.append(("solved", f"{'yes' if mean >= spec.reward_threshold else 'no'}: {spec.id} asks for {spec.reward_threshold:g}"))
    return rows


def show_rows(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Labels and texts, one below the other."""
    for label, text in rows:
        console.print(Text.assemble((f"{label:<13}", "dim"), text))
