"""Proximal policy optimisation with a penalty on the way the policy moves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives._acting import last_step
from keywork.objectives._numbers import require_positive
from keywork.objectives._policy_loss import CriticLoss, PolicyLoss, Scored


class KLPENPPOLoss(PolicyLoss):
    """PPO with a penalty on the KL divergence (arXiv 1707.06347, section 4): four losses to be added up.

    loss_objective = -mean ρ A,  ρ = π(a|s) / π_old(a|s),   loss_kl = β · mean KL(π_old ‖ π),
    loss_critic = critic_coeff · mean ℓ(v, target),  loss_entropy = -entropy_coeff · mean H(π).

    π_old is built from the parameters that the actor wrote while it acted. Where torch knows no KL divergence for its
    distribution, the mean of ρ - 1 - log ρ stands for it, which has its expectation and its expected gradient.

    A call changes nothing: :meth:`adapt` moves β, once for each batch that was collected.

    Args:
        actor: a policy with a distribution, collected with ``return_log_prob=True``. Several actions are scored
            together, and their divergences are added up.
        critic: writes ``"state_value"``.
        beta: β to begin with.
        kl_target: what :meth:`adapt` steers the divergence to.
        entropy_coeff: weight of the entropy bonus.
        critic_coeff: weight of the critic's loss.
        normalize_advantage: standardise the advantages of each call.
        loss_critic_type: ``"l2"``, ``"l1"`` or ``"smooth_l1"``.

    Attributes:
        beta: β, a buffer, so that it is saved and moved with the rest.

    Recurrent networks run over sequences: the last dimension of a batch ``[*B, T]`` is time. Where the batch has
    ``("collector", "valid")``, the steps that are none count for nothing.

    Writes the losses, and without gradient ``entropy`` and ``kl``: numbers for the whole batch, so a call on a
    TensorDict returns a new one without batch dimensions.

    Raises:
        ContractError: the actor has no distribution, or does not write its parameters and its log-probability; or the
            critic writes no value, reads the action, or has a state of its own under the key of the actor's.
        UsageError: a number is out of range, or there is no such loss of the critic.

    >>> from torch import nn
    >>> from keywork.distributions import Categorical
    >>> from keywork.modules import ProbabilisticActor, ValueOperator
    >>> from keywork.nn import TensorDictModule
    >>> net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    >>> actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    >>> loss = KLPENPPOLoss(actor, ValueOperator(nn.Linear(4, 1)), kl_target=0.01)
    >>> loss.contract.reads
    ('observation', 'action', 'sample_log_prob', 'advantage', 'value_target', 'logits')
    >>> loss.adapt(torch.tensor(0.1))
    >>> loss.beta
    tensor(2.)
    """

    asks_log_prob = True
    asks_params = True

    beta: Tensor

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        critic: TensorDictModuleBase,
        *,
        beta: float = 1.0,
        kl_target: float = 0.01,
        entropy_coeff: float = 0.01,
        critic_coeff: float = 1.0,
        normalize_advantage: bool = False,
        loss_critic_type: CriticLoss = "l2",
    ) -> None:
        require_positive(type(self).__name__, "beta", beta)
        require_positive(type(self).__name__, "kl_target", kl_target)
        super().__init__(
            actor,
            critic,
            entropy_coeff=entropy_coeff,
            critic_coeff=critic_coeff,
            normalize_advantage=normalize_advantage,
            loss_critic_type=loss_critic_type,
            tells=["loss_kl", "kl"],
        )
        self.kl_target = kl_target
        self.register_buffer("beta", torch.tensor(float(beta)))

    def objective(self, batch: Scored) -> tuple[Tensor, ...]:
        """The surrogate, negative; the penalty, and the divergence itself."""
        log_ratio = batch.log_prob - batch.old_log_prob.detach()
        kl = batch.mean(self._divergence(batch, log_ratio))
        return -batch.mean(log_ratio.exp() * batch.advantage), self.beta * kl, kl.detach()

    @torch.no_grad()
    def adapt(self, kl: Tensor | float) -> None:
        """Double β where the policy has moved by more than 3/2 of the target, halve it below 2/3.

        Args:
            kl: the divergence after the updates on a batch, such as the last ``kl`` that was written.
        """
        kl = torch.as_tensor(kl, device=self.beta.device)
        self.beta.mul_(torch.where(kl > 1.5 * self.kl_target, 2.0, torch.where(kl < self.kl_target / 1.5, 0.5, 1.0)))

    def _divergence(self, batch: Scored, log_ratio: Tensor) -> Tensor:
        old = last_step(self.actor).dist_of(*[parameter.detach() for parameter in batch.params])
        try:
            return kl_divergence(old, batch.dist)
        except NotImplementedError:
            return log_ratio.expm1() - log_ratio
