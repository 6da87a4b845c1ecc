"""Proximal policy optimisation with a clipped ratio."""

from __future__ import annotations

from torch import Tensor

from keywork.functional import approximate_kl, clip_fraction, clipped_surrogate
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives._numbers import require_positive
from keywork.objectives._policy_loss import CriticLoss, PolicyLoss, Scored


class ClipPPOLoss(PolicyLoss):
    """PPO with a clipped ratio (arXiv 1707.06347): three losses to be added up, and what tells how training goes.

    loss_objective = -mean J (see :func:`~keywork.functional.clipped_surrogate`),
    loss_critic = critic_coeff · mean ℓ(v, target),  loss_entropy = -entropy_coeff · mean H(π).

    Args:
        actor: a policy with a distribution, collected with ``return_log_prob=True``. Of several actions the ratio is
            that of all together.
        critic: writes ``"state_value"``.
        clip_epsilon: how far the ratio may move from one and still gain.
        entropy_coeff: weight of the entropy bonus.
        critic_coeff: weight of the critic's loss.
        normalize_advantage: standardise the advantages of each call.
        loss_critic_type: ``"l2"``, ``"l1"`` or ``"smooth_l1"``.
        clip_value: PPO's value clipping at this distance from the collected ``"state_value"``, if given.

    Recurrent networks run over sequences: the last dimension of a batch ``[*B, T]`` is time. Where the batch has
    ``("collector", "valid")``, the steps that are none count for nothing.

    Writes the losses, and without gradient ``entropy``, ``kl_approx`` and ``clip_fraction``: numbers for the whole
    batch, so a call on a TensorDict returns a new one without batch dimensions.

    Raises:
        ContractError: the actor has no distribution or does not write its log-probability; or the critic writes no
            value, reads the action, or has a state of its own under the key of the actor's.
        UsageError: a number is out of range, or there is no such loss of the critic.

    >>> from torch import nn
    >>> from keywork.distributions import Categorical
    >>> from keywork.modules import ProbabilisticActor, ValueOperator
    >>> from keywork.nn import TensorDictModule
    >>> net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    >>> actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    >>> loss = ClipPPOLoss(actor, ValueOperator(nn.Linear(4, 1)))
    >>> loss.contract.reads
    ('observation', 'action', 'sample_log_prob', 'advantage', 'value_target')
    """

    asks_log_prob = True

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        critic: TensorDictModuleBase,
        *,
        clip_epsilon: float = 0.2,
        entropy_coeff: float = 0.01,
        critic_coeff: float = 1.0,
        normalize_advantage: bool = False,
        loss_critic_type: CriticLoss = "l2",
        clip_value: float | None = None,
    ) -> None:
        require_positive(type(self).__name__, "clip_epsilon", clip_epsilon, limit=True)
        if clip_value is not None:
            require_positive(type(self).__name__, "clip_value", clip_value, limit=True)
        super().__init__(
            actor,
            critic,
            entropy_coeff=entropy_coeff,
            critic_coeff=critic_coeff,
            normalize_advantage=normalize_advantage,
            loss_critic_type=loss_critic_type,
            clip_value=clip_value,
            tells=["kl_approx", "clip_fraction"],
        )
        self.clip_epsilon: float | Tensor = clip_epsilon

    def objective(self, batch: Scored) -> tuple[Tensor, ...]:
        """The clipped surrogate, negative; how far the policy has moved, and how often it was clipped."""
        terms = clipped_surrogate(batch.log_prob, batch.old_log_prob, batch.advantage, clip_epsilon=self.clip_epsilon)
        return (
            -batch.mean(terms.objective),
            approximate_kl(terms.log_ratio, batch.valid),
            clip_fraction(terms.ratio, batch.valid, clip_epsilon=self.clip_epsilon),
        )
