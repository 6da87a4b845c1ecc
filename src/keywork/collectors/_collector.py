"""The collector: an environment and a policy become batches of experience."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._errors import ContractError, UsageError, describe
from keywork._keys import DONE, IS_INIT, REWARD, TERMINATED, TRUNCATED, VALID, Key, next_key
from keywork._wiring import without_keys
from keywork.collectors._carried import Carried
from keywork.collectors._columns import Columns
from keywork.collectors._meeting import check_meeting
from keywork.envs import Env, EpisodeStats, Transition
from keywork.modules import ExplorationModule, fill_action_specs
from keywork.nn import ExplorationType, TensorDictModuleBase, set_exploration_type, set_recurrent_mode

_LOG = logging.getLogger("keywork")


class Collector:
    """Let a policy act in an environment, and hand out what happens in batches ``[num_envs, T]``.

    Episodes go on from one batch to the next. A batch holds what the environment shows, everything that the policy
    writes, and under ``"next"`` what each action led to. Every batch has memory of its own.

    What a policy carries (the state of a recurrent module, say) goes from ``("next", key)`` of one step to ``key`` of
    the following one, and begins each episode as the ``carried_specs`` of the policy's modules say: with zeros.

    What the policy's exploration modules anneal fades with the frames that are collected under ``RANDOM``: each batch
    is counted after it, once, here. So no loop calls their ``step``, and evaluating without exploration counts nothing.

    Args:
        env: where to act.
        policy: a key module from what the environment shows to the action; None for random actions. Those of its
            exploration modules that have no spec get the environment's.
        frames_per_batch: steps of all environments together in one batch, a multiple of ``env.num_envs``.
        total_frames: after how many frames the iteration ends (with the batch that reaches it); None for never.
        exploration_type: set while the policy acts.
        seed: of the environment's first reset, in place of its own.
        anneal: whether frames count for the policy's exploration modules; without it, call their ``step``.
        check: whether policy and environment are checked against one another (see :class:`~keywork.flow.Flow`);
            without it, the log says that they are not.

    Raises:
        ContractError: the policy reads what the environment does not show, does not write its action, carries
            something of which none of its modules says what it is, changes an action whose log-probability it
            has written, or does not fit the environment in another way. Nothing has been run then.
        UsageError: the numbers of frames cannot be.

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
        anneal: bool = True,
        check: bool = True,
    ) -> None:
        if not hasattr(env, "num_envs") or not hasattr(env, "action_key"):
            if hasattr(policy, "num_envs"):
                raise UsageError(
                    f"A collector cannot act in {describe(env)}. The two are swapped: Collector(env, policy)."
                )
            raise UsageError(f"A collector cannot act in {describe(env)}, {env!r}. Make it one: GymEnv(...).")
        if strange := without_keys("the policy", policy) if policy is not None else []:
            raise ContractError("Collector", strange)
        if frames_per_batch < 1 or frames_per_batch % env.num_envs:
            nearest = max(1, round(frames_per_batch / env.num_envs)) * env.num_envs
            raise UsageError(
                f"A batch of frames_per_batch={frames_per_batch} cannot be collected from {env.num_envs} environments: "
                f"each gives the same number of steps. Type frames_per_batch={nearest}."
            )
        if total_frames is not None and total_frames < 1:
            raise UsageError(
                f"total_frames={total_frames} is no number of frames: give at least 1, or None for no end."
            )
        self.exploration_type = ExplorationType.of(exploration_type)
        if policy is not None:
            fill_action_specs(policy, {env.action_key: env.action_spec})
            if check:
                check_meeting(env, policy, self.exploration_type)
            else:
                _LOG.warning("Collector(check=False): %s and its policy are not checked.", env.name)
        self.env, self.policy = env, policy
        self.frames_per_batch, self.total_frames = frames_per_batch, total_frames
        self.frames = 0
        self._seed = seed
        self._steps = frames_per_batch // env.num_envs
        self._reads = () if policy is None else tuple(policy.in_keys)
        self._writes = () if policy is None else tuple(policy.out_keys)
        self._action_at = 0 if policy is None else self._writes.index(env.action_key)
        self._following = {key: next_key(key) for key in env.observation_spec}
        self._device = _device_of(policy)
        self._root: dict[Key, Any] | None = None  # what is acted on next: arrays, and tensors of the policy's own
        self._carried = Carried(policy, env.num_envs)
        counts = anneal and self.exploration_type is ExplorationType.RANDOM
        parts = policy.modules() if counts and policy is not None else ()
        self._fading = [part for part in parts if isinstance(part, ExplorationModule)]
        self._episodes: list[EpisodeStats] = []

    def __iter__(self) -> Iterator[TensorDict]:
        while self.total_frames is None or self.frames < self.total_frames:
            yield self.collect()

    def collect(self) -> TensorDict:
        """The next batch, whatever ``total_frames`` says."""
        if self._root is None:
            is_init = np.ones((self.env.num_envs, 1), np.bool_)
            self._root = {**self.env.begin(self._seed), IS_INIT: is_init, **self._carried.entries}
        columns = Columns(self.env.num_envs, self._steps)
        for key in (DONE, TERMINATED, TRUNCATED):
            columns.zeros(key, torch.bool, 1)
        with torch.no_grad(), set_exploration_type(self.exploration_type), set_recurrent_mode(False):
            for step in range(self._steps):
                for entry, value in self._root.items():
                    columns.put(step, entry, value)
                outputs = self._act(step, columns, self._root)
                reached = self.env.advance(outputs[self._action_at])
                self._store(step, columns, reached)
                self._carried.advance(outputs, reached.done)
                self._root = {**reached.observation, IS_INIT: reached.done, **self._carried.entries}
        self.frames += self.frames_per_batch
        for module in self._fading:
            module.step(self.frames_per_batch)
        return columns.batch()

    def take_episodes(self) -> list[EpisodeStats]:
        """The episodes that have ended since this was last asked."""
        ended, self._episodes = self._episodes, []
        return ended

    def _act(self, step: int, columns: Columns, root: dict[Key, Any]) -> tuple[Any, ...]:
        policy = self.policy
        if policy is None:
            action = self.env.random_action()
            columns.put(step, self.env.action_key, action)
            return (action,)
        if policy.opaque:
            shown = TensorDict({k: self._tensor(value) for k, value in root.items()}, batch_size=[self.env.num_envs])
            done = policy(shown)
            outputs = tuple(done[key] for key in self._writes)
        else:
            outputs = policy.run(*[self._tensor(root.get(key)) for key in self._reads])
        for key, output in zip(self._writes, outputs, strict=True):
            columns.put(step, key, output)
        return outputs

    def _store(self, step: int, columns: Columns, reached: Transition[Any]) -> None:
        for key, array in reached.next_observation.items():
            columns.put(step, self._following[key], array)
        columns.put(step, _REWARD, reached.reward)
        columns.put(step, _DONE, reached.done)
        columns.put(step, _TERMINATED, reached.terminated)
        columns.put(step, _TRUNCATED, reached.truncated)
        if self.env.has_gaps:
            columns.put(step, VALID, np.ones_like(reached.done) if reached.valid is None else reached.valid)
        self._episodes += reached.episodes

    def _tensor(self, value: np.ndarray | Tensor | None) -> Tensor | None:
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        return tensor if self._device is None or tensor is None else tensor.to(self._device)


_REWARD, _DONE, _TERMINATED, _TRUNCATED = (next_key(key) for key in (REWARD, DONE, TERMINATED, TRUNCATED))


def _device_of(policy: TensorDictModuleBase | None) -> torch.device | None:
    """Where the policy's parameters are, if not where numpy's arrays are."""
    parameter = None if policy is None else next(policy.parameters(), None)
    return None if parameter is None or parameter.device.type == "cpu" else parameter.device
