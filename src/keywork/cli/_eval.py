"""``keywork eval``: a run's evaluation once more, from its files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from keywork._errors import UsageError
from keywork.cli._console import make_console
from keywork.cli._options import parse
from keywork.cli._texts import evaluation_rows, show_rows
from keywork.train import evaluate_policy, load_policy


@dataclass(frozen=True)
class EvalOptions:
    """What to play."""

    run: tyro.conf.Positional[Path]
    """The folder of a run: runs/NAME."""
    episodes: int | None = None
    """Episodes to play without exploration; left out, as many as at the end of the run."""
    seed: int | None = None
    """Of the environments; left out, the run's own, which gives the run's own result."""

    def __post_init__(self) -> None:
        if self.episodes is not None and self.episodes < 1:
            raise UsageError(f"episodes is {self.episodes}: it has to be 1 or more, such as --episodes 100.")
        if self.seed is not None and self.seed < 0:
            raise UsageError(f"seed is {self.seed}: it has to be 0 or more, such as --seed 0.")


def play_again(words: Sequence[str]) -> None:
    """Run ``keywork eval`` with the words after it.

    Raises:
        KeyworkError: whatever cannot be done as asked.
    """
    options = parse(EvalOptions, words, "keywork eval", "Play a trained policy again, from the files of its run.")
    if options is None:
        return
    policy, settings = load_policy(options.run)
    episodes = options.episodes or settings.eval_episodes or 100
    seed = settings.seed if options.seed is None else options.seed
    evaluation = evaluate_policy(policy, replace(settings, seed=seed, eval_episodes=episodes))
    show_rows(make_console(), evaluation_rows(evaluation, settings.env))
