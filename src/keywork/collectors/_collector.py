"""The collector: an environment and a policy become batches of experience."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, Unpack

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._errors import ContractError, EnvError, UsageError, describe
from keywork._keys import DONE, IS_INIT, REWARD, TERMINATED, TRUNCATED, VALID, Key, next_key
from keywork._modes import Modes
from keywork._wiring import without_keys
from keywork.collectors._carried import Carried
from keywork.collectors._columns import Columns
from keywork.collectors._finite import first_of, has_nan, of_env, of_policy
from keywork.collectors._meeting import check_meeting, check_warm_up
from keywork.collectors._options import CollectorOptions, check_frames, require_options
from keywork.envs import Env, EpisodeStats
from keywork.modules import ExplorationModule, fill_action_specs
from keywork.nn import ExplorationType, TensorDictModuleBase

Act: TypeAlias = Callable[[dict[Key, Any]], tuple[Any, ...]]

_LOG = logging.getLogger("keywork")


class Collector:
    """Let a policy act in an environment, and hand out what happens in batches ``[num_envs, T]``.

    Episodes go on from one batch to the next, unless the environment is reset in between. A batch holds what the
    environment shows, everything that the policy writes, and under ``"next"`` what each action led to. Every batch has
    memory of its own: on the device of the environments where these give tensors, as those of
    :mod:`keywork.envs.native` do, and on the CPU else.

    What a policy carries (the state of a recurrent module, say) goes from ``("next", key)`` of one step to ``key`` of
    the following one, and begins each episode as the ``carried_specs`` of the policy's modules say: with zeros.

    What the policy's exploration modules anneal fades with the frames that are collected under ``RANDOM``: each batch
    is counted after it, once, here. So no loop calls their ``step``, and evaluating without exploration counts nothing.

    A NaN in what the policy writes, or an action that is not finite, is an error that names it, and no batch comes out.

    Args:
        env: where to act.
        policy: a key module from what the environment shows to the action; None for random actions. Those of its
            exploration modules that have no spec get the environment's.
        frames_per_batch: steps of all environments together in one batch, a multiple of ``env.num_envs``.
        total_frames: after how many frames the iteration ends (with the batch that reaches it); None for never.
        exploration_type: set while the policy acts.
        seed: of the environment's first reset, in place of its own.
        init_random_frames: so many frames, of all environments together, are acted in at random to begin with, as the
            environment's `random_action` draws. The policy runs all the same, so that a batch always has the same
            keys: what it carries is its own, and what it writes of its own action (a chosen value, say) is of that.
            These frames count for ``total_frames``, and for no exploration module.
        anneal: whether frames count for the policy's exploration modules; without it, call their ``step``.
        check: whether policy and environment are checked against one another (see :class:`~keywork.flow.Flow`);
            without it, the log says that they are not.

    Raises:
        ContractError: the policy reads what the environment does not show, does not write its action, carries
            something of which none of its modules says what it is, changes an action whose log-probability it
            has written, or does not fit the environment in another way. Nothing has been run then.
        UsageError: the numbers of frames cannot be, or the policy writes log-probabilities, which random actions of
            ``init_random_frames`` do not have under it.

    >>> from torch import nn
    >>> from keywork.distributions import Categorical
    >>> from keywork.envs import GymEnv
    >>> from keywork.modules import ProbabilisticActor
    >>> from keywork.nn import TensorDictModule
    >>> net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    >>> actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    >>> with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
    ...     batch = next(iter(Collector(env, actor, frames_per_batch=10)))
    >>> batch.batch_size, batch["sample_log_prob"].shape, batch["next", "reward"].shape
    (torch.Size([2, 5]), torch.Size([2, 5]), torch.Size([2, 5, 1]))
    """

    def __init__(
        self,
        env: Env,
        policy: TensorDictModuleBase | None,
        *,
        frames_per_batch: int,
        total_frames: int | None = None,
        exploration_type: Any = ExplorationType.RANDOM,
        seed: int | None = None,
        **options: Unpack[CollectorOptions],
    ) -> None:
        require_options(options)
        if not hasattr(env, "num_envs") or not hasattr(env, "action_key"):
            if hasattr(policy, "num_envs"):
                raise UsageError(
                    f"A collector cannot act in {describe(env)}. The two are swapped: Collector(env, policy)."
                )
            raise UsageError(f"A collector cannot act in {describe(env)}, {env!r}. Make it one: GymEnv(...).")
        if strange := without_keys("the policy", policy) if policy is not None else []:
            raise ContractError("Collector", strange)
        random_frames = options.get("init_random_frames", 0)
        check_frames(env.num_envs, frames_per_batch, total_frames, random_frames)
        if policy is not None and random_frames:
            check_warm_up(policy, random_frames)
        self.exploration_type = ExplorationType.of(exploration_type)
        if policy is not None:
            fill_action_specs(policy, {env.action_key: env.action_spec})
            if options.get("check", True):
                check_meeting(env, policy, self.exploration_type)
            else:
                _LOG.warning("Collector(check=False): %s and its policy are not checked.", env.name)
        self.env, self.policy = env, policy
        self.frames_per_batch, self.total_frames = frames_per_batch, total_frames
        self.init_random_frames = random_frames
        self.frames = 0
        self._seed = seed
        self._steps = frames_per_batch // env.num_envs
        self._reads: tuple[Key, ...] = () if policy is None else tuple(policy.in_keys)
        self._writes = (env.action_key,) if policy is None else tuple(policy.out_keys)
        self._action_at = self._writes.index(env.action_key)
        self._following = {key: next_key(key) for key in env.observation_spec}
        self._root: dict[Key, Any] | None = None  # what is acted on next: arrays or tensors, as the environment gives
        self._home: torch.device | None = None  # where its tensors are; None for arrays
        self._moved_to: torch.device | None = None  # the policy's device, if it is another
        self._begun = 0  # how often the environment had begun when this began
        counts = options.get("anneal", True) and self.exploration_type is ExplorationType.RANDOM
        parts = policy.modules() if counts and policy is not None else ()
        self._fading = [part for part in parts if isinstance(part, ExplorationModule)]
        self._episodes: list[EpisodeStats] = []
        self._ended: list[Sequence[EpisodeStats]] = []  # those of a batch, which are read after it

    def __iter__(self) -> Iterator[TensorDict]:
        while self.total_frames is None or self.frames < self.total_frames:
            yield self.collect()

    def collect(self) -> TensorDict:
        """The next batch, whatever ``total_frames`` says.

        Raises:
            NonFiniteError: the policy has written a NaN, or an action that is not finite.
            EnvError: an environment has failed.
        """
        if self._root is None or self.env.begun != self._begun:
            self._begin()
        random = min(self._steps, -(-max(0, self.init_random_frames - self.frames) // self.env.num_envs))
        columns, act = Columns(self.env.num_envs, self._steps, self._home), self._acting()
        for key in (DONE, TERMINATED, TRUNCATED):
            columns.zeros(key, 1)
        with torch.no_grad(), Modes(self.exploration_type, recurrent=False):
            for step in range(self._steps):
                self._take_step(step, columns, act, step < random)
        batch = columns.batch()
        self._check(columns, batch)
        self._read_episodes()
        self.frames += self.frames_per_batch
        for module in self._fading:
            module.step((self._steps - random) * self.env.num_envs)
        return batch

    def take_episodes(self) -> list[EpisodeStats]:
        """The episodes that have ended since this was last asked, those of random actions included."""
        self._read_episodes()
        taken, self._episodes = self._episodes, []
        return taken

    def state_dict(self) -> dict[str, int]:
        """What a collector knows that its environment and policy do not: the frames that have been collected.

        The episodes that are running are the environment's: whoever goes on from here begins new ones.
        """
        return {"frames": self.frames}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Count on from a :meth:`state_dict`."""
        self.frames = int(state["frames"])

    def _begin(self) -> None:
        if self._root is not None:  # an evaluation in the same environments, say: what was to be acted on is past
            _LOG.warning("Collector: %s has been reset by somebody else; its episodes begin anew.", self.env.name)
        first = self.env.begin(self._seed if self._root is None else None)
        self._begun, self._carried = self.env.begun, Carried(self.policy, self.env.num_envs)
        tensor = next((value for value in first.values() if isinstance(value, Tensor)), None)
        is_init: Any = np.ones((self.env.num_envs, 1), np.bool_)
        if tensor is not None:
            self._home, is_init = tensor.device, torch.from_numpy(is_init).to(tensor.device)
        parameter = None if self.policy is None else next(self.policy.parameters(), None)
        if parameter is not None and parameter.device != (self._home or torch.device("cpu")):
            self._moved_to = parameter.device
        self._root = {**first, IS_INIT: is_init, **self._carried.entries}
        self._shown = tuple(self._following)
        after = (*self._writes, *self._following.values(), _REWARD, _DONE, _TERMINATED, _TRUNCATED)
        self._after = (*after, VALID) if self.env.has_gaps else after
        self._twice = len({*self._after}) < len(self._after)
        shown = () if self._home is None else (*self._following, *self._following.values(), _REWARD)
        self._looked_at = tuple([key for key in shown if key not in self._writes])

    def _take_step(self, step: int, columns: Columns, act: Act, random: bool) -> None:
        root = self._root
        assert root is not None
        columns.put(step, root.items())  # before the policy, which may work on it in place
        outputs = act(root)
        if random:
            action = self.env.random_action().to(outputs[self._action_at])
            outputs = (*outputs[: self._action_at], action, *outputs[self._action_at + 1 :])
        try:
            reached = self.env.advance(outputs[self._action_at])
        except EnvError as error:
            self._blame(step, outputs, error)
            raise
        observation, following, reward, done, terminated, truncated, episodes, valid = reached
        values = [*outputs, *[following[key] for key in self._shown], reward, done, terminated, truncated]
        if self.env.has_gaps:
            values.append(done | True if valid is None else valid)
        entries: Iterable[tuple[Key, Any]] = zip(self._after, values, strict=True)
        columns.put(step, dict(entries).items() if self._twice else entries)  # of two writers the environment prevails
        self._ended.append(episodes)
        self._carried.advance(outputs, done)
        self._root = {**observation, IS_INIT: done, **self._carried.entries}

    def _acting(self) -> Act:
        """From what is shown to what the policy writes."""
        policy, reads, writes = self.policy, self._reads, self._writes
        tensor = as_tensor if self._moved_to is None else self._moved
        if policy is None:
            return lambda root: (self.env.random_action(),)
        if not policy.opaque:
            return lambda root: policy.run(*[tensor(root.get(key)) for key in reads])

        def act(root: dict[Key, Any]) -> tuple[Any, ...]:
            shown = TensorDict({k: tensor(value) for k, value in root.items()}, batch_size=[self.env.num_envs])
            done = policy(shown)
            return tuple(done[key] for key in writes)

        return act

    def _moved(self, value: np.ndarray | Tensor | None) -> Tensor | None:
        tensor = as_tensor(value)
        return None if tensor is None else tensor.to(self._moved_to)

    def _read_episodes(self) -> None:
        """What has ended, read now: of tensors, only here is their device waited for."""
        for ended in self._ended:
            self._episodes += ended
        self._ended = []

    def _check(self, columns: Columns, batch: TensorDict) -> None:
        """Refuse a batch with a NaN. (What is given in arrays has been looked at where they were made.)"""
        for keys in (self._looked_at, self._writes):
            spoilt = {key: batch[key] for key in keys if has_nan(columns[key])}
            if not spoilt:
                continue
            found = first_of({key: value.isnan() for key, value in spoilt.items()}, spoilt)
            assert found is not None
            if keys is self._writes:
                raise of_policy(found, self.policy, self.env.num_envs, self.frames)
            raise of_env(found, self.env, self.frames)

    def _blame(self, step: int, outputs: Sequence[Any], error: EnvError) -> None:
        """Name the NaN for which an environment has refused its action, if there is one, and whose it is."""
        assert self._root is not None
        shown = {key: torch.as_tensor(self._root[key]).unsqueeze(1) for key in self._following}
        if (found := first_of({key: value.isnan() for key, value in shown.items()}, shown)) is not None:
            raise of_env(found._replace(step=step), self.env, self.frames) from error
        written = {key: value.unsqueeze(1) for key, value in zip(self._writes, outputs, strict=True)}
        bad = {key: value.isnan() for key, value in written.items()}
        bad[self.env.action_key] = written[self.env.action_key].isfinite().logical_not()
        if (found := first_of(bad, written)) is not None:
            raise of_policy(found._replace(step=step), self.policy, self.env.num_envs, self.frames) from error


def as_tensor(value: np.ndarray | Tensor | None) -> Tensor | None:
    """A tensor in the memory of an array; all else as it is."""
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


_REWARD, _DONE, _TERMINATED, _TRUNCATED = (next_key(key) for key in (REWARD, DONE, TERMINATED, TRUNCATED))
