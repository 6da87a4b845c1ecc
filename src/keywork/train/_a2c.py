"""A2C: an assembly of parts, to be copied and changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict

from keywork.collectors import Collector
from keywork.envs import Env
from keywork.flow import Flow
from keywork.modules import RewardScaling, update_statistics
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives import GAE, A2CLoss
from keywork.train._algorithm import Metrics
from keywork.train._descent import Descent
from keywork.train._flat import FlatAdam
from keywork.train._memory import acting
from keywork.train._networks import NetworkSettings, networks_for
from keywork.train._parts import device_of_parts, on_device, optimiser_part, require_config, require_settings
from keywork.train._told import Told


@dataclass(frozen=True)
class A2CConfig(NetworkSettings):
    """A2C's settings. The defaults are those that stable-baselines3 publishes."""

    num_steps: int = 5
    """Steps of each environment between two updates."""
    learning_rate: float = 7e-4
    """The optimiser's step size at the beginning."""
    anneal: bool = False
    """Let the learning rate go to zero, linearly, over the run."""
    gamma: float = 0.99
    """Discount of the next step's value."""
    gae_lambda: float = 1.0
    """From 0, one-step targets, to 1, returns as far as the batch goes."""
    entropy_coeff: float = 0.0
    """Weight of the entropy bonus."""
    critic_coeff: float = 0.5
    """Weight of the critic's loss."""
    max_grad_norm: float = 0.5
    """Longer gradients are shortened to this norm."""
    normalize_advantage: bool = False
    """Standardise the advantages of each batch."""
    scale_rewards: bool = False
    """Divide rewards by the running deviation of returns."""
    log_every: int = 1_000
    """Steps of all environments together from one row of metrics to the next."""


class A2C:
    """Advantage actor-critic, synchronous (arXiv 1602.01783): one step down the gradient for each short batch.

    The optimiser is Adam without momentum (β₁ = 0, β₂ = 0.99), which is RMSprop but for one thing: the mean of squares
    is divided by 1 - β₂ᵗ, so that the first steps have the size of all others, and not up to ten times that.

    Args:
        env: where to learn.
        config: the settings.
        actor: a policy with a distribution; one that fits the environment if left out.
        critic: writes ``"state_value"``; one that fits the environment if left out.
        seed: not used: nothing here is drawn but actions.
        check: refuse parts that do not fit together; without it, the log says what is passed over.
        device: where the networks are put; left out, they stay where they are.
        compile: compile the steps (see :class:`Descent`).

    Raises:
        ContractError: the parts do not fit together.
        UsageError: a setting cannot be.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
    ...     a2c = A2C(env, A2CConfig(log_every=10))
    ...     metrics = a2c.update(a2c.collector.collect(), progress=0.0)
    >>> sorted(metrics)[:2]
    ['a2c/entropy', 'a2c/explained_variance']
    """

    name = "a2c"

    def __init__(
        self,
        env: Env,
        config: A2CConfig = A2CConfig(),
        *,
        actor: ProbabilisticTensorDictSequential | None = None,
        critic: TensorDictModuleBase | None = None,
        seed: int = 0,
        check: bool = True,
        device: torch.device | str | None = None,
        compile: bool = False,
    ) -> None:
        require_config(type(self).__name__, env, config, A2CConfig)
        require_settings(
            config,
            above_zero=("num_steps", "learning_rate", "max_grad_norm", "log_every"),
            from_zero=("entropy_coeff", "critic_coeff"),
            fractions=("gamma", "gae_lambda"),
        )
        self.config = config
        actor, critic = networks_for(env, config, actor, critic)
        self.policy: TensorDictModuleBase = actor
        self.critic = critic
        self._device = device_of_parts(actor, critic, device=device)
        collecting = acting(type(self).__name__, actor, critic)
        self.collector = Collector(env, collecting, frames_per_batch=config.num_steps * env.num_envs, check=check)
        self.scale = RewardScaling(env.num_envs, config.gamma) if config.scale_rewards else None
        self.gae = GAE(config.gamma, config.gae_lambda, critic)
        self.loss = A2CLoss(
            actor,
            critic,
            entropy_coeff=config.entropy_coeff,
            critic_coeff=config.critic_coeff,
            normalize_advantage=config.normalize_advantage,
        )
        optimiser = optimiser_part("FlatAdam", self.loss, f"learning rate {config.learning_rate:g}")
        self.flow = Flow(env, collecting, self.gae, self.loss, optimiser, check=check)
        self.optimizer = FlatAdam(
            self.loss, lr=config.learning_rate, betas=(0.0, 0.99), eps=1e-5, max_grad_norm=config.max_grad_norm
        )
        self._descend = Descent(self.loss.run, self.optimizer, _LOSSES, compile=compile)
        self._told = Told(_LOGGED, config.log_every, self.optimizer)

    def update(self, batch: TensorDict, progress: float) -> Metrics:
        """One gradient step on one batch; see :meth:`Algorithm.update`."""
        config = self.config
        batch = on_device(batch, self._device)
        self.optimizer.lr = config.learning_rate * (1.0 - progress if config.anneal else 1.0)
        if self.scale is not None:
            self.scale.update(batch)
            self.scale(batch)
        self.gae(batch)
        terms, norm = self._descend(*self.loss.read(batch))
        update_statistics(self.loss, batch)
        self._told.add([*terms, norm])
        return self._told.at(self.collector.frames)


_LOGGED = [
    *("loss/objective", "loss/critic", "loss/entropy"),
    *("a2c/entropy", "a2c/explained_variance", "a2c/grad_norm"),
]
_LOSSES = 3
