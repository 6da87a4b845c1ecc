"""A whole run: from settings to a trained policy, its evaluation and a folder that shows both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import gcd
from pathlib import Path
from typing import Any, Protocol

import torch

from keywork._errors import RunError
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.train._algorithm import Algorithm, Metrics
from keywork.train._device import device_of
from keywork.train._evaluate import Evaluation, evaluate
from keywork.train._publish import publish
from keywork.train._recipes import RECIPES
from keywork.train._run import Run
from keywork.train._seeds import child_seed
from keywork.train._settings import RunSettings, from_plain, to_plain
from keywork.train._trainer import Outcome, Trainer


class Audience(Protocol):
    """Who watches a run."""

    def on_start(self, flow: Flow, settings: RunSettings, run: Run) -> None:
        """The pipeline is built and checked; nothing has been collected yet."""

    def on_metrics(self, metrics: Metrics) -> None:
        """One update more."""

    def on_evaluation(self) -> None:
        """Training has ended, and the evaluation begins."""

    def on_end(self, outcome: Outcome, evaluation: Evaluation | None, run: Run) -> None:
        """Everything is written."""


def run_experiment(name: str, settings: RunSettings, config: Any, audience: Iterable[Audience] = ()) -> Run:
    """Train as asked, evaluate, and leave a run's folder behind. Ctrl-C ends the training early, and leaves one too.

    Args:
        name: of the algorithm, one of ``RECIPES``.
        settings: of the run.
        config: of the algorithm.
        audience: who is told.

    Raises:
        KeyworkError: whatever cannot be done as asked; the message says what to type.
    """
    watchers = list(audience)
    device = device_of(settings.device)
    with threads(settings.threads), make_env(settings) as env:
        torch.manual_seed(child_seed(settings.seed, "torch"))
        seed = child_seed(settings.seed, name)
        algorithm = RECIPES[name].algorithm(env, config, seed=seed, device=device, compile=settings.compile)
        run = Run.create(settings, name, {"settings": to_plain(settings), "config": to_plain(config)})
        try:
            outcome, evaluation = _fill(run, algorithm, settings, watchers)
        finally:
            run.close()
    for watcher in watchers:
        watcher.on_end(outcome, evaluation, run)
    return run


def flow_of(name: str, settings: RunSettings, config: Any) -> Flow:
    """The pipeline that a run would train, checked; no step is taken, and no process is started.

    Raises:
        KeyworkError: whatever cannot be done as asked; the message says what to type.

    >>> flow_of("ppo", RunSettings(env="CartPole-v1"), RECIPES["ppo"].config())["observation"].holds.shape
    (4,)
    """
    # Environments in processes of their own have the same keys as those in this one.
    workers = "sync" if settings.workers == "process" else settings.workers
    with make_env(replace(settings, workers=workers)) as env:
        return RECIPES[name].algorithm(env, config).flow


def _fill(
    run: Run, algorithm: Algorithm, settings: RunSettings, watchers: Sequence[Audience]
) -> tuple[Outcome, Evaluation | None]:
    """All that happens between the making of a run's folder and its last file."""
    run.write("flow.svg", algorithm.flow.svg())
    for watcher in watchers:
        watcher.on_start(algorithm.flow, settings, run)
    trainer = Trainer(algorithm, total_frames=settings.total_steps, observers=[run, *watchers])
    try:
        outcome = trainer.train()
    finally:  # whatever ended it: the weights are not lost
        run.save_policy(algorithm.policy.state_dict())
    evaluation = None
    try:
        if settings.eval_episodes and not outcome.interrupted:
            for watcher in watchers:
                watcher.on_evaluation()
            evaluation = evaluate_policy(algorithm.policy, settings)
            run.on_metrics({"step": outcome.frames, **evaluation.metrics})
        publish(run, outcome, evaluation, algorithm.flow)
    except KeyboardInterrupt:
        outcome = replace(outcome, interrupted=True)
        publish(run, outcome, evaluation, algorithm.flow)
    return outcome, evaluation


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let one operation of torch use this many threads: with another number, sums differ in their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_env(settings: RunSettings, num_envs: int | None = None, part: str = "env") -> GymEnv:
    """The environments of a run, or those of its evaluation."""
    workers = "sync" if part == "eval" else settings.workers
    seed = child_seed(settings.seed, part)
    return GymEnv(settings.env, num_envs or settings.num_envs, workers=workers, seed=seed, clip_actions=True)


def evaluate_policy(policy: Any, settings: RunSettings, episodes: int | None = None) -> Evaluation:
    """The final evaluation of a run: the same policy gives the same result whenever it is repeated."""
    episodes = episodes or settings.eval_episodes
    with threads(settings.threads), make_env(settings, gcd(episodes, 10), "eval") as env:
        return evaluate(policy, env, episodes=episodes)


def load_policy(path: Path) -> tuple[Any, RunSettings]:
    """The policy of a finished run, on the CPU wherever it has learnt, and the run's settings, from its files alone.

    Raises:
        RunError: the folder is no finished run of this version.
    """
    run = Run(path)
    written = run.config()
    where = str(path / "config.json")
    recipe = RECIPES.get(str(written.get("algorithm")))
    if recipe is None:
        raise RunError(f"{where} names the algorithm {written.get('algorithm')!r}; there are {', '.join(RECIPES)}.")
    settings = from_plain(RunSettings, written.get("settings"), where)
    if ":" in settings.env:
        # Gymnasium imports the module before the colon: a file that somebody sent must not be able to run code.
        raise RunError(f"{where} names the environment {settings.env!r}, which loads a module: evaluate it in Python.")
    config = from_plain(recipe.config, written.get("config"), where)
    with make_env(settings, num_envs=1, part="eval") as env:
        policy = recipe.algorithm(env, config).policy
    weights = run.policy()
    shapes = {name: tuple(tensor.shape) for name, tensor in policy.state_dict().items()}
    if {name: tuple(tensor.shape) for name, tensor in weights.items()} != shapes:
        raise RunError(f"{path / 'policy.safetensors'} does not hold the weights of the policy in {where}.")
    policy.load_state_dict(weights)
    return policy, settings
