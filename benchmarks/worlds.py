"""Environments for docs/results.md that a policy without a memory, or without a mask, cannot solve.

``keywork train ppo --env worlds:CartPoleNoVel-v1 --policy gru``, in this folder: Gymnasium imports what is in front of
the colon, which registers them.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation

_LENGTH = 20


def cart_pole_without_velocities(**options: Any) -> gymnasium.Env[Any, Any]:
    """CartPole-v1 that shows where cart and pole are, and not how fast they move."""
    env = gymnasium.make("CartPole-v1", **options)
    low, high = env.observation_space.low[[0, 2]], env.observation_space.high[[0, 2]]
    return TransformObservation(env, lambda observation: observation[[0, 2]], spaces.Box(low, high))


class Doors(gymnasium.Env[Any, Any]):
    """Fifty doors, of which two are open, others at each step: a locked one ends the episode.

    A cue says which one of the open two is paid for, the left or the right. An episode has 20 steps.

    Args:
        masked: whether which doors are open is shown as the mask of actions, or as an observation like any other.
    """

    def __init__(self, masked: bool, doors: int = 50) -> None:
        self._shown_as = "action_mask" if masked else "open"
        self.observation_space = spaces.Dict(
            {"cue": spaces.Box(-1.0, 1.0, (1,)), self._shown_as: spaces.MultiBinary(doors)}
        )
        self.action_space = spaces.Discrete(doors)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The first two doors."""
        super().reset(seed=seed)
        self._steps = 0
        return self._show(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go through a door."""
        self._steps += 1
        locked, paid = action not in self._open, float(action == self._open[self._right])
        return self._show(), paid, bool(locked), self._steps == _LENGTH, {}

    def _show(self) -> dict[str, Any]:
        self._open = np.sort(self.np_random.choice(self.action_space.n, 2, replace=False))
        self._right = int(self.np_random.integers(2))
        flags = np.zeros(self.action_space.n, np.int8)
        flags[self._open] = 1
        return {"cue": np.array([2.0 * self._right - 1.0], np.float32), self._shown_as: flags}


gymnasium.register("CartPoleNoVel-v1", cart_pole_without_velocities, max_episode_steps=500)
gymnasium.register("Doors-v0", Doors, kwargs={"masked": True})
gymnasium.register("DoorsUnmasked-v0", Doors, kwargs={"masked": False})
