"""Advantage actor-critic."""

from __future__ import annotations

from torch import Tensor

from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives._policy_loss import CriticLoss, PolicyLoss, Scored
from keywork.objectives._reinforce import gradient_terms


class A2CLoss(PolicyLoss):
    """Advantage actor-critic (arXiv 1602.01783): three losses to be added up, and what tells how training goes.

    loss_objective = -mean log π(a|s) A,  loss_critic = critic_coeff · mean ℓ(v, target),
    loss_entropy = -entropy_coeff · mean H(π).

    It holds for what the policy has just done, so a batch is used once: what acted is taken to be what learns.

    Args:
        actor: a policy with a distribution. Several actions are scored together.
        critic: writes ``"state_value"``.
        entropy_coeff: weight of the entropy bonus.
        critic_coeff: weight of the critic's loss.
        normalize_advantage: standardise the advantages of each call.
        loss_critic_type: ``"l2"``, ``"l1"`` or ``"smooth_l1"``.

    Recurrent networks run over sequences: the last dimension of a batch ``[*B, T]`` is time. Where the batch has
    ``("collector", "valid")``, the steps that are none count for nothing.

    Writes the losses, and without gradient ``entropy`` and ``explained_variance``, the critic's: numbers for the whole
    batch, so a call on a TensorDict returns a new one without batch dimensions.

    Raises:
        ContractError: the actor has no distribution; or the critic writes no value, reads the action, or has a state
            of its own under the key of the actor's.
        UsageError: a weight is negative or not finite, or there is no such loss of the critic.

    >>> from torch import nn
    >>> from keywork.distributions import Categorical
    >>> from keywork.modules import ProbabilisticActor, ValueOperator
    >>> from keywork.nn import TensorDictModule
    >>> net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    >>> actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical)
    >>> A2CLoss(actor, ValueOperator(nn.Linear(4, 1))).contract.reads
    ('observation', 'action', 'advantage', 'value_target')
    """

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        critic: TensorDictModuleBase,
        *,
        entropy_coeff: float = 0.01,
        critic_coeff: float = 1.0,
        normalize_advantage: bool = False,
        loss_critic_type: CriticLoss = "l2",
    ) -> None:
        super().__init__(
            actor,
            critic,
            entropy_coeff=entropy_coeff,
            critic_coeff=critic_coeff,
            normalize_advantage=normalize_advantage,
            loss_critic_type=loss_critic_type,
            tells=["explained_variance"],
        )

    def objective(self, batch: Scored) -> tuple[Tensor, ...]:
        """The policy gradient's objective, negative; how much of the targets the critic explains."""
        return gradient_terms(batch)
