"""PPO: an assembly of parts, to be copied and changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._keys import STATE_VALUE, VALID, VALUE_TARGET
from keywork.collectors import Collector
from keywork.envs import Env
from keywork.flow import Flow
from keywork.functional import explained_variance
from keywork.modules import RewardScaling, update_statistics
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives import GAE, ClipPPOLoss
from keywork.train._algorithm import Metrics
from keywork.train._compile import changing
from keywork.train._descent import Descent
from keywork.train._flat import FlatAdam
from keywork.train._memory import acting, remembers, rows_in_minibatch
from keywork.train._networks import NetworkSettings, networks_for
from keywork.train._parts import device_of_parts, means, on_device, optimiser_part, require_config, require_settings


@dataclass(frozen=True)
class PPOConfig(NetworkSettings):
    """PPO's settings. The defaults solve CartPole-v1: stable-baselines3's published ones, with a longer horizon."""

    num_steps: int = 32
    """Steps of each environment between two updates."""
    num_epochs: int = 20
    """Passes over the batch in one update."""
    minibatch_size: int = 256
    """Frames in one gradient step; if recurrent, as many whole rows of num_steps frames as it holds."""
    learning_rate: float = 1e-3
    """Adam's step size at the beginning."""
    anneal: bool = True
    """Let learning rate and clip range go to zero, linearly, over the run."""
    anneal_clip: bool = True
    """Without it, --anneal leaves the clip range as it is."""
    gamma: float = 0.99
    """Discount of the next step's value."""
    gae_lambda: float = 0.9
    """From 0, one-step targets, to 1, whole returns."""
    clip_epsilon: float = 0.2
    """How far the probability ratio may move from one."""
    entropy_coeff: float = 0.0
    """Weight of the entropy bonus."""
    critic_coeff: float = 0.5
    """Weight of the critic's loss."""
    max_grad_norm: float = 0.5
    """Longer gradients are shortened to this norm."""
    normalize_advantage: bool = True
    """Standardise the advantages of each minibatch."""
    clip_value: float = 0.0
    """How far the critic may move from what it said of the batch and still gain; 0 for as far as it likes."""
    target_kl: float = 0.0
    """End an update after the first step before which the policy had moved by 1.5 times this; 0 for never."""
    scale_rewards: bool = False
    """Divide rewards by the running deviation of returns."""


