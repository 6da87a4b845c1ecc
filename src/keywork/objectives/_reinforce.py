"""REINFORCE."""

from __future__ import annotations

from torch import Tensor

from keywork.functional import explained_variance, policy_gradient
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives._policy_loss import CriticLoss, PolicyLoss, Scored


class ReinforceLoss(PolicyLoss):
    """REINFORCE (Williams 1992), with a critic as the baseline or without: losses to be added up.

    loss_objective = -mean log π(a|s) A,  loss_critic = critic_coeff · mean ℓ(v, target),
    loss_entropy = -entropy_coeff · mean H(π).

    The estimator decides what A is: ``MonteCarlo(gamma)`` writes the return itself, ``MonteCarlo(gamma, critic)`` the
    return less the critic's value. A batch is used once: what acted is taken to be what learns.

    Args:
        actor: a policy with a distribution. Several actions are scored together.
        critic: writes ``"state_value"``; if left out, no ``"value_target"`` is read, and no ``loss_critic`` written.
        entropy_coeff: weight of an entropy bonus.
        critic_coeff: weight of the critic's loss.
        normalize_advantage: standardise the advantages of each call; without a critic, this is the baseline.
        loss_critic_type: ``"l2"``, ``"l1"`` or ``"smooth_l1"``.

    Recurrent networks run over sequences: the last dimension of a batch ``[*B, T]`` is time. Where the batch has
    ``("collector", "valid")``, the steps that are none count for nothing.

    Writes the losses, and without gradient ``entropy`` and, with a critic, ``explained_variance``: numbers for the
    whole batch, so a call on a TensorDict returns a new one without batch dimensions.

    Raises:
        ContractError: the actor has no distribution; or the critic writes no value, reads the action, or has a state
            of its own under the key of the actor's.
        UsageError: a weight is negative or not finite, or there is no such loss of the critic.

    >>> from torch import nn
    >>> from keywork.distributions import Categorical
    >>> from keywork.modules import ProbabilisticActor
    >>> from keywork.nn import TensorDictModule
    >>> net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    >>> loss = ReinforceLoss(ProbabilisticActor(net, ["logits"], distribution_class=Categorical))
    >>> loss.contract.reads, loss.out_keys
    (('observation', 'action', 'advantage'), ['loss_objective', 'loss_entropy', 'entropy'])
    """

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        critic: TensorDictModuleBase | None = None,
        *,
        entropy_coeff: float = 0.0,
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
            tells=[] if critic is None else ["explained_variance"],
        )

    def objective(self, batch: Scored) -> tuple[Tensor, ...]:
        """The policy gradient's objective, negative; how much of the targets the critic explains, if there is one."""
        return gradient_terms(batch)


def gradient_terms(batch: Scored) -> tuple[Tensor, ...]:
    """-mean log π(a|s) A and, with a critic, the share of its targets' variance that it explains."""
    loss = -batch.mean(policy_gradient(batch.log_prob, batch.advantage))
    if batch.value is None or batch.target is None:
        return (loss,)
    return loss, explained_variance(batch.value.squeeze(-1), batch.target.squeeze(-1), batch.valid)
