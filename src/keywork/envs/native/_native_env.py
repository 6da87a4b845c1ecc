"""Environments that are tensors: stepped together, on any device, by pure functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from keywork._errors import EnvError, UsageError
from keywork._keys import ACTION, DONE, IS_INIT, OBSERVATION, REWARD, TERMINATED, TRUNCATED, Key, next_key
from keywork.envs._seeds import ACTION_SPACE, ENV, child_seed, fresh_seed
from keywork.envs._transition import Transition, action_of
from keywork.envs.native._actions import rules_of, shaped, unfit
from keywork.envs.native._episodes import EndedEpisodes
from keywork.envs.native._turn import Moved, Turn, compiled_turn, turn
from keywork.specs import Binary, Bounded, Categorical, Composite, Spec, Unbounded


class NativeEnv(ABC):
    """A number of environments in torch, to be used as :class:`~keywork.envs.GymEnv` is, with tensors for arrays.

    A subclass is a system: three pure functions, and what is said of them. Its states ``[k, *B]`` have one row for
    each variable, in the dtype to compute in. An episode is cut off where Gymnasium does it, and the next one begins
    in the same step; ``("next", "observation")`` is the true final observation.

    A step never waits for an accelerator. There, what has to be looked at is so when it is asked for: ended episodes,
    as soon as ``Transition.episodes`` is read (a Collector does, once a batch), and actions that are none, then and in
    `begin`. On the CPU such an action is refused at once.

    Args:
        num_envs: how many environments.
        device: where everything is.
        seed: of the first reset and of random actions. All environments draw from one generator of the device: the
            streams are other than Gymnasium's, and differ with the number of environments and between devices.
        dtype: to compute in: float64, as Gymnasium does, or float32. (Observations and rewards are float32.)
        compile: pass the step through `torch.compile`, in the first call; it takes a C++ compiler.
        clip_actions: put actions that are outside of the bounds on them, instead of refusing them.
        time_limit: after how many steps an episode is cut off, if not Gymnasium's.

    Attributes:
        name: Gymnasium's id.
        observed: the spec of an observation.
        acted: the spec of an action.
        variables: how many numbers a state has.
        draws: how many random numbers an episode begins with.
        num_envs: how many environments there are.
        batch_size: ``[num_envs]``.
        seed: what the random streams follow from; drawn, if none was given.
        observation_spec: a Composite of ``"observation"``.
        action_spec: of one action.
        reward_spec: of the reward.
        action_key: where `step` looks for the action.
        has_gaps: never; see `Transition.valid`.
        begun: how often :meth:`begin` was called.

    Raises:
        UsageError: it cannot be run as asked.
    """

    name: ClassVar[str]
    time_limit: int
    observed: ClassVar[Bounded]
    acted: ClassVar[Bounded | Categorical]
    variables: ClassVar[int]
    draws: ClassVar[int]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        device: torch.device | str = "cpu",
        seed: int | None = None,
        dtype: torch.dtype = torch.float64,
        compile: bool = False,
        clip_actions: bool = False,
        time_limit: int | None = None,
    ) -> None:
        time_limit = self.time_limit if time_limit is None else time_limit
        for word, number in (("num_envs", num_envs), ("time_limit", time_limit)):
            if number < 1:
                raise UsageError(f"{self.name} cannot be made with {word}={number}: give at least 1.")
        if dtype not in (torch.float32, torch.float64):
            raise UsageError(f"{self.name} cannot compute in {dtype}. Type dtype=torch.float64 or torch.float32.")
        self.num_envs, self.time_limit, self.clip_actions = num_envs, time_limit, clip_actions
        self.batch_size = torch.Size([num_envs])
        self.device, self.dtype = torch.device(device), dtype
        self.seed = fresh_seed() if seed is None else seed
        self.action_key: Key = ACTION
        self.has_gaps = False
        self.begun = 0
        self.action_spec: Spec = self.acted.to(self.device)
        self.reward_spec: Spec = Unbounded((1,), device=self.device)
        self.observation_spec = Composite({OBSERVATION: self.observed.to(self.device)})
        rules = rules_of(self.acted, clip_actions, self.dynamics, self.observe, time_limit)
        step: Callable[..., Turn] = compiled_turn() if compile else turn
        self._turn: Callable[..., Turn] = lambda *tensors: step(rules, *tensors)
        self._can_look = self.device.type == "cpu"  # without waiting
        self._streams: dict[int, torch.Generator] = {}
        self._no_step: str | None = "it has not begun: call begin() or reset() first."
        self._closed = False

    @staticmethod
    @abstractmethod
    def dynamics(state: Tensor, action: Tensor) -> Moved:
        """Where an action leads: ``[k, *B]`` and ``[*B]`` to the next state, the reward, and whether it is the end."""

    @staticmethod
    @abstractmethod
    def observe(state: Tensor) -> Tensor:
        """What is seen of a state ``[k, *B]``: float32 ``[*B, *observed.shape]``, in memory of its own."""

    @staticmethod
    @abstractmethod
    def start(uniform: Tensor) -> Tensor:
        """The first state of an episode, from numbers drawn uniformly from [0, 1): ``[draws, *B]``."""

    @property
    def specs(self) -> Composite:
        """All that a step holds: what the environment provides, and the action that it takes."""
        flags: dict[Key, Spec] = dict.fromkeys(
            (DONE, TERMINATED, TRUNCATED), Binary(1, dtype=torch.bool, device=self.device)
        )
        shown = dict(self.observation_spec.items())
        root: dict[Key, Spec] = {**shown, ACTION: self.action_spec, **flags, IS_INIT: flags[DONE]}
        following: dict[Key, Spec] = {**shown, REWARD: self.reward_spec, **flags}
        return Composite({**root, **{next_key(key): spec for key, spec in following.items()}})

    @property
    def state(self) -> Tensor:
        """Where each environment is, ``[num_envs, variables]``. Setting it moves them within their running episodes.

        Raises:
            EnvError: there is no running episode.
            UsageError: what is set has another shape.
        """
        self._require_begun("asked for its state")
        return self._state.T.clone()

    @state.setter
    def state(self, state: Tensor) -> None:
        self._require_begun("put into a state")
        if tuple(state.shape) != (self.num_envs, self.variables):
            raise UsageError(
                f"{self.name!r} cannot be put into a state of the shape {list(state.shape)}: "
                f"it takes {[self.num_envs, self.variables]}, a row for each environment."
            )
        self._state = state.detach().to(self.device, self.dtype, copy=True).T.contiguous()

    def begin(self, seed: int | None = None) -> dict[Key, Any]:
        """Begin an episode everywhere, and return the observations to act on: tensors ``[num_envs, *shape]``.

        Args:
            seed: begin the random streams anew. Without it the first call uses the constructor's, and later ones go on.

        Raises:
            EnvError: this environment is closed, or an action was none that no one has been told of.
        """
        if self._closed:
            raise EnvError(f"{self.name!r} cannot be reset: {self._no_step}")
        self.begun += 1
        if self._no_step is None:
            self._check()
        if seed is not None:
            self.seed = seed
            self._streams.clear()
        self._state = self.start(self._drawn(self.num_envs)).contiguous()
        self._returns = torch.zeros(self.num_envs, dtype=torch.float64, device=self.device)
        self._lengths = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self._good = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        self._no_step = None
        return {OBSERVATION: self.observe(self._state)}

    def advance(self, action: Any) -> Transition[Tensor]:
        """Take one step everywhere, and begin a new episode wherever one ended.

        Args:
            action: ``[num_envs, *action_spec.shape]``, a tensor or an array.

        Raises:
            EnvError: the actions are malformed, or one is not in the space (see the class for when it is noticed).
        """
        self._require_begun("stepped")
        action = shaped(action, self.acted, self.num_envs, self.device)
        with torch.no_grad():
            taken = self._turn(self._state, self._returns, self._lengths, action)
            if not self._can_look:
                self._good = self._good & taken.good
            elif not taken.good.all():
                raise unfit(action, taken.good, self.acted)
            ended = taken.done.squeeze(-1)
            running = ~ended
            self._returns, self._lengths = taken.returns * running, taken.lengths * running
            self._state, shown = self._begun_again(taken, ended)
        episodes = EndedEpisodes(ended, taken.returns, taken.lengths, self._check)
        flags = (taken.done, taken.terminated, taken.truncated)
        return Transition({OBSERVATION: shown}, {OBSERVATION: taken.seen}, taken.reward, *flags, episodes)

    def _begun_again(self, taken: Turn, ended: Tensor) -> tuple[Tensor, Tensor]:
        """The states, and what is seen of them, with new episodes where one ended."""
        if not self._can_look:  # how many have ended: so all draw
            fresh = self.start(self._drawn(self.num_envs))
            return torch.where(ended, fresh, taken.state), torch.where(taken.done, self.observe(fresh), taken.seen)
        which = ended.nonzero().squeeze(-1)
        if len(which) == 0:
            return taken.state, taken.seen
        fresh = self.start(self._drawn(len(which)))
        return taken.state.index_copy_(1, which, fresh), taken.seen.index_copy(0, which, self.observe(fresh))

    def _drawn(self, count: int) -> Tensor:
        return torch.rand((self.draws, count), generator=self._stream(ENV), dtype=self.dtype, device=self.device)

    def _stream(self, branch: int) -> torch.Generator:
        if branch not in self._streams:
            generator = torch.Generator(self.device)
            self._streams[branch] = generator.manual_seed(child_seed(self.seed, branch, 0))
        return self._streams[branch]

    def _check(self) -> None:
        """Refuse to go on if an action was none; this waits for the device."""
        if not (self._can_look or self._good.all()):
            self._no_step = "it was given an action that is none. Call begin() or reset() to go on with new episodes."
            raise unfit(None, self._good, self.acted)

    def _require_begun(self, doing: str) -> None:
        if self._no_step is not None:
            raise EnvError(f"{self.name!r} cannot be {doing}: {self._no_step}")

    def reset(self, seed: int | None = None) -> TensorDict:
        """Begin an episode everywhere; see `begin`. Returns the root of the first step."""
        observation = self.begin(seed)
        return self._root(observation, torch.ones((self.num_envs, 1), dtype=torch.bool, device=self.device))

    def step(self, td: TensorDictBase) -> TensorDictBase:
        """Take ``td["action"]``, and put what it led to under ``"next"``.

        Raises:
            MissingKeyError: there is no action.
            EnvError: see `advance`.
        """
        return self._stepped(td)[0]

    def step_and_maybe_reset(self, td: TensorDictBase) -> tuple[TensorDictBase, TensorDict]:
        """Take a step; see `step`. Returns it, and the root of the step that follows: what to act on next."""
        td, latest = self._stepped(td)
        # Copies: the two steps may be changed in place without touching each other.
        following = {key: value.clone() for key, value in latest.observation.items()}
        return td, self._root(following, latest.done.clone())

    def _stepped(self, td: TensorDictBase) -> tuple[TensorDictBase, Transition[Tensor]]:
        latest = self.advance(action_of(td, self.action_key, self.name))
        for key, tensor in latest.reached.items():
            td.set(key, tensor)
        return td, latest

    def rollout(
        self, steps: int, policy: Callable[[Any], TensorDictBase] | None = None, *, seed: int | None = None
    ) -> TensorDictBase:
        """Reset, and take some steps; returns them with batch size ``[num_envs, steps]``.

        Args:
            steps: how many for each environment.
            policy: writes the action into the TensorDict that it is given; None takes random ones.
            seed: see `begin`.
        """
        root: TensorDictBase = self.reset(seed)
        taken: list[Any] = []
        for _ in range(steps):
            acted = root.set(self.action_key, self.random_action()) if policy is None else policy(root)
            step, root = self.step_and_maybe_reset(acted)
            taken.append(step)
        self._check()
        batch: TensorDictBase = TensorDict.stack(taken, dim=1)
        return batch

    def random_action(self) -> Tensor:
        """Random actions, one for each environment, from a random stream of their own."""
        action: Tensor = self.action_spec.rand(self.num_envs, generator=self._stream(ACTION_SPACE))
        return action

    def close(self) -> None:
        """Take no further step; a second call does nothing."""
        self._closed, self._no_step = True, f"it was closed. Make a new {type(self).__name__}."

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_envs={self.num_envs}, device={str(self.device)!r})"

    def _root(self, observation: Mapping[Key, Tensor], is_init: Tensor) -> TensorDict:
        none = torch.zeros_like(is_init)
        source = {**observation, DONE: none, TERMINATED: none.clone(), TRUNCATED: none.clone(), IS_INIT: is_init}
        return TensorDict(source, batch_size=self.batch_size, device=self.device)
