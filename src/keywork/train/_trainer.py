"""The trainer: any algorithm, from its first batch to its last, and everything that is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keywork._errors import UsageError
from keywork.envs import EpisodeStats
from keywork.train._algorithm import Algorithm, Metrics


class Observer(Protocol):
    """Somebody who is told of a training run's progress: a log, a display, a test."""

    def on_metrics(self, metrics: Metrics) -> None:
        """Take one row of numbers: after each update that has something to say."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training run ended.

    Attributes:
        frames: how many were collected.
        seconds: how long it took.
        interrupted: whether it was stopped before its end.
    """

    frames: int
    seconds: float
    interrupted: bool


class Trainer:
    """Collect, update, tell; until all frames are collected or somebody presses Ctrl-C.

    An algorithm that updates after every step need not say each time how it went: while its updates return nothing,
    nobody is told, and the next row is of all frames and episodes since the last one.

    Args:
        algorithm: what learns.
        total_frames: how many frames to collect, rounded up to whole batches.
        observers: who is told of every update.

    Raises:
        UsageError: ``total_frames`` is no number of frames.

    >>> from keywork.envs import GymEnv
    >>> from keywork.train import PPO, PPOConfig
    >>> with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
    ...     outcome = Trainer(PPO(env, PPOConfig(num_epochs=1)), total_frames=100).train()
    >>> outcome.frames
    128
    """

    def __init__(self, algorithm: Algorithm, *, total_frames: int, observers: Iterable[Observer] = ()) -> None:
        if total_frames < 1:
            raise UsageError(f"total_frames is {total_frames}: it has to be 1 or more, such as total_frames=100_000.")
        self.algorithm = algorithm
        self.total_frames = total_frames
        self.observers = list(observers)

    def train(self) -> Outcome:
        """Train to the end; Ctrl-C ends it early, after which everything is as a shorter run would have left it."""
        began = time.perf_counter()
        interrupted = False
        try:
            self._rounds(began)
        except KeyboardInterrupt:
            interrupted = True
        return Outcome(self.algorithm.collector.frames, time.perf_counter() - began, interrupted)

    def _rounds(self, began: float) -> None:
        """Collect and update; tell whenever an update has something to say, and at the end of what is left untold."""
        collector, update = self.algorithm.collector, self.algorithm.update
        told, spent, collecting = collector.frames, 0.0, 0.0  # since somebody was told
        while collector.frames < self.total_frames:
            start, before = time.perf_counter(), collector.frames
            batch = collector.collect()
            collected = time.perf_counter()
            learned = update(batch, before / self.total_frames)
            now = time.perf_counter()
            spent, collecting = spent + (now - start), collecting + (collected - start)
            if learned or collector.frames >= self.total_frames:
                speed = {
                    "speed/steps_per_second": (collector.frames - told) / spent,
                    "speed/collect_share": collecting / spent,
                }
                self._tell({"step": collector.frames, "time": now - began}, learned | speed)
                told, spent, collecting = collector.frames, 0.0, 0.0

    def _tell(self, first: Metrics, last: Metrics) -> None:
        metrics = first | _episode_metrics(self.algorithm.collector.take_episodes()) | last
        for observer in self.observers:
            observer.on_metrics(metrics)


def _episode_metrics(episodes: Sequence[EpisodeStats]) -> Metrics:
    if not episodes:
        return {}
    returns = np.array([episode.return_ for episode in episodes])
    return {
        "episode/return_mean": float(returns.mean()),
        "episode/return_min": float(returns.min()),
        "episode/return_max": float(returns.max()),
        "episode/length_mean": float(np.mean([episode.length for episode in episodes])),
        "episode/count": float(len(episodes)),
    }
