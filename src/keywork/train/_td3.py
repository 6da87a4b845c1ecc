"""TD3: an assembly of parts, to be copied and changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict

from keywork.envs import Env
from keywork.nn import TensorDictModuleBase, TensorDictSequential
from keywork.objectives import SoftUpdate, TD3Loss
from keywork.train._actions import require_numbers
from keywork.train._actor_critic import (
    ActorCriticSettings,
    action_critic,
    collecting,
    noise_of,
    pointing_actor,
    require_actor_critic,
)
from keywork.train._algorithm import Metrics
from keywork.train._descent import Descent
from keywork.train._flat import FlatAdam
from keywork.train._off_policy import assembled
from keywork.train._parts import device_of_parts, require_config, require_settings
from keywork.train._told import Told


@dataclass(frozen=True)
class TD3Config(ActorCriticSettings):
    """TD3's settings. The defaults are stable-baselines3's, and noise as the RL Zoo adds it."""

    learning_rate: float = 1e-3
    """Adam's step size, for actor and critics alike."""
    exploration_noise: float = 0.1
    """The spread of the noise on actions, of which -1 to 1 is the range."""
    policy_delay: int = 2
    """Gradient steps of the critics for one of the actor and of the target networks."""
    policy_noise: float = 0.2
    """The spread of the noise on the next action of the critics' targets."""
    noise_clip: float = 0.5
    """The most of that noise."""


class TD3:
    """Twin delayed deterministic policy gradient (arXiv 1802.09477): an actor without noise, and two critics.

    A recurrent actor learns from slices of steps that follow one another.

    Args:
        env: where to learn; its actions are bounded numbers.
        config: the settings.
        actor: writes the action; one that fits the environment if left out.
        critic: as :class:`~keywork.objectives.TD3Loss` takes it; two that fit if left out.
        seed: of what is drawn from the buffer.
        check: refuse parts that do not fit together; without it, the log says what is passed over.
        device: where the networks are put; left out, they stay where they are.
        compile: compile the steps (see :class:`Descent`).

    Raises:
        ContractError: the parts do not fit together.
        SpecError: the actions are no bounded numbers.
        UsageError: a setting cannot be.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("Pendulum-v1", seed=0) as env:
    ...     td3 = TD3(env, TD3Config(learning_starts=16, batch_size=8, num_cells=(8,), log_every=20))
    ...     rows = [td3.update(td3.collector.collect(), progress=0.0) for _ in range(20)]
    >>> sorted(rows[-1])[:3]
    ['loss/actor', 'loss/q', 'td3/q']
    """

    name = "td3"

    def __init__(
        self,
        env: Env,
        config: TD3Config = TD3Config(),
        *,
        actor: TensorDictModuleBase | None = None,
        critic: Any = None,
        seed: int = 0,
        check: bool = True,
        device: torch.device | str | None = None,
        compile: bool = False,
    ) -> None:
        require_config(type(self).__name__, env, config, TD3Config)
        require_actor_critic(config)
        require_settings(config, above_zero=("policy_delay",), from_zero=("exploration_noise",))
        require_numbers(self.name, env)
        self.config = config
        self.policy = pointing_actor(env, config) if actor is None else actor
        self.loss = TD3Loss(
            self.policy,
            action_critic(env, config) if critic is None else critic,
            gamma=config.gamma,
            policy_noise=config.policy_noise,
            noise_clip=config.noise_clip,
            action_spec={env.action_key: env.action_spec},
        )
        where = device_of_parts(self.loss, device=device)
        noisy = TensorDictSequential(self.policy, noise_of(env, config.exploration_noise).to(where))
        exploring = collecting(type(self).__name__, noisy, self.loss.qvalue_network)
        self.collector, self.replay, self.flow = assembled(
            config, env, exploring, self.loss, check=check, device=where, seed=seed
        )
        self.critic_optimizer = FlatAdam(self.loss.qvalue_network, lr=config.learning_rate)
        self.actor_optimizer = FlatAdam(self.policy, lr=config.learning_rate)
        self._targets = SoftUpdate(self.loss, config.tau)
        self._judge = Descent(self.loss.qvalue_terms, self.critic_optimizer, compile=compile)
        self._act = Descent(self.loss.actor_terms, self.actor_optimizer, compile=compile)
        self._told = Told(_LOGGED, config.log_every, self.critic_optimizer, self.actor_optimizer)
        self._steps, self._loss_actor = 0, torch.zeros((), device=where)

    def update(self, batch: TensorDict, progress: float) -> Metrics:
        """Store a batch, and take gradient steps on others; see :meth:`Algorithm.update`."""
        for sample in self.replay.batches(batch, progress):
            inputs = self.loss.read(sample)
            judged, _ = self._judge(*inputs)
            self.replay.weigh(sample, judged.td_error)
            self._steps += 1
            if self._steps % self.config.policy_delay == 0:
                acted, _ = self._act(*inputs)
                self._targets.step()
                self._loss_actor = acted.loss
            self._told.add([judged.loss, self._loss_actor, judged.q_mean, judged.target_mean])
        return self._told.at(self.collector.frames)


_LOGGED = ["loss/q", "loss/actor", "td3/q", "td3/target"]
