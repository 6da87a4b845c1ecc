"""What is said of a pipeline, at the start and at the end of a run, and after an evaluation."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from keywork.cli._progress import duration
from keywork.flow import Flow
from keywork.train import Evaluation, Outcome, Run, RunSettings, return_goal


def show_flow(console: Console, flow: Flow) -> None:
    """The table of a pipeline; plain text where there is no terminal."""
    console.print(flow.rich() if console.is_terminal else Text(flow.table()), soft_wrap=not console.is_terminal)


def size_of(flow: Flow) -> str:
    """``7 parts, 16 keys``."""
    counts = ((len(flow.parts), "part"), (len(flow.entries), "key"))
    return ", ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counts)


def show_start(console: Console, flow: Flow, settings: RunSettings, run: Run, *, preset_left_out: bool = False) -> None:
    """The table of the pipeline, where the results go, and that there is a preset, if nobody asked for it."""
    show_flow(console, flow)
    console.print()
    rows = [("environment", f"{settings.num_envs} x {settings.env}, seed {settings.seed}")]
    if preset_left_out:
        rows.append(("preset", f"none; --preset begins with settings that are known to work in {settings.env}"))
    show_rows(console, [*rows, ("results", f"{run.path}/")])
    console.print()


def show_end(
    console: Console, outcome: Outcome, evaluation: Evaluation | None, run: Run, settings: RunSettings
) -> None:
    """What came out, where it is, and how to see it again."""
    rows = evaluation_rows(evaluation, settings.env) if evaluation else []
    rate = outcome.frames / outcome.seconds if outcome.seconds > 0 else 0.0
    rows.append(("training", f"{outcome.frames:,} steps in {duration(outcome.seconds)}: {rate:,.0f} steps/s"))
    rows.append(("report", str(run.path / "report.html")))
    rows.append(("play again", f"keywork eval {shlex.quote(str(run.path))}"))
    show_rows(console, rows)


def evaluation_rows(evaluation: Evaluation, env: str) -> list[tuple[str, str]]:
    """The returns of an evaluation, and whether they solve the environment."""
    mean, spread, least, most = (
        f"{evaluation.metrics[f'eval/return_{name}']:.6g}" for name in ("mean", "std", "min", "max")
    )
    rows = [("return", f"{mean} +/- {spread} over {len(evaluation.returns)} episodes, from {least} to {most}")]
    goal = return_goal(env)
    if goal is not None:
        solved = evaluation.metrics["eval/return_mean"] >= goal
        rows.append(("solved", f"{'yes' if solved else 'no'}: {env} asks for {goal:g}"))
    return rows


def show_rows(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Labels and texts, one below the other; a long text is left to the terminal, so that it can be copied whole."""
    for label, text in rows:
        console.print(Text.assemble((f"{label:<13}", "dim"), text), soft_wrap=True)
