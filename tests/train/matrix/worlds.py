"""CartPole and Pendulum, short, as each kind of network sees them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from keywork.envs import GymEnv

CHOICES, NUMBERS = "choices", "numbers"


class Nested(gymnasium.ObservationWrapper):
    """Shows a dict in a dict, and with it a choice and bits: which way it leans, and what is small."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        rest = env.observation_space.shape[0] - 1
        body = spaces.Dict({"first": spaces.Box(-np.inf, np.inf, (1,)), "rest": spaces.Box(-np.inf, np.inf, (rest,))})
        self.observation_space = spaces.Dict(
            {"body": body, "lean": spaces.Discrete(2), "small": spaces.MultiBinary(rest)}
        )

    def observation(self, x: np.ndarray) -> dict[str, Any]:
        small = (np.abs(x[1:]) < 0.1).astype(np.int8)
        return {"body": {"first": x[:1], "rest": x[1:]}, "lean": int(x[-1] > 0.0), "small": small}


class Masked(gymnasium.Wrapper):
    """Two buttons each for left and right, of which one of each is allowed, in turn; the forbidden ones raise."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.action_space = spaces.Discrete(4)
        self.observation_space = spaces.Dict({"seen": env.observation_space, "action_mask": spaces.MultiBinary(4)})
        self.at = 0

    def _shown(self, x: np.ndarray) -> dict[str, Any]:
        self.allowed = (np.arange(4) // 2 == self.at % 2).astype(np.int8)
        return {"seen": x, "action_mask": self.allowed.copy()}

    def reset(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        x, info = self.env.reset(**options)
        self.at = int(abs(x[0]) * 1e4)
        return self._shown(x), info

    def step(self, action: int) -> tuple[Any, ...]:
        assert self.allowed[action], f"action {action} is forbidden"
        x, *rest = self.env.step(int(action) % 2)
        self.at += 1 + int(abs(x[2]) * 1e4)
        return self._shown(x), *rest


class MaskedNumbers(gymnasium.ObservationWrapper):
    """Shows a mask beside numbers, of which none can be forbidden."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = spaces.Dict({"seen": env.observation_space, "action_mask": spaces.MultiBinary(1)})

    def observation(self, x: np.ndarray) -> dict[str, Any]:
        return {"seen": x, "action_mask": np.ones(1, np.int8)}


_WRAPPERS = {("masked", CHOICES): Masked, ("masked", NUMBERS): MaskedNumbers}


def world(body: str, actions: str) -> GymEnv:
    """Two environments whose actions are choices or numbers, and that end in either way."""
    name, steps = ("CartPole-v1", 13) if actions == CHOICES else ("Pendulum-v1", 9)
    wrapper = Nested if body == "dict" else _WRAPPERS.get((body, actions), lambda env: env)

    def made() -> gymnasium.Env:
        return gymnasium.wrappers.TimeLimit(wrapper(gymnasium.make(name).unwrapped), steps)

    made.__name__ = name
    return GymEnv(made, num_envs=2, seed=0, clip_actions=actions == NUMBERS)
