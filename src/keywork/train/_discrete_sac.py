"""SAC for choices: an assembly of parts, to be copied and changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict

from keywork.envs import Env
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives import DiscreteSACLoss, SoftUpdate
from keywork.train._actions import require_choices
from keywork.train._actor_critic import (
    ActorCriticSettings,
    choice_critic,
    collecting,
    drawing_actor,
    require_actor_critic,
)
from keywork.train._algorithm import Metrics
from keywork.train._descent import Descent
from keywork.train._flat import FlatAdam
from keywork.train._off_policy import assembled
from keywork.train._parts import device_of_parts, require_config, require_settings
from keywork.train._told import Told


@dataclass(frozen=True)
class DiscreteSACConfig(ActorCriticSettings):
    """Discrete SAC's settings. The defaults are those of SAC."""

    alpha_init: float = 1.0
    """The temperature, the weight of the policy's entropy, at the beginning."""
    fixed_alpha: bool = False
    """Keep it so; otherwise it follows a target entropy of 0.98 log n, of n choices."""


class DiscreteSAC:
    """Soft actor-critic for choices (arXiv 1910.07207): two critics of all choices, and a learned temperature.

    A recurrent policy learns from slices of steps that follow one another.

    Args:
        env: where to learn; its actions are choices; ``"action_mask"`` is kept to if it is shown.
        config: the settings.
        actor: a policy of choices that writes no log-probability; one that fits if left out.
        critic: as :class:`~keywork.objectives.DiscreteSACLoss` takes it; two that fit if left out.
        seed: of what is drawn from the buffer.
        check: refuse parts that do not fit together; without it, the log says what is passed over.
        device: where the networks are put; left out, they stay where they are.
        compile: compile the steps (see :class:`Descent`).

    Raises:
        ContractError: the parts do not fit together.
        SpecError: the actions are not discrete.
        UsageError: a setting cannot be.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("CartPole-v1", seed=0) as env:
    ...     sac = DiscreteSAC(env, DiscreteSACConfig(learning_starts=16, batch_size=8, num_cells=(8,), log_every=20))
    ...     rows = [sac.update(sac.collector.collect(), progress=0.0) for _ in range(20)]
    >>> sorted(rows[-1])[:3]
    ['loss/actor', 'loss/alpha', 'loss/q']
    """

    name = "sacd"

    def __init__(
        self,
        env: Env,
        config: DiscreteSACConfig = DiscreteSACConfig(),
        *,
        actor: ProbabilisticTensorDictSequential | None = None,
        critic: Any = None,
        seed: int = 0,
        check: bool = True,
        device: torch.device | str | None = None,
        compile: bool = False,
    ) -> None:
        require_config(type(self).__name__, env, config, DiscreteSACConfig)
        require_actor_critic(config)
        require_settings(config, above_zero=("alpha_init",))
        require_choices(self.name, env)
        self.config = config
        actor = drawing_actor(env, config) if actor is None else actor
        self.policy: TensorDictModuleBase = actor
        self.loss = DiscreteSACLoss(
            actor,
            choice_critic(env, config) if critic is None else critic,
            gamma=config.gamma,
            alpha_init=config.alpha_init,
            fixed_alpha=config.fixed_alpha,
        )
        where = device_of_parts(self.loss, device=device)
        exploring = collecting(type(self).__name__, actor, self.loss.qvalue_network)
        self.collector, self.replay, self.flow = assembled(
            config, env, exploring, self.loss, check=check, device=where, seed=seed
        )
        rate, tempered = config.learning_rate, [] if config.fixed_alpha else [self.loss.temperature]
        self.critic_optimizer = FlatAdam(self.loss.qvalue_network, lr=rate)
        self.actor_optimizer = FlatAdam([actor, *tempered], lr=rate)
        self._targets = SoftUpdate(self.loss, config.tau)
        self._judge = Descent(self.loss.qvalue_terms, self.critic_optimizer, compile=compile)
        self._act = Descent(self.loss.actor_terms, self.actor_optimizer, 2, compile=compile)
        self._told = Told(_LOGGED, config.log_every, self.critic_optimizer, self.actor_optimizer)

    def update(self, batch: TensorDict, progress: float) -> Metrics:
        """Store a batch, and take gradient steps on others; see :meth:`Algorithm.update`."""
        for sample in self.replay.batches(batch, progress):
            inputs = self.loss.read(sample)
            judged, _ = self._judge(*inputs)
            self.replay.weigh(sample, judged.td_error)
            acted, _ = self._act(*inputs)
            self._targets.step()
            loss_alpha = torch.zeros_like(acted.loss) if acted.loss_alpha is None else acted.loss_alpha
            losses = [judged.loss, acted.loss, loss_alpha]
            self._told.add([*losses, judged.q_mean, judged.target_mean, acted.alpha, acted.entropy])
        return self._told.at(self.collector.frames)


_LOGGED = ["loss/q", "loss/actor", "loss/alpha", "sac/q", "sac/target", "sac/alpha", "sac/entropy"]
