"""PPO: an assembly of parts, to be copied and changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._errors import UsageError
from keywork._keys import STATE_VALUE, VALUE_TARGET, leaf
from keywork.collectors import Collector
from keywork.envs import Env
from keywork.flow import Flow, Part
from keywork.functional import explained_variance
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives import GAE, ClipPPOLoss
from keywork.train._algorithm import Metrics
from keywork.train._flat import FlatAdam
from keywork.train._memory import acting, remembers, rows_in_minibatch
from keywork.train._networks import state_critic, stochastic_actor


@dataclass(frozen=True)
class PPOConfig:
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
    num_cells: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of actor and critic alike."""


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
    ) -> None:
        _check(config)
        self.config = config
        actor = actor or stochastic_actor(env, config.num_cells)
        self.policy: TensorDictModuleBase = actor
        self.critic = critic or state_critic(env, config.num_cells)
        self._in_rows = remembers(actor, self.critic)
        size = config.minibatch_size
        self._size = rows_in_minibatch(size, config.num_steps) if self._in_rows else size
        collecting = acting(type(self).__name__, actor, self.critic)
        self.collector = Collector(env, collecting, frames_per_batch=config.num_steps * env.num_envs, check=check)
        self.gae = GAE(config.gamma, config.gae_lambda, self.critic)
        self.loss = ClipPPOLoss(
            actor,
            self.critic,
            clip_epsilon=config.clip_epsilon,
            entropy_coeff=config.entropy_coeff,
            critic_coeff=config.critic_coeff,
            normalize_advantage=config.normalize_advantage,
        )
        rate = f"learning rate {config.learning_rate:g}"
        losses = tuple(key for key in self.loss.out_keys if leaf(key).startswith("loss_"))
        trains = tuple(self.loss.parameters())
        optimiser = Part("FlatAdam", "optimiser", reads=losses, description=rate, trains=trains)
        self.flow = Flow(env, collecting, self.gae, self.loss, optimiser, check=check)
        self.optimizer = FlatAdam(self.loss, lr=config.learning_rate, eps=1e-5, max_grad_norm=config.max_grad_norm)
        self._generator = torch.Generator().manual_seed(seed)

    def update(self, batch: TensorDict, progress: float) -> Metrics:
        """Several epochs of minibatch steps on one batch; see :meth:`Algorithm.update`."""
        config = self.config
        remaining = 1.0 - progress if config.anneal else 1.0
        self.optimizer.lr = config.learning_rate * remaining
        self.loss.clip_epsilon = config.clip_epsilon * remaining
        self.gae(batch)
        rows: list[Tensor] = []
        for inputs in self._minibatches(batch):
            terms = self.loss.run(*inputs)
            norm = self.optimizer.step(terms[0] + terms[1] + terms[2])
            rows += [*terms, norm]
        self.optimizer.check()
        means = torch.stack(rows).detach().view(-1, len(_LOGGED)).mean(0).tolist()
        explained = explained_variance(batch[STATE_VALUE], batch[VALUE_TARGET]).item()
        return {**dict(zip(_LOGGED, means, strict=True)), "ppo/explained_variance": explained}

    def _minibatches(self, batch: TensorDict) -> Iterator[list[Tensor]]:
        """The loss's inputs, in random pieces, once for each epoch: of frames or, if recurrent, of whole rows."""
        columns = [batch[key] if self._in_rows else batch[key].flatten(0, 1) for key in self.loss.in_keys]
        count = len(columns[0])
        for _ in range(self.config.num_epochs):
            if self._size >= count:  # the order within a minibatch does not matter
                yield columns
                continue
            for picked in torch.split(torch.randperm(count, generator=self._generator), self._size):
                yield [column[picked] for column in columns]


_LOGGED = [
    *("loss/objective", "loss/critic", "loss/entropy"),
    *("ppo/entropy", "ppo/kl", "ppo/clip_fraction", "ppo/grad_norm"),
]


def _check(config: PPOConfig) -> None:
    for name in ("num_steps", "num_epochs", "minibatch_size", "learning_rate", "clip_epsilon", "max_grad_norm"):
        if not getattr(config, name) > 0:
            option = name.replace("_", "-")
            default = getattr(PPOConfig(), name)
            raise UsageError(f"{name} is {getattr(config, name)}: it has to be above 0, such as --{option} {default}.")
    for name in ("gamma", "gae_lambda"):
        if not 0.0 <= getattr(config, name) <= 1.0:
            option = name.replace("_", "-")
            raise UsageError(f"{name} is {getattr(config, name)}: it has to be in [0, 1], such as --{option} 0.95.")
