"""What losses of a policy on what it collected itself have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution

from keywork._errors import ContractError
from keywork._keys import ADVANTAGE, STATE_VALUE, VALID, VALUE_TARGET
from keywork.distributions import score
from keywork.functional import masked_mean, normalize, value_loss
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase, set_recurrent_mode
from keywork.objectives._numbers import require_choice, require_not_negative
from keywork.objectives._policy_findings import actor_findings, findings_between, value_findings
from keywork.objectives._slots import Slots

CriticLoss = Literal["l2", "l1", "smooth_l1"]


class Scored(NamedTuple):
    """A batch, and what actor and critic say of it: of shape ``[*B]``, but for value and target.

    Attributes:
        dist: the actor's distribution.
        log_prob: of the actions taken, of several together.
        old_log_prob: the same when they were taken, if the loss asks for it; else as now, without gradient.
        params: those of the distribution that the actions were drawn from, if the loss asks for them; else none.
        advantage: without gradient.
        value: the critic's ``[*B, 1]``; None without a critic.
        target: what it should be ``[*B, 1]``; None without a critic.
        valid: which steps are any; None if all are.
    """

    dist: Distribution
    log_prob: Tensor
    old_log_prob: Tensor
    params: Sequence[Tensor]
    advantage: Tensor
    value: Tensor | None
    target: Tensor | None
    valid: Tensor | None

    def mean(self, x: Tensor) -> Tensor:
        """The mean of one number a step ``[*B]``."""
        return masked_mean(x, self.valid)


class PolicyLoss(TensorDictModuleBase):
    """The abstract base: an actor scored on the actions of a batch, its entropy, and the critic beside it.

    A subclass says in :meth:`objective` what makes the policy better. Written are ``loss_objective``, with a critic
    ``loss_critic``, ``loss_entropy``, ``entropy``, and what the subclass tells.

    Args:
        actor: a policy with a distribution.
        critic: writes ``"state_value"``; None for none.
        entropy_coeff: weight of the entropy bonus.
        critic_coeff: weight of the critic's loss.
        normalize_advantage: standardise the advantages of each call.
        loss_critic_type: the loss of the critic.
        clip_value: clip it at this distance from the collected ``"state_value"``, if given.
        tells: what :meth:`objective` returns after its loss.

    Raises:
        ContractError: actor and critic do not fit together, or one of them does not fit the loss.
        UsageError: a weight is negative or not finite, or there is no such loss of a critic.
    """

    asks_log_prob: ClassVar[bool] = False
    """Whether the log-probability of the actions is read, as it was when they were taken."""
    asks_params: ClassVar[bool] = False
    """Whether the parameters of the distribution are read that the actions were drawn from."""

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        critic: TensorDictModuleBase | None,
        *,
        entropy_coeff: float,
        critic_coeff: float,
        normalize_advantage: bool,
        loss_critic_type: CriticLoss,
        clip_value: float | None = None,
        tells: Sequence[str] = (),
    ) -> None:
        owner = type(self).__name__
        require_not_negative(owner, "entropy_coeff", entropy_coeff)
        require_not_negative(owner, "critic_coeff", critic_coeff)
        require_choice(owner, "loss_critic_type", loss_critic_type, get_args(CriticLoss))
        findings = actor_findings(actor, log_prob=self.asks_log_prob, params=self.asks_params)
        if critic is not None:
            findings += value_findings(critic) + findings_between(actor, critic)
        if findings:
            raise ContractError(owner, findings)
        collected = [] if clip_value is None else [STATE_VALUE]
        slots = Slots.of(
            actor.in_keys,
            [] if critic is None else critic.in_keys,
            actor.dist_sample_keys,
            actor.log_prob_keys if self.asks_log_prob else [],
            [ADVANTAGE],
            [] if critic is None else [VALUE_TARGET, *collected],
            actor.dist_params_keys if self.asks_params else [],
            [VALID],
        )
        judged = [] if critic is None else ["loss_critic"]
        writes = ["loss_objective", *judged, "loss_entropy", "entropy", *tells]
        super().__init__(list(slots.keys), writes, optional_keys=[VALID], inplace=False)
        self.actor, self.critic = actor, critic
        self.entropy_coeff, self.critic_coeff = entropy_coeff, critic_coeff
        self.normalize_advantage, self.clip_value = normalize_advantage, clip_value
        self.loss_critic_type: CriticLoss = loss_critic_type
        self._slots, self._value_at = slots, -1 if critic is None else critic.out_keys.index(STATE_VALUE)

    @abstractmethod
    def objective(self, batch: Scored) -> tuple[Tensor, ...]:
        """``loss_objective``, then what this loss tells."""

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The losses of a batch ``[*B]``; log-probabilities ``[*B]``, advantages and value targets ``[*B, 1]``."""
        seen, judged, actions, old, (advantage,), targets, params, (valid,) = self._slots.split(inputs)
        if self.normalize_advantage:
            advantage = normalize(advantage, valid)
        with set_recurrent_mode(True):
            dist = self.actor.dist_of(*seen)
            value = None if self.critic is None else self.critic.run(*judged)[self._value_at]
        log_prob = score(dist, actions)
        batch = Scored(
            dist,
            log_prob,
            reduce(torch.add, old) if old else log_prob.detach(),  # independent actions: their ratios multiply
            params,
            advantage.detach().squeeze(-1),
            value,
            targets[0] if targets else None,
            None if valid is None else valid.squeeze(-1),
        )
        loss, *told = self.objective(batch)
        critic = () if value is None else (self.critic_coeff * masked_mean(self._critic_loss(value, *targets), valid),)
        entropy = batch.mean(dist.entropy())
        if not self.entropy_coeff:
            entropy = entropy.detach()  # spares the way back through a loss that weighs nothing
        return (loss, *critic, -self.entropy_coeff * entropy, entropy.detach(), *told)

    def _critic_loss(self, value: Tensor, target: Tensor, old_value: Tensor | None = None) -> Tensor:
        kind = self.loss_critic_type
        return value_loss(value, target, kind=kind, old_value=old_value, clip_epsilon=self.clip_value)
