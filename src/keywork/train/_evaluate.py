"""Evaluation: how well a policy does when it does not explore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from keywork._errors import UsageError
from keywork.collectors import Collector
from keywork.envs import Env, EpisodeStats
from keywork.nn import ExplorationType, TensorDictModuleBase
from keywork.train._parts import require_env


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The episodes of an evaluation.

    Attributes:
        returns: undiscounted, in the order of the environments and then of time.
        lengths: of the same episodes.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """What is logged: ``eval/return_mean`` and others."""
        returns = np.asarray(self.returns)
        return {
            "eval/return_mean": float(returns.mean()),
            "eval/return_std": float(returns.std()),
            "eval/return_min": float(returns.min()),
            "eval/return_max": float(returns.max()),
            "eval/length_mean": float(np.mean(self.lengths)),
            "eval/episodes": float(len(returns)),
        }


def evaluate(
    policy: TensorDictModuleBase,
    env: Env,
    *,
    episodes: int = 100,
    seed: int | None = None,
    exploration_type: Any = ExplorationType.DETERMINISTIC,
) -> Evaluation:
    """Play whole episodes, the same number in every environment, with the policy as it is.

    (The first episodes to finish among several environments would be the short ones: a bias that this avoids.)

    Args:
        policy: what acts.
        env: where; its number of environments divides ``episodes``.
        episodes: how many.
        seed: of the environments, so that the same policy gives the same result.
        exploration_type: set while the policy acts.

    Raises:
        UsageError: the number of episodes cannot be, or the environment is none of this package.

    >>> from keywork.envs import GymEnv
    >>> from keywork.train import PPO
    >>> with GymEnv("CartPole-v1", num_envs=2) as env:
    ...     len(evaluate(PPO(env).policy, env, episodes=4, seed=0).returns)
    4
    """
    require_env("evaluate", env)
    each, rest = divmod(episodes, env.num_envs)
    if each < 1 or rest:
        raise UsageError(
            f"{episodes} episodes cannot be evaluated in {env.num_envs} environments, the same number in each. "
            f"Type a multiple: {max(1, each) * env.num_envs}."
        )
    collector = Collector(
        env, policy, frames_per_batch=env.num_envs, exploration_type=exploration_type, seed=seed, anneal=False
    )
    finished: list[list[EpisodeStats]] = [[] for _ in range(env.num_envs)]
    while min(map(len, finished)) < each:
        collector.collect()
        for episode in collector.take_episodes():
            finished[episode.env].append(episode)
    kept = [episode for of_env in finished for episode in of_env[:each]]
    return Evaluation(tuple(e.return_ for e in kept), tuple(e.length for e in kept))


def return_goal(env: str) -> float | None:
    """The mean return from which on Gymnasium counts an environment as solved, if it says so.

    >>> return_goal("CartPole-v1"), return_goal("Pendulum-v1")
    (475.0, None)
    """
    spec = gymnasium.registry.get(env.rpartition(":")[2])
    return None if spec is None else spec.reward_threshold
