"""PPO on CartPole-v1 from end to end, against stable-baselines3 with the same settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from _timing import compare, table

from keywork.envs import GymEnv
from keywork.train import PPO, PPOConfig, Trainer

ENV, NUM_ENVS, GOAL = "CartPole-v1", 8, 1.6
CONFIG = PPOConfig()  # those of stable-baselines3's zoo: the same numbers as below


@dataclass
class Split:
    """Seconds a frame.

    Attributes:
        collecting: in the environments and the policy.
        updating: in the advantages and the gradient steps.
        total: from the first frame to the last, with all that is around these.
    """

    collecting: float
    updating: float
    total: float


def ppo(*, quick: bool) -> Iterator[str]:
    """Whole short runs in turns, each from a new seed."""
    rounds, frames = (2, 5_120) if quick else (5, 20_480)
    contestants = {"keywork PPO": _keywork}
    if find_spec("stable_baselines3"):
        contestants = {"stable-baselines3 PPO": _stable_baselines3, **contestants}
    splits: dict[str, list[Split]] = {name: [] for name in contestants}
    for seed in range(-1, rounds):
        for name, train in contestants.items():
            split = train(seed + 1, 512 if seed < 0 else frames)
            if seed >= 0:  # the first, short one warms up
                splits[name].append(split)
    results = compare({name: [split.total for split in own] for name, own in splits.items()})
    rows = []
    for name, own in splits.items():
        parts = [median([getattr(split, part) for split in own]) * 1e6 for part in ("collecting", "updating")]
        speed = 1 / results[name].ratio, 1 / results[name].high, 1 / results[name].low
        gain = f"{speed[0]:.2f}x ({speed[1]:.2f}-{speed[2]:.2f})"
        rows.append([name, f"{1 / results[name].seconds:,.0f}", *(f"{part:.1f}" for part in parts), gain])
    if len(rows) > 1:
        gain = 1 / results["keywork PPO"].ratio
        rows.append([f"goal {GOAL}x", "", "", "", f"met: {gain:.2f}x" if gain >= GOAL else f"**missed: {gain:.2f}x**"])
    columns = ["who", "steps/s", "µs a step collecting", "µs a step updating", "speed (quartiles)"]
    settings = "8 environments, 32 steps, batch 256, 20 epochs, 2x64 tanh"
    title = f"{ENV}: {rounds} runs of {frames:,} steps; {settings}"
    yield table(title, columns, rows)


class _Stopwatch:
    """An observer that adds up what a trainer says of its rounds."""

    def __init__(self) -> None:
        self.collecting = self.updating = 0.0
        self.frames = 0.0

    def on_metrics(self, metrics: dict[str, float]) -> None:
        """Add one round."""
        seconds = (metrics["step"] - self.frames) / metrics["speed/steps_per_second"]
        self.frames = metrics["step"]
        self.collecting += seconds * metrics["speed/collect_share"]
        self.updating += seconds * (1.0 - metrics["speed/collect_share"])


def _keywork(seed: int, frames: int) -> Split:
    torch.manual_seed(seed)
    watch = _Stopwatch()
    with GymEnv(ENV, NUM_ENVS, seed=seed) as env:
        outcome = Trainer(PPO(env, CONFIG, seed=seed), total_frames=frames, observers=[watch]).train()
    return Split(watch.collecting / outcome.frames, watch.updating / outcome.frames, outcome.seconds / outcome.frames)


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


def _stable_baselines3(seed: int, frames: int) -> Split:
    agent = sb3_agent(seed)
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
    began = time.perf_counter()
    agent.learn(frames)
    total = time.perf_counter() - began
    agent.env.close()
    return Split(seconds["collect_rollouts"] / frames, seconds["train"] / frames, total / frames)
