"""What the key contract costs on top of plain modules, as they are and after torch.compile."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from _contestants import BATCHES, Case, cases
from _timing import Result, interleave, table


def heart(*, quick: bool) -> Iterator[str]:
    """One table a case: modules as they are."""
    for case in cases():
        yield _measured(case, case.goal, rounds=10 if quick else 60)


def compiled(*, quick: bool) -> Iterator[str]:
    """The same cases, everything compiled with torch.compile's defaults."""
    for case in cases():
        yield _measured(case, case.goal_compiled, rounds=10 if quick else 60, compiled=True)


def _measured(case: Case, goal: float, *, rounds: int, compiled: bool = False) -> str:
    columns: dict[int, dict[str, Result]] = {}
    with torch.no_grad():
        for batch in BATCHES:
            torch.compiler.reset()
            columns[batch] = interleave(case.calls(batch, compiled=compiled), rounds=rounds)
    rows = [[name, *(_cell(columns[batch][name]) for batch in BATCHES)] for name in case.makers]
    rows.append([f"goal for keywork: {goal:g}x", "", _verdict(columns[8], goal), ""])
    title = f"{case.title}{', compiled' if compiled else ''}"
    return table(title, ["µs a call / ratio (quartiles)", *(f"batch {batch}" for batch in BATCHES)], rows)


def _cell(result: Result) -> str:
    return f"{result.seconds * 1e6:.1f} / {result.ratio:.2f}x ({result.low:.2f}-{result.high:.2f})"


def _verdict(results: dict[str, Result], goal: float) -> str:
    ratio = next(result.ratio for name, result in results.items() if name.startswith("keywork"))
    return "met" if ratio <= goal else f"missed by {ratio - goal:.2f}x"
