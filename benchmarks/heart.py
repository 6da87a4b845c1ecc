"""What the key contract costs on top of plain modules: as they are, and after torch.compile."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from _contestants import Case, cases
from _timing import Result, cell, interleave, table, verdict

BATCHES = (1, 8, 256)
JUDGED = 8  # the batch that the goals are for
GOAL_COMPILED = 1.1


def heart(*, quick: bool) -> Iterator[str]:
    """One table a case, run as it is."""
    for case in cases():
        yield _table(case, case.goal, compiled=False, rounds=10 if quick else 60)


def compiled(*, quick: bool) -> Iterator[str]:
    """One table a case, compiled with torch.compile's defaults."""
    for case in cases():
        yield _table(case, GOAL_COMPILED, compiled=True, rounds=10 if quick else 60)


def _table(case: Case, goal: float, *, compiled: bool, rounds: int) -> str:
    measured: dict[int, dict[str, Result]] = {}
    with torch.no_grad():
        for batch in BATCHES:
            if compiled:
                torch.compiler.reset()  # or a second shape would be compiled for all shapes
            calls = case.compiled_calls(batch) if compiled else case.calls(batch)
            measured[batch] = interleave(calls, rounds=rounds)
    rows = [[name, *(cell(measured[batch][name]) for batch in BATCHES)] for name in measured[JUDGED]]
    judgement = verdict(measured[JUDGED]["keywork"], goal)
    rows.append([f"goal {goal:g}x", *(judgement if batch == JUDGED else "" for batch in BATCHES)])
    title = case.title + (", compiled" if compiled else "")
    return table(title, ["µs a call, ratio (quartiles)", *(f"batch {batch}" for batch in BATCHES)], rows)
