"""QR-DQN: an assembly of parts, to be copied and changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict

from keywork.envs import Env
from keywork.nn import TensorDictModuleBase, TensorDictSequential
from keywork.objectives import QuantileDQNLoss, SoftUpdate
from keywork.train._actions import require_choices
from keywork.train._algorithm import Metrics
from keywork.train._descent import Descent
from keywork.train._flat import FlatAdam
from keywork.train._off_policy import OffPolicySettings, assembled, require_off_policy
from keywork.train._parts import device_of_parts, require_config, require_settings
from keywork.train._q_policies import QNetworkSettings, explore_less, explorer, q_policy, require_exploration
from keywork.train._told import Told


@dataclass(frozen=True)
class QRDQNConfig(OffPolicySettings, QNetworkSettings):
    """QR-DQN's settings. The defaults are sb3-contrib's."""

    learning_rate: float = 5e-5
    """Adam's step size."""
    exploration_fraction: float = 0.005
    """The share of the run in which random actions become rarer."""
    exploration_final_eps: float = 0.01
    """How often an action is random, in the end."""
    num_quantiles: int = 200
    """Quantiles of the return of each action."""
    kappa: float = 1.0
    """Where the square of Huber's loss ends."""
    double: bool = False
    """Let one network choose the next action and the other judge it (van Hasselt et al. 2016)."""
    target_update_interval: int = 10_000
    """Steps from one update of the target network to the next."""
    tau: float = 1.0
    """How far the target network moves then: 1 for all the way."""
    max_grad_norm: float = 0.0
    """Longer gradients are shortened to this norm; 0 leaves them as they are."""


class QRDQN:
    """Q-learning with quantiles of the return (Dabney et al. 2018, arXiv 1710.10044).

    Args:
        env: where to learn; its actions are discrete, one choice each.
        config: the settings.
        policy: acts greedily by quantiles (a :class:`~keywork.modules.QuantileQValueActor`); one that fits the
            environment if left out.
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
    ...     qr_dqn = QRDQN(env, QRDQNConfig(learning_starts=32, log_every=40))
    ...     rows = [qr_dqn.update(qr_dqn.collector.collect(), progress=n / 10) for n in range(10)]
    >>> [sorted(row)[:2] for row in rows if row]
    [['loss/quantiles', 'qrdqn/grad_norm']]
    """

    name = "qrdqn"

    def __init__(
        self,
        env: Env,
        config: QRDQNConfig = QRDQNConfig(),
        *,
        policy: TensorDictModuleBase | None = None,
        seed: int = 0,
        check: bool = True,
        device: torch.device | str | None = None,
        compile: bool = False,
    ) -> None:
        require_config(type(self).__name__, env, config, QRDQNConfig)
        _check(config)
        require_choices(self.name, env)
        self.config = config
        self.policy = q_policy(env, config, num_quantiles=config.num_quantiles) if policy is None else policy
        where = device_of_parts(self.policy, device=device)
        self._explorer = explorer(env, config)
        acting = self.policy
        if self._explorer is not None:
            acting = TensorDictSequential(self.policy, self._explorer.to(where))
        self.loss = QuantileDQNLoss(self.policy, gamma=config.gamma, double_dqn=config.double, kappa=config.kappa)
        self.collector, self.replay, self.flow = assembled(
            config, env, acting, self.loss, anneal=False, check=check, device=where, seed=seed
        )
        rate, eps, norm = config.learning_rate, 0.01 / config.batch_size, config.max_grad_norm or None
        self.optimizer = FlatAdam(self.loss, lr=rate, eps=eps, max_grad_norm=norm)
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


_LOGGED = ["loss/quantiles", "qrdqn/q", "qrdqn/target", "qrdqn/td_error", "qrdqn/grad_norm"]


def _check(config: QRDQNConfig) -> None:
    require_off_policy(config)
    require_exploration(config)
    counts = ("num_quantiles", "target_update_interval", "tau")
    require_settings(config, above_zero=counts, from_zero=("kappa", "max_grad_norm"))
