"""``keywork train``: a whole run, and somebody who watches it in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console

from keywork.cli._asked import parse_algorithm
from keywork.cli._codes import INTERRUPTED, complain
from keywork.cli._console import is_live, make_console
from keywork.cli._lines import Lines
from keywork.cli._live import LiveDisplay
from keywork.cli._texts import show_end, show_start
from keywork.flow import Flow
from keywork.train import PRESETS, Evaluation, Metrics, Outcome, Run, RunSettings, run_experiment


def train(algorithm: str, words: Sequence[str]) -> None:
    """Run ``keywork train ALGORITHM`` with the words after it.

    Raises:
        KeyworkError: whatever cannot be done as asked.
    """
    description = f"Train a policy with {algorithm.upper()}, and leave a folder with its weights and a report."
    options = parse_algorithm(algorithm, words, f"keywork train {algorithm}", description)
    if options is None:
        return
    left_out = not options.preset and options.run.env in PRESETS.get(algorithm, {})
    watcher = Watcher(make_console(), preset_left_out=left_out)
    try:
        run_experiment(algorithm, options.run, getattr(options, algorithm), [watcher])
    finally:
        watcher.close()


class Display(Protocol):
    """How progress is shown."""

    def update(self, metrics: Metrics) -> None:
        """Take the numbers of one update."""

    def end(self) -> None:
        """Training is over, or has failed."""


class Watcher:
    """Shows a run from its start to its end.

    Args:
        console: where.
        preset_left_out: whether there are settings that are known to work, which nobody asked for.
    """

    def __init__(self, console: Console, *, preset_left_out: bool = False) -> None:
        self._console, self._preset_left_out = console, preset_left_out
        self._display: Display | None = None

    def on_start(self, flow: Flow, settings: RunSettings, run: Run) -> None:
        """Show the pipeline."""
        show_start(self._console, flow, settings, run, preset_left_out=self._preset_left_out)
        self._settings = settings
        kind = LiveDisplay if is_live(self._console) else Lines
        self._display = kind(self._console, settings.total_steps)

    def on_metrics(self, metrics: Metrics) -> None:
        """Show the progress."""
        assert self._display is not None
        try:
            self._display.update(metrics)
        except BrokenPipeError:  # nobody reads it any more: end as after Ctrl-C, which loses nothing
            raise KeyboardInterrupt from None

    def on_evaluation(self) -> None:
        """Say what takes so long now."""
        self.close()
        try:
            self._console.print(f"evaluating {self._settings.eval_episodes} episodes ...")
        except BrokenPipeError:
            raise KeyboardInterrupt from None

    def on_end(self, outcome: Outcome, evaluation: Evaluation | None, run: Run) -> None:
        """Show what came out."""
        self.close()
        show_end(self._console, outcome, evaluation, run, self._settings)
        total = self._settings.total_steps
        if outcome.interrupted and outcome.frames < total:
            learnt = f"{outcome.frames:,} of {total:,} steps"
            complain(f"Interrupted after {learnt}; what was learnt until then is in {run.path}/.", INTERRUPTED)
        elif outcome.interrupted:
            complain(f"Interrupted after the training; the policy is in {run.path}/.", INTERRUPTED)

    def close(self) -> None:
        """Give the terminal back, however the run ended."""
        if self._display is not None:
            self._display.end()
