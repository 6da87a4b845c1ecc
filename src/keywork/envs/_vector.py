"""A Gymnasium vector environment as it is, whichever of Gymnasium's three ways to reset it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from keywork._errors import UsageError
from keywork._keys import ACTION_MASK
from keywork.envs._backend import Backend
from keywork.envs._buffers import Buffers
from keywork.envs._fault import EnvFault, raised
from keywork.envs._layout import Layout
from keywork.envs._processes import ProcessWorkers
from keywork.envs._unseen_mask import warn_of_unseen_mask


class Vectorised(Backend):
    """Runs a vector environment; it belongs to the backend from then on, and is closed with it.

    What happens at an episode's end, in each mode:

    * ``SAME_STEP``: the environment has begun the next episode; the final observation is taken from the info.
    * ``DISABLED``: the final observation is what the step returned; the ended ones are reset at once, by a mask.
    * ``NEXT_STEP``: the final observation is what the step returned, and the environment begins the next episode
      in the following step, whose action it ignores. That step is no step of any episode: it is masked.

    Args:
        env: the vector environment.
        config: its deadlines hold for an AsyncVectorEnv.

    Raises:
        UsageError: the environment does not say when it resets.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], config: ProcessWorkers) -> None:
        self._env, self._config = env, config
        self._mode = _mode(env)
        self.masks = self._mode is AutoresetMode.NEXT_STEP
        self.num_envs = env.num_envs
        self._rows = range(env.num_envs)
        self.layout = Layout(env.single_observation_space)
        self.action_space = env.single_action_space
        self.buffers = Buffers.empty(self.layout, env.num_envs)
        self._ended = np.zeros(env.num_envs, np.bool_)  # NEXT_STEP: whose next step will be a reset
        self._begun, self._broken = False, False

    def reset(self, seeds: Sequence[int] | None) -> None:
        """See the base class. A vector environment with one random generator takes the first seed."""
        separate = isinstance(self._env.unwrapped, SyncVectorEnv | AsyncVectorEnv)
        seed = seeds if seeds is None or separate else seeds[0]
        if seeds is not None:
            self._env.action_space.seed(seeds[0])
        observation = self._call("reset", lambda: self._reset(seed, None))
        self._ended[:] = False
        self._store(self.buffers.first, observation, "reset", slice(None))

    def step(self, actions: np.ndarray) -> np.ndarray | None:
        """See the base class."""
        observation, reward, terminated, truncated, info = self._call("stepped", lambda: self._step(actions))
        self._store(self.buffers.next, observation, "stepped", slice(None))
        self.buffers.take(reward, terminated, truncated, self._rows)
        done = self.buffers.terminated | self.buffers.truncated
        if self._mode is AutoresetMode.NEXT_STEP:
            return self._after_next_step(done)
        if done.any():
            if self._mode is AutoresetMode.SAME_STEP:
                self._after_same_step(done, info)
            else:
                fresh = self._call("reset", lambda: self._reset(None, {"reset_mask": done.copy()}))
                self._store(self.buffers.first, fresh, "reset", done)
        return None

    def close(self) -> None:
        """See the base class."""
        env = self._env.unwrapped
        if self._broken and isinstance(env, AsyncVectorEnv):
            for process in env.processes:
                process.kill()  # a dead or frozen worker would not answer a polite request
            env.close(terminate=True)
        try:
            self._env.close()
        except Exception as error:
            raise raised("closed", None, error) from error

    def _after_same_step(self, done: np.ndarray, info: dict[str, Any]) -> None:
        buffers, ended = self.buffers, np.flatnonzero(done)
        final = info.get("final_obs")
        if final is None:
            fix = "In the mode SAME_STEP the info of a step in which an episode ends holds 'final_obs'."
            raise EnvFault("stepped", "broke its autoreset mode: there is no final observation", int(ended[0]), fix)
        if isinstance(final, np.ndarray) and final.dtype == object:
            finals = self.layout.gather([final[row] for row in ended], ended.tolist(), "stepped")
        else:
            batch = self.layout.split(final, self._rows, "stepped")
            finals = {key: array[ended] for key, array in batch.items()}
        for key, array in finals.items():
            buffers.first[key][ended] = buffers.next[key][ended]
            buffers.next[key][ended] = array

    def _after_next_step(self, done: np.ndarray) -> np.ndarray | None:
        buffers, resets = self.buffers, self._ended
        self._ended = ended = done & ~resets
        stepped = None
        if np.count_nonzero(resets):
            for key, following in buffers.next.items():
                first = buffers.first[key]
                # What the step before put there to act on, the final observation, is what this step led to as well.
                following[resets], first[resets] = first[resets], following[resets]
            buffers.reward[resets] = 0.0
            buffers.terminated[resets] = False
            buffers.truncated[resets] = True
            stepped = ~resets
        if np.count_nonzero(ended):
            for key, following in buffers.next.items():
                buffers.first[key][ended] = following[ended]
            if ACTION_MASK in buffers.first:
                # Nothing is allowed at an episode's end, but a policy has to write an action there that is ignored.
                buffers.first[ACTION_MASK][ended] = True
        return stepped

    def _store(self, into: dict[Any, np.ndarray], batch: Any, doing: str, rows: Any) -> None:
        for key, array in self.layout.split(batch, self._rows, doing).items():
            into[key][rows] = array[rows]

    def _reset(self, seed: Any, options: dict[str, Any] | None) -> Any:
        if isinstance(self._env, AsyncVectorEnv):
            self._env.reset_async(seed=seed, options=options)
            observation, info = self._env.reset_wait(timeout=self._config.reset_timeout)
        else:
            observation, info = self._env.reset(seed=seed, options=options)
        if not self._begun:
            self._begun = True
            warn_of_unseen_mask(self._env, info, self.layout, self.action_space)
        return observation

    def _step(self, actions: np.ndarray) -> Any:
        if isinstance(self._env, AsyncVectorEnv):
            self._env.step_async(actions)
            return self._env.step_wait(timeout=self._config.step_timeout)
        return self._env.step(actions)

    def _call(self, doing: str, function: Any) -> Any:
        try:
            return function()
        except Exception as error:
            self._broken = True
            raise self._explained(doing, error) from error

    def _explained(self, doing: str, error: Exception) -> EnvFault:
        """Which of an AsyncVectorEnv's processes died, where it does not say so itself."""
        processes = getattr(self._env.unwrapped, "processes", [])
        for index, process in enumerate(processes):
            if process.exitcode not in (None, 0):
                fix = "GymEnv(id, num_envs, workers='process') has workers of its own."
                return EnvFault(doing, f"died with its worker process (exit code {process.exitcode})", index, fix)
        return raised(doing, None, error)


def _mode(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    given = env.metadata.get("autoreset_mode")
    for mode in AutoresetMode:
        if given in (mode, mode.value):
            return mode
    raise UsageError(
        f"{env} cannot be used: it does not say when it resets its environments.\n"
        f"   metadata['autoreset_mode']: {given!r}\n"
        "   Set it to gymnasium.vector.AutoresetMode.NEXT_STEP, SAME_STEP or DISABLED, whichever it does."
    )
