"""Gymnasium environments as a source of experience."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from keywork._keys import ACTION, DONE, IS_INIT, REWARD, TERMINATED, TRUNCATED, VALID, Key, next_key
from keywork.envs._actions import ActionGate
from keywork.envs._fault import EnvFault, env_error
from keywork.envs._processes import ProcessWorkers
from keywork.envs._sources import EnvSource, backend_for, name_of
from keywork.envs._stepper import Stepper
from keywork.envs._transition import Arrays, Transition, action_of
from keywork.specs import Binary, Composite, Spec, Unbounded


class GymEnv:
    """A number of Gymnasium environments, stepped together. An episode's end is followed by the next one's beginning.

    The data of a step has the layout of a batch, with batch size ``[num_envs]``: ``("next", "observation")`` of an
    episode's last step is its true final observation, whatever the environment's way to reset itself, and the
    root of the next step holds the new episode's first one.

    Observations that are no Dict or Tuple are under ``"observation"``, the parts of one under their own
    names (a Tuple's under "0", "1", ...). float64 observations are stored in float32, everything else in its own dtype.

    An entry ``"action_mask"`` of the observation, of flags for each choice of Discrete ``[n]`` or MultiDiscrete
    ``[Σ n_k]`` actions, says which are allowed: it is bool, whatever kind of flags the environment uses, and
    `random_action` keeps to it. One that allows nothing at an episode's end is stored as one that allows everything,
    so that losses can ask a policy about every step. :class:`MaskFromInfo` makes such an entry of
    ``info["action_mask"]``.

    Images stay bytes, in the order of the environment. The networks of ``from_spec`` bring the channels to the front
    where it is needed; a :class:`~keywork.nets.ConvNet` of your own takes ``[*B, C, H, W]``.

    Gymnasium's wrappers are used as ever: ``GymEnv(lambda: FrameStackObservation(gymnasium.make(id), 4), num_envs)``.
    Rewards, and so the statistics of episodes, are what the outermost wrapper returns.

    Every observation, reward, flag and action is checked: shape, kind, finite, and inside where the space is discrete.

    Args:
        env: an id (``"CartPole-v1"``), a function or class that makes an environment, an environment, or a gymnasium
            VectorEnv. What is made already belongs to the GymEnv from then on and is closed with it.
        num_envs: how many environments.
        workers: ``"sync"``: in this process. ``"process"``: in worker processes (``ProcessWorkers(...)`` for settings).
            ``"vector"``: the id's own vectorised form. A vector environment runs as it is.
        env_kwargs: passed to whatever makes an environment.
        seed: of the first reset. Each environment has its own child of it, so that what happens in one is
            the same with any number of environments and workers (a vectorised form has one generator for all).
        device: where `reset`, `step` and `rollout` put tensors.
        one_hot: actions of a Discrete space are one-hot vectors instead of indices.
        clip_actions: put Box actions that are outside of the bounds on them, instead of refusing them.

    Attributes:
        name: what messages call it.
        num_envs: how many environments there are.
        batch_size: ``[num_envs]``.
        observation_spec: the parts of an observation, a Composite.
        action_spec: of one action.
        reward_spec: of the reward.
        action_key: where `step` looks for the action.
        clip_actions: as it was given.
        has_gaps: whether a step may be none of an episode, and is masked (see `Transition.valid`): a vector environment
            with next-step autoreset.
        begun: how often :meth:`begin` was called.

    Raises:
        UsageError: there is no such environment, it cannot be run as asked, or its mask does not fit its actions.
        MissingExtraError: it needs a package that an extra of this one brings.
        SpecError: its observation space has no spec.
        EnvError: it could not be made.

    >>> with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
    ...     batch = env.rollout(3)
    >>> batch.batch_size, batch["next", "reward"].shape
    (torch.Size([2, 3]), torch.Size([2, 3, 1]))
    """

    def __init__(
        self,
        env: EnvSource,
        num_envs: int = 1,
        *,
        workers: str | ProcessWorkers = "sync",
        env_kwargs: Mapping[str, Any] | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        one_hot: bool = False,
        clip_actions: bool = False,
    ) -> None:
        self.name = name_of(env)
        try:
            backend = backend_for(env, num_envs, workers, dict(env_kwargs or {}))
        except EnvFault as fault:
            error = env_error(self.name, num_envs, fault)
            raise error from error.__cause__
        self.num_envs = backend.num_envs
        self.batch_size = torch.Size([backend.num_envs])
        self.device = None if device is None else torch.device(device)
        self.action_key: Key = ACTION
        self.clip_actions = clip_actions
        self.has_gaps = backend.masks
        self.begun = 0
        try:
            gate = ActionGate(backend.action_space, backend.num_envs, one_hot=one_hot, clip=clip_actions)
            self._stepper = Stepper(self.name, backend, gate, seed)
        except Exception:
            backend.close()
            raise
        to = self.device or "cpu"
        self.action_spec: Spec = gate.spec.to(to)
        self.reward_spec: Spec = Unbounded((1,), device=to)
        self.observation_spec = Composite({leaf.key: leaf.spec.to(to) for leaf in backend.layout.leaves})
        self._latest: Transition[np.ndarray] | None = None

    @property
    def seed(self) -> int:
        """The seed that the environments' own are children of; drawn, if none was given."""
        return self._stepper.seed

    @property
    def specs(self) -> Composite:
        """All that a step holds: what the environment provides, and the action that it takes."""
        flag = Binary(1, dtype=torch.bool, device=self.device or "cpu")
        flags: dict[Key, Spec] = dict.fromkeys((DONE, TERMINATED, TRUNCATED), flag)
        root: dict[Key, Spec] = {
            **dict(self.observation_spec.items()),
            ACTION: self.action_spec,
            **flags,
            IS_INIT: flag,
        }
        if self.has_gaps:
            root[VALID] = flag
        following = {**dict(self.observation_spec.items()), REWARD: self.reward_spec, **flags}
        return Composite({**root, **{next_key(key): spec for key, spec in following.items()}})

    def begin(self, seed: int | None = None) -> Arrays:
        """Begin an episode everywhere, and return the observations to act on: numpy arrays ``[num_envs, *shape]``.

        Args:
            seed: begin the random streams anew. Without it the first call uses the constructor's, and later ones go on.

        Raises:
            EnvError: an environment failed, or this one is closed.
        """
        self.begun += 1
        return self._stepper.begin(seed)

    def advance(self, action: np.ndarray | Tensor) -> Transition[np.ndarray]:
        """Take one step everywhere, and begin a new episode wherever one ended.

        Args:
            action: ``[num_envs, *action_spec.shape]``.

        Raises:
            EnvError: an action is not in the space; an environment raised, died, hangs, or returned something that
                breaks its own spaces. Says which, at which step, and with which seed.
        """
        return self._stepper.advance(action)

    def reset(self, seed: int | None = None) -> TensorDict:
        """Begin an episode everywhere; see `begin`. Returns the root of the first step."""
        self._latest = None
        return self._root(self.begin(seed), np.ones((self.num_envs, 1), np.bool_))

    def step(self, td: TensorDictBase) -> TensorDictBase:
        """Take ``td["action"]``, and put what it led to under ``"next"``.

        Raises:
            MissingKeyError: there is no action.
            EnvError: see `advance`.
        """
        latest = self.advance(action_of(td, self.action_key, self.name))
        for key, array in latest.reached.items():
            td.set(key, self._tensor(array))
        if self.has_gaps:
            valid = np.ones_like(latest.done) if latest.valid is None else latest.valid
            td.set(VALID, self._tensor(valid))
        self._latest = latest
        return td

    def step_and_maybe_reset(self, td: TensorDictBase) -> tuple[TensorDictBase, TensorDict]:
        """Take a step; see `step`. Returns it, and the root of the step that follows: what to act on next."""
        td = self.step(td)
        assert self._latest is not None
        # Copies: the two steps may be changed in place without touching each other.
        following = {key: array.copy() for key, array in self._latest.observation.items()}
        return td, self._root(following, self._latest.done.copy())

    def rollout(
        self, steps: int, policy: Callable[[Any], TensorDictBase] | None = None, *, seed: int | None = None
    ) -> TensorDictBase:
        """Reset, and take some steps; returns them with batch size ``[num_envs, steps]``.

        Args:
            steps: how many for each environment.
            policy: writes the action into the TensorDict that it is given; None takes random ones. One that carries
                a state from step to step needs a collector.
            seed: see `begin`.
        """
        root: TensorDictBase = self.reset(seed)
        taken: list[Any] = []
        for _ in range(steps):
            acted = root.set(self.action_key, self.random_action()) if policy is None else policy(root)
            step, root = self.step_and_maybe_reset(acted)
            taken.append(step)
        batch: TensorDictBase = TensorDict.stack(taken, dim=1)
        return batch

    def random_action(self) -> Tensor:
        """Random actions, one for each environment and drawn from a random stream of its own.

        Raises:
            EnvError: an environment's mask allows none.
        """
        action: Tensor = self.action_spec.encode(self._stepper.random_action())
        return action

    def close(self) -> None:
        """Close the environments and end their workers; a second call does nothing.

        Raises:
            EnvError: an environment could not be closed; all others are.
        """
        self._stepper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GymEnv({self.name!r}, num_envs={self.num_envs})"

    def _root(self, observation: Arrays, is_init: np.ndarray) -> TensorDict:
        none = np.zeros((self.num_envs, 1), np.bool_)
        entries: dict[Key, np.ndarray] = {**observation, DONE: none, TERMINATED: none.copy(), TRUNCATED: none.copy()}
        entries[IS_INIT] = is_init
        source = {key: self._tensor(array) for key, array in entries.items()}
        return TensorDict(source, batch_size=self.batch_size, device=self.device)

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.device is None else tensor.to(self.device)