class PPO:
    """Proximal policy optimisation with a clipped ratio (arXiv 1707.06347).

    Actor and critic may be recurrent, apart or on one trunk: whole rows ``[rows, num_steps]`` are then the minibatches,
    and a critic's own memory goes along while data is collected.

    Args:
        env: where to learn.
        config: the settings.
        actor: a policy with a distribution and ``return_log_prob=True``; one that fits the environment if left out.
        critic: writes ``"state_value"``; one that fits the environment if left out.
        seed: of the order in which minibatches are drawn.
        check: refuse parts that do not fit together; without it, the log says what is passed over.
        device: where the networks are put; left out, they stay where they are.
        compile: compile the steps (see :class:`Descent`).

    Raises:
        ContractError: the parts do not fit together.
        UsageError: a setting cannot be.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
    ...     ppo = PPO(env, PPOConfig(num_steps=8, num_epochs=1))
    ...     metrics = ppo.update(ppo.collector.collect(), progress=0.0)
    >>> sorted(metrics)[:2]
    ['loss/critic', 'loss/entropy']
    """

    name = "ppo"

    def __init__(
        self,
        env: Env,
        config: PPOConfig = PPOConfig(),
        *,
        actor: ProbabilisticTensorDictSequential | None = None,
        critic: TensorDictModuleBase | None = None,
        seed: int = 0,
        check: bool = True,
        device: torch.device | str | None = None,
        compile: bool = False,
    ) -> None:
        require_config(type(self).__name__, env, config, PPOConfig)
        _check(config)
        self.config = config
        actor, critic = networks_for(env, config, actor, critic)
        self.policy: TensorDictModuleBase = actor
        self.critic = critic
        self._device = device_of_parts(actor, critic, device=device)
        self._in_rows = remembers(actor, critic)
        size = config.minibatch_size
        self._size = rows_in_minibatch(size, config.num_steps) if self._in_rows else size
        collecting = acting(type(self).__name__, actor, critic)
        self.collector = Collector(env, collecting, frames_per_batch=config.num_steps * env.num_envs, check=check)
        self.gae = GAE(config.gamma, config.gae_lambda, critic)
        self.scale = RewardScaling(env.num_envs, config.gamma) if config.scale_rewards else None
        self.loss = ClipPPOLoss(
            actor,
            critic,
            clip_epsilon=config.clip_epsilon,
            entropy_coeff=config.entropy_coeff,
            critic_coeff=config.critic_coeff,
            normalize_advantage=config.normalize_advantage,
            clip_value=config.clip_value or None,
        )
        optimiser = optimiser_part("FlatAdam", self.loss, f"learning rate {config.learning_rate:g}")
        self.flow = Flow(env, collecting, self.gae, self.loss, optimiser, check=check)
        self.optimizer = FlatAdam(self.loss, lr=config.learning_rate, eps=1e-5, max_grad_norm=config.max_grad_norm)
        self._descend = Descent(self.loss.run, self.optimizer, _LOSSES, compile=compile)
        self._compile = compile
        self._generator = torch.Generator().manual_seed(seed)

    def update(self, batch: TensorDict, progress: float) -> Metrics:
        """Several epochs of minibatch steps on one batch; see :meth:`Algorithm.update`."""
        config = self.config
        batch = on_device(batch, self._device)
        remaining = 1.0 - progress if config.anneal else 1.0
        self.optimizer.lr = config.learning_rate * remaining
        epsilon = config.clip_epsilon * (remaining if config.anneal_clip else 1.0)
        self.loss.clip_epsilon = changing(epsilon, compile=self._compile)
        if self.scale is not None:
            self.scale.update(batch)
            self.scale(batch)
        self.gae(batch)
        rows: list[list[Tensor]] = []
        for inputs in self._minibatches(batch):
            terms, norm = self._descend(*inputs)
            rows.append([*terms, norm])
            if config.target_kl and terms[_KL] > 1.5 * config.target_kl:
                break
        self.optimizer.check()
        update_statistics(self.loss, batch)
        explained = explained_variance(batch[STATE_VALUE], batch[VALUE_TARGET], batch.get(VALID, None)).item()
        return {**means(_LOGGED, rows), "ppo/explained_variance": explained}

    def _minibatches(self, batch: TensorDict) -> Iterator[list[Any]]:
        """The loss's inputs, in random pieces, once for each epoch: of frames or, if recurrent, of whole rows."""
        columns = self.loss.read(batch if self._in_rows else batch.flatten())
        count = len(columns[0])
        for _ in range(self.config.num_epochs):
            if self._size >= count:  # the order within a minibatch does not matter
                yield columns
                continue
            order = torch.randperm(count, generator=self._generator).to(self._device)
            for picked in torch.split(order, self._size):
                yield [None if column is None else column.index_select(0, picked) for column in columns]


_LOGGED = [
    *("loss/objective", "loss/critic", "loss/entropy"),
    *("ppo/entropy", "ppo/kl", "ppo/clip_fraction", "ppo/grad_norm"),
]
_LOSSES, _KL = 3, _LOGGED.index("ppo/kl")


def _check(config: PPOConfig) -> None:
    positive = ("num_steps", "num_epochs", "minibatch_size", "learning_rate", "clip_epsilon", "max_grad_norm")
    require_settings(config, above_zero=positive, fractions=("gamma", "gae_lambda"))
    require_settings(config, from_zero=("entropy_coeff", "critic_coeff", "clip_value", "target_kl"))
