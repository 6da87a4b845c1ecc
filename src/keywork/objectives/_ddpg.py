"""Deep deterministic policy gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

from torch import Tensor, nn

from keywork._keys import STATE_ACTION_VALUE
from keywork._wiring import without_keys
from keywork.nn import TensorDictModuleBase
from keywork.objectives._acting import Choosing
from keywork.objectives._actor_critic import ActorCriticLoss, QValueTerms, mean
from keywork.objectives._actor_critic_findings import judged_actions, require_pair
from keywork.objectives._critics import Held, critics_of
from keywork.objectives._target import constant, frozen_copy


class ActorTerms(NamedTuple):
    """What an actor learns from.

    Attributes:
        loss: a scalar.
    """

    loss: Tensor


@final
class DDPGLoss(ActorCriticLoss):
    """Deep deterministic policy gradient   (Lillicrap et al. 2015, arXiv 1509.02971).

    loss_qvalue = mean (q(sₜ, aₜ) - rₜ - γ (1 - terminatedₜ) q'(sₜ₊₁, μ'(sₜ₊₁)))²,
    loss_actor = -mean q(sₜ, μ(sₜ)), with q held constant. q' and μ' are frozen copies of critic and actor, which
    :class:`~keywork.objectives.SoftUpdate` moves.

    Args:
        actor: writes the action; what acts in it is free of noise here, whatever the exploration type.
        qvalue_network: reads the action and writes ``"state_action_value"``.
        gamma: discount γ in [0, 1].

    Reads, if they are there: ``"discount"`` ``[*B, 1]``, what the next value counts for in place of γ;
    ``"priority_weight"`` ``[*B]``, by which the critic's loss of each step is multiplied; ``("collector", "valid")``
    ``[*B, 1]``: what is no step counts for nothing. Recurrent networks run over sequences: the last dimension of a
    batch ``[*B, T]`` is time; a critic's memory has seen the actions taken, and only judges those of the actor.

    Writes both losses; ``"td_error"`` ``[*B]``, and ``"q_mean"`` and ``"target_mean"``, without gradient. Each loss
    has a gradient in its own network alone; ``qvalue_terms(*inputs)`` and ``actor_terms(*inputs)`` compute one of them.

    Raises:
        ContractError: the critic writes no value or does not read the action; the two share parameters, or the key of
            a state.
        UsageError: gamma is not between 0 and 1.

    >>> from keywork.modules import Actor, ValueOperator
    >>> actor = Actor(nn.Sequential(nn.Linear(4, 2), nn.Tanh()))
    >>> loss = DDPGLoss(actor, ValueOperator(nn.Bilinear(4, 2, 1), ["observation", "action"]), gamma=0.9)
    >>> loss.in_keys[:4]
    ['observation', 'action', ('next', 'observation'), ('next', 'reward')]
    >>> loss.out_keys
    ['loss_actor', 'loss_qvalue', 'td_error', 'q_mean', 'target_mean']
    """

    def __init__(self, actor: TensorDictModuleBase, qvalue_network: Any, *, gamma: float = 0.99) -> None:
        owner = type(self).__name__
        critics = critics_of(owner, qvalue_network, 1, STATE_ACTION_VALUE)
        require_pair(owner, actor, critics, without_keys("its actor", actor))
        actions = judged_actions(actor, critics[0])
        super().__init__(actor, critics, actions=actions, gamma=gamma, ahead=[actor])
        self.target_actor = frozen_copy(owner, actor)
        self._choosing, self._target_choosing = Choosing(actor, actions), Choosing(self.target_actor, actions)

    @property
    def targets(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Critic and actor, each with its target network."""
        return [*super().targets, (self.actor, self.target_actor)]

    def value_ahead(self, held: Held) -> Tensor:
        """q'(sₜ₊₁, μ'(sₜ₊₁))."""
        actions = self._target_choosing.ahead(held)
        return self._target_critics.values_ahead({**held, **actions}).amin(-2)

    def actor_terms(self, *inputs: Any) -> ActorTerms:
        """The actor's loss: -mean q(sₜ, μ(sₜ))."""
        held = self._held(inputs)
        actions = self._choosing.now(held)
        with constant(self.qvalue_network):
            q = self._critics.values_apart(held, actions, first=True)
        return ActorTerms(-mean(q[..., 0, 0], held))

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The losses of a batch ``[*B]``."""
        critic: QValueTerms = self.qvalue_terms(*inputs)
        return (self.actor_terms(*inputs).loss, *critic)
