"""A plain loop over a few Gymnasium environments: in this process, or the share of one worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from keywork._errors import KeyworkError
from keywork.envs._buffers import Buffers
from keywork.envs._fault import EnvFault, raised
from keywork.envs._layout import Layout
from keywork.envs._transition import Arrays
from keywork.envs._unseen_mask import warn_of_unseen_mask

EnvFactory: TypeAlias = Callable[[], gymnasium.Env[Any, Any]]


class EnvRows:
    """Environments that are stepped one after the other, their results written into arrays.

    Gymnasium's SyncVectorEnv does not say which environment failed, and checks nothing; with eight CartPoles this takes
    nine tenths of its time, checks included.

    Args:
        factory: makes one environment.
        rows: the numbers of the environments in the whole; they are used in faults.
        at: an int64 array of one that always holds the number of the environment whose code is running. Where it is
            shared memory, it tells another process which environment died or hangs.

    Raises:
        EnvFault: an environment could not be made, or has other spaces than the first.
    """

    def __init__(self, factory: EnvFactory, rows: range, at: np.ndarray | None = None) -> None:
        self._rows = rows
        self._at = np.zeros(1, np.int64) if at is None else at
        self._envs: list[gymnasium.Env[Any, Any]] = []
        try:
            for row in rows:
                self._at[0] = row
                self._envs.append(_made(factory, row))
                self._check_same(row)
            self.layout = Layout(self._envs[0].observation_space)
        except BaseException:
            self._close_all()
            raise
        self.action_space = self._envs[0].action_space
        self._steps = [env.step for env in self._envs]
        self._begun = False

    def _check_same(self, row: int) -> None:
        first, env = self._envs[0], self._envs[-1]
        if env is first and len(self._envs) > 1:
            fix = "Make a new environment in every call of the factory."
            raise EnvFault("made", "is the same object as another: the factory returned it twice", row, fix)
        for name in ("observation_space", "action_space"):
            ours, theirs = getattr(env, name), getattr(first, name)
            if ours != theirs:
                fix = "All environments of one GymEnv have the same spaces; make several GymEnv otherwise."
                raise EnvFault("made", f"has the {name} {ours}, and another has {theirs}", row, fix)

    def reset(self, buffers: Buffers, seeds: Sequence[int] | None) -> None:
        """Begin an episode everywhere; the first observations are in ``buffers.first``."""
        chosen: Sequence[int | None] = [None] * len(self._envs) if seeds is None else seeds
        observations = [self._begin(index, seed) for index, seed in enumerate(chosen)]
        for key, array in self.layout.gather(observations, self._rows, "reset").items():
            buffers.first[key][...] = array

    def step(self, buffers: Buffers, actions: np.ndarray) -> Arrays:
        """Step every environment with its row of the actions, and begin a new episode where one ended.

        Returns:
            The observations that it led to, in new arrays; all else is left in the buffers.
        """
        at, results = self._at, []
        try:
            for row, step, action in zip(self._rows, self._steps, actions, strict=True):
                at[0] = row
                results.append(step(action))
        except Exception as error:
            raise raised("stepped", int(at[0]), error) from error
        try:
            observations, reward, terminated, truncated, _ = zip(*results, strict=True)
        except (TypeError, ValueError) as error:
            raise _malformed(results, self._rows) from error
        # Batched before anything is reset: an environment may return one array that it writes into again.
        following = self.layout.gather(observations, self._rows, "stepped")
        buffers.take(reward, terminated, truncated, self._rows)
        if True in terminated or True in truncated:
            ended = [index for index, flags in enumerate(zip(terminated, truncated, strict=True)) if any(flags)]
            rows = [self._rows[index] for index in ended]
            fresh = self.layout.gather([self._begin(index, None) for index in ended], rows, "reset")
            for key, array in fresh.items():
                for index, first in zip(ended, array, strict=True):
                    buffers.first[key][index] = first
        return following

    def _begin(self, index: int, seed: int | None) -> Any:
        env = self._envs[index]
        self._at[0] = self._rows[index]
        try:
            if seed is not None:
                env.action_space.seed(seed)
            observation, info = env.reset(seed=seed)
        except Exception as error:
            raise raised("reset", self._rows[index], error) from error
        if not self._begun:
            self._begun = True
            if self._rows[index] == 0:  # once, also where several processes have a share of the environments
                warn_of_unseen_mask(env, info, self.layout, self.action_space)
        return observation

    def close(self) -> None:
        """Close all environments, also where closing one fails.

        Raises:
            EnvFault: the first that could not be closed.
        """
        faults = self._close_all()
        if faults:
            raise faults[0]

    def _close_all(self) -> list[EnvFault]:
        faults: list[EnvFault] = []
        while self._envs:
            env = self._envs.pop()
            try:
                env.close()
            except Exception as error:  # noqa: BLE001 (the others have to be closed as well; the caller raises it)
                fault = raised("closed", self._rows[len(self._envs)], error)
                fault.__cause__ = error
                faults.insert(0, fault)
        return faults


def _malformed(results: Sequence[Any], rows: range) -> EnvFault:
    """The fault of the first environment whose step did not return five things."""
    bad = (isinstance(result, tuple) and len(result) == 5 for result in results)
    row, result = next((row, result) for row, result, good in zip(rows, results, bad, strict=True) if not good)
    fix = "A step returns (observation, reward, terminated, truncated, info)."
    return EnvFault("stepped", f"broke the interface of an environment: it returned {result!r}", row, fix)


def _made(factory: EnvFactory, row: int) -> gymnasium.Env[Any, Any]:
    try:
        env: Any = factory()
    except KeyworkError:
        raise
    except Exception as error:
        raise raised("made", row, error) from error
    if not isinstance(env, gymnasium.Env):
        fix = "A factory takes no arguments but env_kwargs and returns one gymnasium.Env."
        if isinstance(env, gymnasium.vector.VectorEnv):
            fix = "Pass the vector environment itself: GymEnv(vector_env)."
        raise EnvFault("made", f"is no gymnasium.Env but a {type(env).__name__}", row, fix)
    made: gymnasium.Env[Any, Any] = env
    return made
