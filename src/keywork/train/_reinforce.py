"""REINFORCE: an assembly of parts, to be copied and changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict

from keywork._keys import Key
from keywork.collectors import Collector
from keywork.envs import Env
from keywork.flow import Flow
from keywork.modules import update_statistics
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives import MonteCarlo, ReinforceLoss
from keywork.train._algorithm import Metrics
from keywork.train._descent import Descent
from keywork.train._flat import FlatAdam
from keywork.train._memory import acting
from keywork.train._networks import NetworkSettings, networks_for
from keywork.train._parts import device_of_parts, means, on_device, optimiser_part, require_config, require_settings


@dataclass(frozen=True)
class ReinforceConfig(NetworkSettings):
    """REINFORCE's settings. The defaults solve CartPole-v1."""

    num_steps: int = 200
    """Steps of each environment between two updates."""
    baseline: bool = True
    """Learn a critic, and take its value off the return; without, long batches have to hold whole episodes."""
    learning_rate: float = 5e-3
    """Adam's step size at the beginning."""
    anneal: bool = True
    """Let the learning rate go to zero, linearly, over the run."""
    gamma: float = 0.99
    """Discount of later rewards."""
    entropy_coeff: float = 0.0
    """Weight of the entropy bonus."""
    critic_coeff: float = 0.5
    """Weight of the critic's loss."""
    max_grad_norm: float = 0.5
    """Longer gradients are shortened to this norm."""
    normalize_advantage: bool = True
    """Standardise the advantages, or the returns, of each batch."""


class Reinforce:
    """REINFORCE (Williams 1992): whole returns, and one step down the gradient for each batch.

    Where the batch ends within an episode, the critic says what would have followed. Without a critic that counts as
    nothing.

    Args:
        env: where to learn.
        config: the settings.
        actor: a policy with a distribution; one that fits the environment if left out.
        critic: writes ``"state_value"``; if left out, one that fits the environment, unless ``config.baseline`` is
            False.
        seed: not used: nothing here is drawn but actions.
        check: refuse parts that do not fit together; without it, the log says what is passed over.
        device: where the networks are put; left out, they stay where they are.
        compile: compile the steps (see :class:`Descent`).

    Raises:
        ContractError: the parts do not fit together.
        UsageError: a setting cannot be.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
    ...     reinforce = Reinforce(env, ReinforceConfig(num_steps=50, baseline=False))
    ...     metrics = reinforce.update(reinforce.collector.collect(), progress=0.0)
    >>> sorted(metrics)
    ['loss/entropy', 'loss/objective', 'reinforce/entropy', 'reinforce/grad_norm']
    """

    name = "reinforce"

    def __init__(
        self,
        env: Env,
        config: ReinforceConfig = ReinforceConfig(),
        *,
        actor: ProbabilisticTensorDictSequential | None = None,
        critic: TensorDictModuleBase | None = None,
        seed: int = 0,
        check: bool = True,
        device: torch.device | str | None = None,
        compile: bool = False,
    ) -> None:
        require_config(type(self).__name__, env, config, ReinforceConfig)
        require_settings(config, above_zero=("num_steps", "learning_rate", "max_grad_norm"), fractions=("gamma",))
        require_settings(config, from_zero=("entropy_coeff", "critic_coeff"))
        self.config = config
        has_critic = config.baseline or critic is not None
        actor, usual_critic = networks_for(env, config, actor, critic)
        self.policy: TensorDictModuleBase = actor
        self.critic = usual_critic if has_critic else None
        learning = [actor] if self.critic is None else [actor, self.critic]
        self._device = device_of_parts(*learning, device=device)
        collecting = actor if self.critic is None else acting(type(self).__name__, actor, self.critic)
        self.collector = Collector(env, collecting, frames_per_batch=config.num_steps * env.num_envs, check=check)
        self.returns = MonteCarlo(config.gamma, self.critic)
        self.loss = ReinforceLoss(
            actor,
            self.critic,
            entropy_coeff=config.entropy_coeff,
            critic_coeff=config.critic_coeff,
            normalize_advantage=config.normalize_advantage,
        )
        optimiser = optimiser_part("FlatAdam", self.loss, f"learning rate {config.learning_rate:g}")
        self.flow = Flow(env, collecting, self.returns, self.loss, optimiser, check=check)
        self.optimizer = FlatAdam(self.loss, lr=config.learning_rate, max_grad_norm=config.max_grad_norm)
        losses = sum(key in _LOSSES for key in self.loss.out_keys)
        self._descend = Descent(self.loss.run, self.optimizer, losses, compile=compile)

    def update(self, batch: TensorDict, progress: float) -> Metrics:
        """One gradient step on one batch; see :meth:`Algorithm.update`."""
        config = self.config
        batch = on_device(batch, self._device)
        self.optimizer.lr = config.learning_rate * (1.0 - progress if config.anneal else 1.0)
        self.returns(batch)
        terms, norm = self._descend(*self.loss.read(batch))
        self.optimizer.check()
        update_statistics(self.loss, batch)
        return means([_LOGGED[key] for key in self.loss.out_keys] + ["reinforce/grad_norm"], [[*terms, norm]])


_LOSSES = ("loss_objective", "loss_critic", "loss_entropy")
_LOGGED: dict[Key, str] = {key: key.replace("_", "/", 1) for key in _LOSSES}
_LOGGED |= {key: f"reinforce/{key}" for key in ("entropy", "explained_variance")}
