"""The mask that an environment tells beside its observation becomes a part of it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from keywork._errors import EnvError, UsageError
from keywork._keys import ACTION_MASK, OBSERVATION
from keywork.envs._masks import choices_of


class MaskFromInfo(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A Gymnasium wrapper that makes ``info["action_mask"]`` an entry of the observation, where a policy can read it.

    A Dict observation gets the entry ``"action_mask"``; any other becomes a Dict of ``"observation"`` and
    ``"action_mask"``. The info has to hold a mask after every reset and step, those that end an episode included.

    Args:
        env: an environment with Discrete or MultiDiscrete actions. Its masks have a flag for each choice, ``[n]``; of
            MultiDiscrete ``[Σ n_k]``, or a tuple with one array for each part as Gymnasium's ``sample(mask)`` takes it.

    Raises:
        UsageError: actions of this environment have no choices, or it shows a mask already.
        EnvError: in a reset or step, there is no mask, or it does not fit the actions.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv(lambda: MaskFromInfo(gymnasium.make("Taxi-v4")), num_envs=2, seed=0) as env:
    ...     root = env.reset()
    >>> root["observation"].shape, root["action_mask"].shape, root["action_mask"].dtype
    (torch.Size([2]), torch.Size([2, 6]), torch.bool)
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        seen = env.observation_space
        shown = dict(seen.spaces) if isinstance(seen, gymnasium.spaces.Dict) else {OBSERVATION: seen}
        choices = choices_of(env.action_space)
        if choices is None or ACTION_MASK in shown:
            problem = f"actions of the space {env.action_space} have no choices that a mask could allow"
            if choices is not None:
                problem = f"its observation has an entry {ACTION_MASK!r} already"
            raise UsageError(f"MaskFromInfo cannot wrap {env}: {problem}.\n   Use the environment without it.")
        self._nests = not isinstance(seen, gymnasium.spaces.Dict)
        self._count = sum(choices)
        shown[ACTION_MASK] = gymnasium.spaces.MultiBinary(self._count)
        self.observation_space = gymnasium.spaces.Dict(shown)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the observation holds its mask."""
        observation, info = self.env.reset(**options)
        return self._shown(observation, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step; the observation holds its mask."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._shown(observation, info), reward, terminated, truncated, info

    def _shown(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        entries = {OBSERVATION: observation} if self._nests else observation
        return {**entries, ACTION_MASK: self._mask(info)}

    def _mask(self, info: dict[str, Any]) -> np.ndarray:
        given = info.get(ACTION_MASK)
        parts = given if isinstance(given, tuple) else (given,)
        array = np.concatenate([np.ravel(part) for part in parts])
        flags = array.astype(np.bool_)
        if given is None or array.shape != (self._count,) or not np.array_equal(flags, array):
            there = f"info[{ACTION_MASK!r}] is {given!r}" if ACTION_MASK in info else f"info holds {sorted(info)}"
            raise EnvError(
                f"{self.env} does not tell which actions are allowed: {there}.\n"
                f"   info[{ACTION_MASK!r}] has {self._count} flags, 0 or 1, after every reset and step.\n"
                "   Mend the environment, or do not wrap it in MaskFromInfo."
            )
        return flags.astype(np.int8)
