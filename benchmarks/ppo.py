"""PPO on CartPole-v1 from end to end, against stable-baselines3 and a script by hand with the same settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median
from typing import Any, NamedTuple, TypeAlias

import torch
from _ppo_by_hand import PPOByHand
from _timing import compare, table

from keywork.envs import GymEnv
from keywork.train import PPO, PPOConfig, Trainer

ENV, NUM_ENVS = "CartPole-v1", 8
CONFIG = PPOConfig()  # those of stable-baselines3's zoo: the same numbers as below
SB3, HAND, EAGER, COMPILED = "stable-baselines3 PPO", "a script by hand", "keywork PPO", "keywork PPO, compiled"
GOALS = {EAGER: 1.8, COMPILED: 3.8}  # times the speed of stable-baselines3


class Split(NamedTuple):
    """Seconds a frame.

    Attributes:
        collecting: in the environments and the policy.
        updating: in the advantages and the gradient steps.
        total: from the first frame to the last, with all that is around these.
    """

    collecting: float
    updating: float
    total: float


Training: TypeAlias = Callable[[int], Split]
"""Trains on from where it is, for so many frames, with a schedule of its own."""


def ppo(*, quick: bool) -> Iterator[str]:
    """Runs in turns, each of which goes on from the one before; what comes before the first one is told apart."""
    rounds, frames = (3, 2_560) if quick else (9, 10_240)
    makers: dict[str, Callable[[], Training]] = {HAND: _by_hand, EAGER: _keywork, COMPILED: _compiled}
    if find_spec("stable_baselines3"):
        makers = {SB3: _stable_baselines3, **makers}
    splits: dict[str, list[Split]] = {name: [] for name in makers}
    trainings, ready = {}, {}
    for name, make in makers.items():
        torch.manual_seed(0)
        began = time.perf_counter()
        trainings[name] = make()
        trainings[name](512)  # builds, compiles, warms up
        ready[name] = time.perf_counter() - began
    for _ in range(rounds):
        for name, train in trainings.items():
            splits[name].append(train(frames))
    results = compare({name: [split.total for split in own] for name, own in splits.items()})
    rows = []
    for name, own in splits.items():
        parts = [median(getattr(split, part) for split in own) * 1e6 for part in ("collecting", "updating")]
        speed = 1 / results[name].ratio, 1 / results[name].high, 1 / results[name].low
        gain = f"{speed[0]:.2f}x ({speed[1]:.2f}-{speed[2]:.2f})"
        goal = GOALS.get(name, 0.0) if SB3 in splits else 0.0
        judged = f"goal {goal}x {'met' if speed[0] >= goal else '**missed**'}" if goal else ""
        seconds = f"{1 / results[name].seconds:,.0f}"
        rows.append([name, f"{ready[name]:.1f}", seconds, *(f"{part:.1f}" for part in parts), gain, judged])
    columns = ["who", "s until 512 steps", "steps/s after", "µs a step collecting", "µs a step updating"]
    settings = f"{NUM_ENVS} environments, 32 steps, batch 256, 20 epochs, 2x64 tanh"
    title = f"{ENV}: {rounds} runs of {frames:,} steps; {settings}"
    yield table(title, [*columns, "speed (quartiles)", "goal"], rows)


class _Stopwatch:
    """An observer that adds up what a trainer says of its rounds."""

    def __init__(self, frames: float) -> None:
        self.collecting = self.updating = 0.0
        self.frames = frames

    def on_metrics(self, metrics: dict[str, float]) -> None:
        """Add one round."""
        seconds = (metrics["step"] - self.frames) / metrics["speed/steps_per_second"]
        self.frames = metrics["step"]
        self.collecting += seconds * metrics["speed/collect_share"]
        self.updating += seconds * (1.0 - metrics["speed/collect_share"])


def _keywork(*, compile: bool = False) -> Training:
    algorithm = PPO(GymEnv(ENV, NUM_ENVS, seed=0), CONFIG, compile=compile)

    def train(frames: int) -> Split:
        algorithm.collector.frames = 0
        watch = _Stopwatch(0)
        outcome = Trainer(algorithm, total_frames=frames, observers=[watch]).train()
        seconds = (watch.collecting, watch.updating, outcome.seconds)
        return Split(*[part / outcome.frames for part in seconds])

    return train


def _compiled() -> Training:
    return _keywork(compile=True)


def _by_hand() -> Training:
    algorithm = PPOByHand(ENV, NUM_ENVS, CONFIG)

    def train(frames: int) -> Split:
        began = time.perf_counter()
        collecting, updating = algorithm.train(frames)
        seconds = (collecting, updating, time.perf_counter() - began)
        return Split(*[part / frames for part in seconds])

    return train


def sb3_agent(seed: int) -> Any:
    """Stable-baselines3's PPO with the settings of ``PPOConfig()``."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    def linear(initial: float) -> Any:
        return lambda remaining: initial * remaining if CONFIG.anneal else initial

    return stable_baselines3.PPO(
        "MlpPolicy",
        make_vec_env(ENV, NUM_ENVS, seed=seed),
        learning_rate=linear(CONFIG.learning_rate),
        n_steps=CONFIG.num_steps,
        batch_size=CONFIG.minibatch_size,
        n_epochs=CONFIG.num_epochs,
        gamma=CONFIG.gamma,
        gae_lambda=CONFIG.gae_lambda,
        clip_range=linear(CONFIG.clip_epsilon),
        normalize_advantage=CONFIG.normalize_advantage,
        ent_coef=CONFIG.entropy_coeff,
        vf_coef=CONFIG.critic_coeff,
        max_grad_norm=CONFIG.max_grad_norm,
        policy_kwargs={"net_arch": {"pi": list(CONFIG.num_cells), "vf": list(CONFIG.num_cells)}},
        seed=seed,
        device="cpu",
    )


def _stable_baselines3() -> Training:
    agent = sb3_agent(0)
    seconds = {"collect_rollouts": 0.0, "train": 0.0}

    def timed(name: str) -> None:
        method = getattr(agent, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            result = method(*args, **kwargs)
            seconds[name] += time.perf_counter() - began
            return result

        setattr(agent, name, run)

    for name in seconds:
        timed(name)

    def train(frames: int) -> Split:
        seconds.update(dict.fromkeys(seconds, 0.0))
        began = time.perf_counter()
        agent.learn(frames)
        total = time.perf_counter() - began
        return Split(seconds["collect_rollouts"] / frames, seconds["train"] / frames, total / frames)

    return train
