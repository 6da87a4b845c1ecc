"""Implicit Q-learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from keywork._errors import ContractError
from keywork._keys import STATE_ACTION_VALUE, STATE_VALUE
from keywork.distributions import score
from keywork.functional import advantage_weighted, expectile_loss
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives._acting import Drawing
from keywork.objectives._actor_critic import ActorCriticLoss, mean
from keywork.objectives._actor_critic_findings import common_findings, require_pair
from keywork.objectives._along import Along
from keywork.objectives._critics import Held, critics_of
from keywork.objectives._numbers import require_inside, require_positive
from keywork.objectives._policy_findings import actor_findings, findings_between, value_findings


class ValueTerms(NamedTuple):
    """What a critic of states learns from, and the mean of what it says, without gradient."""

    loss: Tensor
    value_mean: Tensor


class WeightedActorTerms(NamedTuple):
    """What a policy learns from, and the mean advantage of the actions taken, without gradient."""

    loss: Tensor
    advantage_mean: Tensor


@final
class IQLLoss(ActorCriticLoss):
    """Implicit Q-learning, from stored experience alone   (Kostrikov et al. 2021, arXiv 2110.06169).

    loss_value = mean |τ - 1{u < 0}| u²,  u = minⱼ q'ⱼ(sₜ, aₜ) - v(sₜ),
    loss_qvalue = Σᵢ mean (qᵢ(sₜ, aₜ) - rₜ - γ (1 - terminatedₜ) v(sₜ₊₁))²,
    loss_actor = -mean min(exp(β u), w) log π(aₜ|sₜ). No action but those of the data is ever judged.

    Args:
        actor: a policy with a distribution. Of several actions log π is that of all together.
        qvalue_network: reads the action and writes ``"state_action_value"``: one, of which there are to be several, an
            ensemble, or a list of networks.
        value_network: writes ``"state_value"``.
        gamma: discount γ in [0, 1].
        expectile: τ in (0, 1).
        beta: β, above zero.
        max_weight: w, the most that an action weighs.
        num_qvalue_nets: how many critics of actions to make of one.

    Reads, if they are there, what :class:`DDPGLoss` does. Writes its losses; ``"td_error"`` ``[*B]``, ``"q_mean"``,
    ``"target_mean"``, ``"value_mean"`` and ``"advantage_mean"``, without gradient. Each loss has a gradient in its own
    network alone; ``qvalue_terms``, ``value_terms`` and ``actor_terms``, all of ``(*inputs)``, compute one of them.

    Raises:
        ContractError: the actor has no distribution, a critic writes no value, reads what it must not or not what it
            should; networks share parameters, or the key of a state.
        UsageError: a number is out of range.

    >>> from keywork.modules import ProbabilisticActor, ValueOperator
    >>> from keywork.specs import Bounded
    >>> actor = ProbabilisticActor.from_spec(Bounded(-1.0, 1.0, (4,)), Bounded(-1.0, 1.0, (2,)))
    >>> critic = ValueOperator(torch.nn.Bilinear(4, 2, 1), ["observation", "action"])
    >>> IQLLoss(actor, critic, ValueOperator(torch.nn.Linear(4, 1))).out_keys[:3]
    ['loss_actor', 'loss_qvalue', 'loss_value']
    """

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        qvalue_network: Any,
        value_network: TensorDictModuleBase,
        *,
        gamma: float = 0.99,
        expectile: float = 0.7,
        beta: float = 3.0,
        max_weight: float = 100.0,
        num_qvalue_nets: int = 2,
    ) -> None:
        owner = type(self).__name__
        require_inside(owner, "expectile", expectile)
        require_positive(owner, "beta", beta)
        require_positive(owner, "max_weight", max_weight, limit=True)
        critics = critics_of(owner, qvalue_network, num_qvalue_nets, STATE_ACTION_VALUE)
        found = actor_findings(actor) + value_findings(value_network)
        require_pair(owner, actor, critics, found or findings_between(actor, value_network))
        states = ("critic of states", value_network)
        for role in [("actor", actor), *[("critic of actions", each) for each in critics]]:
            if findings := common_findings([role, states]):
                raise ContractError(owner, findings)
        super().__init__(
            actor,
            critics,
            actions=actor.dist_sample_keys,
            gamma=gamma,
            ahead=[value_network],
            tells=["loss_value", "value_mean", "advantage_mean"],
        )
        self.value_network, self._valuing = value_network, Along(value_network)
        self._value_at = value_network.out_keys.index(STATE_VALUE)
        self.expectile, self.beta, self.max_weight = expectile, beta, max_weight
        self._drawing = Drawing(actor)

    def value_ahead(self, held: Held) -> Tensor:
        """v(sₜ₊₁)."""
        return self._value_of(self._valuing.run_ahead(held))

    def value_terms(self, *inputs: Any) -> ValueTerms:
        """The loss of the critic of states."""
        held = self._held(inputs)
        value, target = self._value_of(self._valuing.run(held)), self._least(held)
        loss = expectile_loss(value, target, expectile=self.expectile)
        return ValueTerms(mean(loss.squeeze(-1), held), mean(value.detach().squeeze(-1), held))

    def actor_terms(self, *inputs: Any) -> WeightedActorTerms:
        """The actor's loss."""
        held = self._held(inputs)
        with torch.no_grad():
            advantage = (self._least(held) - self._value_of(self._valuing.run(held))).squeeze(-1)
        log_prob = score(self._drawing.dist(held), [held[key] for key in self._actions])
        gain = advantage_weighted(log_prob, advantage, beta=self.beta, max_weight=self.max_weight)
        return WeightedActorTerms(-mean(gain, held), mean(advantage, held))

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The losses of a batch ``[*B]``."""
        loss, *critic = self.qvalue_terms(*inputs)
        actor, value = self.actor_terms(*inputs), self.value_terms(*inputs)
        return (actor.loss, loss, *value, actor.advantage_mean, *critic)

    @torch.no_grad()
    def _least(self, held: Held) -> Tensor:
        """minⱼ q'ⱼ(sₜ, aₜ)."""
        return self._target_critics.values(held).amin(-2)

    def _value_of(self, outputs: Sequence[Any]) -> Tensor:
        value: Tensor = outputs[self._value_at]
        return value
