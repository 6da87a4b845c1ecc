"""DQN and what became of it, up to Rainbow: an assembly of parts, to be copied and changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from tensordict import TensorDict

from keywork._errors import UsageError
from keywork.envs import Env
from keywork.nn import TensorDictModuleBase, TensorDictSequential
from keywork.objectives import DistributionalDQNLoss, DQNLoss, SoftUpdate
from keywork.train._actions import require_choices
from keywork.train._algorithm import Metrics
from keywork.train._descent import Descent
from keywork.train._flat import FlatAdam
from keywork.train._off_policy import OffPolicySettings, assembled, require_off_policy
from keywork.train._parts import device_of_parts, require_config, require_settings
from keywork.train._q_policies import QNetworkSettings, explore_less, explorer, q_policy, require_exploration
from keywork.train._told import Told


@dataclass(frozen=True)
class DQNConfig(OffPolicySettings, QNetworkSettings):
    """DQN's settings. The defaults are stable-baselines3's."""

    target_update_interval: int = 10_000
    """Steps from one update of the target network to the next."""
    tau: float = 1.0
    """How far the target network moves then: 1 for all the way."""
    max_grad_norm: float = 10.0
    """Longer gradients are shortened to this norm; 0 leaves them as they are."""
    double: bool = False
    """Let one network choose the next action and the other judge it (van Hasselt et al. 2016)."""
    distributional: bool = False
    """Learn distributions of the return, on atoms (C51, Bellemare et al. 2017)."""
    num_atoms: int = 51
    """Atoms of such a distribution."""
    v_min: float = -10.0
    """The lowest return of such a distribution."""
    v_max: float = 10.0
    """The highest return of such a distribution."""


@dataclass(frozen=True)
class RainbowConfig(DQNConfig):
    """DQN with everything (Rainbow, Hessel et al. 2018): its settings, of which the usual ones are those of DQN."""

    double: bool = True
    """Let one network choose the next action and the other judge it (van Hasselt et al. 2016)."""
    dueling: bool = True
    """Values of states and advantages of actions apart (Wang et al. 2016)."""
    prioritized: bool = True
    """Draw steps with large errors more often (Schaul et al. 2016)."""
    priority_alpha: float = 0.5
    """How much errors count for that: 0 for not at all."""
    n_step: int = 3
    """Rewards that are summed before the next value counts."""
    noisy: bool = True
    """Noisy layers explore, in place of random actions (Fortunato et al. 2018)."""
    distributional: bool = True
    """Learn distributions of the return, on atoms (C51, Bellemare et al. 2017)."""


class DQN:
    """Q-learning with a deep network, replay and a target network (Mnih et al. 2015).

    Double, dueling, prioritised, n-step, noisy and distributional as the settings say; all together are Rainbow. A
    recurrent policy learns from slices of steps that follow one another.

    Args:
        env: where to learn; its actions are discrete.
        config: the settings.
        policy: acts greedily by action values (a :class:`~keywork.modules.QValueActor`, or where ``distributional`` a
            :class:`~keywork.modules.DistributionalQValueActor`); one that fits the environment if left out.
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
    ...     dqn = DQN(env, DQNConfig(learning_starts=32, log_every=40))
    ...     rows = [dqn.update(dqn.collector.collect(), progress=n / 10) for n in range(10)]
    >>> [sorted(row)[:2] for row in rows if row]
    [['dqn/grad_norm', 'dqn/q']]
    """

    name = "dqn"

    def __init__(
        self,
        env: Env,
        config: DQNConfig = DQNConfig(),
        *,
        policy: TensorDictModuleBase | None = None,
        seed: int = 0,
        check: bool = True,
        device: torch.device | str | None = None,
        compile: bool = False,
    ) -> None:
        require_config(type(self).__name__, env, config, DQNConfig)
        _check(config)
        require_choices(self.name, env)
        self.config = config
        atoms = torch.linspace(config.v_min, config.v_max, config.num_atoms) if config.distributional else None
        self.policy = q_policy(env, config, support=atoms) if policy is None else policy
        where = device_of_parts(self.policy, device=device)
        self._explorer = explorer(env, config)
        acting = self.policy
        if self._explorer is not None:
            acting = TensorDictSequential(self.policy, self._explorer.to(where))
        kind = DistributionalDQNLoss if config.distributional else partial(DQNLoss, loss_function="smooth_l1")
        self.loss = kind(self.policy, gamma=config.gamma, double_dqn=config.double)
        self.collector, self.replay, self.flow = assembled(
            config, env, acting, self.loss, anneal=False, check=check, device=where, seed=seed
        )
        self.optimizer = FlatAdam(self.loss, lr=config.learning_rate, max_grad_norm=config.max_grad_norm or None)
        self._judge = Descent(self.loss.run, self.optimizer, compile=compile)
        self._targets = SoftUpdate(self.loss, config.tau)
        self._told = Told(_LOGGED, config.log_every, self.optimizer)

    def update(self, batch: TensorDict, progress: float) -> Metrics:
        """Store a batch, and take gradient steps on others; see :meth:`Algorithm.update`."""
        explore_less(self._explorer, progress)
        frames, every = self.collector.frames, self.config.target_update_interval
        if frames // every > (frames - batch.numel()) // every:
            self._targets.step()
        for sample in self.replay.batches(batch, progress):
            (loss, error, *means), norm = self._judge(*self.loss.read(sample))
            self.replay.weigh(sample, error)
            self._told.add([loss, *means, norm])
        return self._told.at(frames)


_LOGGED = ["loss/q", "dqn/q", "dqn/target", "dqn/td_error", "dqn/grad_norm"]


def _check(config: DQNConfig) -> None:
    require_off_policy(config)
    require_exploration(config)
    require_settings(config, above_zero=("target_update_interval",), from_zero=("max_grad_norm",))
    if config.distributional and not (config.num_atoms >= 2 and config.v_min < config.v_max):
        raise UsageError(
            f"{config.num_atoms} atoms from {config.v_min} to {config.v_max} are no distribution: type --num-atoms 51 "
            "--v-min -10 --v-max 10, or others with room between them."
        )
