"""Steps the environments, in numpy: what a collector calls thousands of times a second."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from torch import Tensor

from keywork._errors import EnvError
from keywork._keys import ACTION_MASK
from keywork.envs._actions import ActionGate
from keywork.envs._backend import Backend
from keywork.envs._fault import EnvFault, env_error
from keywork.envs._masks import allowed_action, masked_choices, open_ends
from keywork.envs._seeds import ACTION_SPACE, ENV, child_seed, fresh_seed
from keywork.envs._transition import Arrays, EpisodeStats, Transition


class Stepper:
    """A backend, the gate before it, and the books that are kept: seeds, running episodes, what may be called.

    Args:
        name: what messages call the environment.
        backend: runs the environments.
        gate: checks the actions.
        seed: of the first :meth:`begin`; None draws one.

    Raises:
        UsageError: the observations have a mask that does not fit the actions.
    """

    def __init__(self, name: str, backend: Backend, gate: ActionGate, seed: int | None) -> None:
        self.name, self._backend, self._gate = name, backend, gate
        self.seed = fresh_seed() if seed is None else seed
        self._seeded = False
        self._no_step: str | None = "it has not begun: call begin() or reset() first."
        self._closed = False
        self._steps = 0
        self._returns = np.zeros(backend.num_envs)
        self._since = [0] * backend.num_envs  # after which of the steps each episode began
        self._choices = masked_choices(backend.layout, backend.action_space)
        self._mask: np.ndarray | None = None
        self._spaces = [deepcopy(backend.action_space) for _ in range(backend.num_envs)]

    def begin(self, seed: int | None = None) -> Arrays:
        """Begin an episode everywhere; see `GymEnv.begin`."""
        if self._closed:
            raise EnvError(f"{self.name!r} cannot be reset: it was closed. Make a new GymEnv.")
        if seed is not None:
            self.seed, self._seeded = seed, False
        seeds = None if self._seeded else self._child_seeds()
        try:
            self._backend.reset(seeds)
        except EnvFault as fault:
            raise self._failed(fault) from fault.__cause__
        self._returns[:] = 0.0
        self._since = [self._steps] * len(self._since)
        self._no_step = None
        observation = {key: array.copy() for key, array in self._backend.buffers.first.items()}
        if self._choices is not None:
            self._mask = observation[ACTION_MASK].copy()
        return observation

    def _child_seeds(self) -> list[int]:
        for index, space in enumerate(self._spaces):
            space.seed(child_seed(self.seed, ACTION_SPACE, index))
        self._seeded, self._steps = True, 0
        return [child_seed(self.seed, ENV, index) for index in range(self._backend.num_envs)]

    def advance(self, action: np.ndarray | Tensor) -> Transition[np.ndarray]:
        """Step everywhere; see `GymEnv.advance`."""
        if self._no_step is not None:
            raise EnvError(f"{self.name!r} cannot be stepped: {self._no_step}")
        actions = self._gate(action)
        try:
            stepped = self._backend.step(actions)
        except EnvFault as fault:
            raise self._failed(fault) from fault.__cause__
        buffers = self._backend.buffers
        self._steps += 1
        self._returns += buffers.reward
        done = buffers.terminated | buffers.truncated
        reached = buffers.next
        if not self._backend.fresh:
            reached = {key: array.copy() for key, array in reached.items()}
        if self._choices is not None:
            open_ends(reached[ACTION_MASK], done, self._choices)
        observation, episodes = reached, []
        if np.count_nonzero(done):
            ended = np.flatnonzero(done)
            observation = {key: array.copy() for key, array in reached.items()}
            for key, array in observation.items():
                array[ended] = buffers.first[key][ended]
            episodes = self._finished(ended, stepped)
        if self._choices is not None:
            self._mask = observation[ACTION_MASK].copy()
        return Transition(
            observation,
            reached,
            buffers.reward.astype(_FLOAT32)[:, None],
            done[:, None],
            buffers.terminated.copy()[:, None],
            buffers.truncated.copy()[:, None],
            episodes,
            None if stepped is None else stepped[:, None],
        )

    def _finished(self, ended: np.ndarray, stepped: np.ndarray | None) -> list[EpisodeStats]:
        episodes = []
        for index in ended.tolist():
            if stepped is None or stepped[index]:
                episodes.append(EpisodeStats(index, self._returns.item(index), self._steps - self._since[index]))
            self._returns[index], self._since[index] = 0.0, self._steps
        return episodes

    def random_action(self) -> np.ndarray:
        """One action from each environment's own action space, in the environments' form; an allowed one."""
        if self._mask is None:
            return np.stack([np.asarray(space.sample()) for space in self._spaces])
        pairs = enumerate(zip(self._spaces, self._mask, strict=True))
        return np.stack([allowed_action(space, mask, env) for env, (space, mask) in pairs])

    def close(self) -> None:
        """Close the environments; a second call does nothing."""
        if self._closed:
            return
        self._closed, self._no_step = True, "it was closed. Make a new GymEnv."
        try:
            self._backend.close()
        except EnvFault as fault:
            raise self._failed(fault) from fault.__cause__

    def _failed(self, fault: EnvFault) -> EnvError:
        """The error of a fault, with what is known here; no step is taken after it."""
        if not self._closed:
            self._no_step = "it failed before. Call begin() or reset() to go on with new episodes."
        where = f"after {self._steps} steps with seed {self.seed}"
        if fault.index is not None:
            taken = self._steps - self._since[fault.index]
            step = f"at step {taken + 1} of its episode, " if fault.doing == "stepped" else ""
            where = f"{step}{where} (its own: {child_seed(self.seed, ENV, fault.index)})"
        error = env_error(self.name, self._backend.num_envs, fault, where)
        fault.__cause__ = error.__cause__  # what `raise ... from` is given
        return error


_FLOAT32 = np.dtype(np.float32)  # numpy looks a type up each time that it is given one
