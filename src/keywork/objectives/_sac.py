"""Soft actor-critic."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, final

from torch import Tensor

from keywork._errors import Finding
from keywork._keys import STATE_ACTION_VALUE, listed
from keywork.functional import soft_policy_loss, soft_value
from keywork.nn import ProbabilisticTensorDictSequential
from keywork.objectives._acting import Drawing, Drawn
from keywork.objectives._actor_critic import ActorCriticLoss, mean
from keywork.objectives._actor_critic_findings import makers_of, require_pair
from keywork.objectives._critics import Held, critics_of
from keywork.objectives._numbers import require_entropy
from keywork.objectives._policy_findings import actor_findings
from keywork.objectives._target import constant
from keywork.objectives._temperature import Temperature


class SoftActorTerms(NamedTuple):
    """What a policy with an entropy bonus learns from, its temperature beside it, and what tells of both.

    Attributes:
        loss: the policy's, a scalar.
        loss_alpha: the temperature's, a scalar; None where it is fixed.
        alpha: the temperature, without gradient.
        entropy: -mean log π(a), without gradient.
    """

    loss: Tensor
    loss_alpha: Tensor | None
    alpha: Tensor
    entropy: Tensor


@final
class SACLoss(ActorCriticLoss):
    """Soft actor-critic   (Haarnoja et al. 2018, arXiv 1801.01290 and 1812.05905).

    loss_qvalue = Σᵢ mean (qᵢ(sₜ, aₜ) - rₜ - γ (1 - terminatedₜ) (minⱼ q'ⱼ(sₜ₊₁, a') - α log π(a'|sₜ₊₁)))²,
    loss_actor = mean (α log π(a|sₜ) - minᵢ qᵢ(sₜ, a)), with qᵢ held constant,
    loss_alpha = -α mean (log π(a|sₜ) + H̄); a and a' are drawn from π here, whatever the exploration type.

    Args:
        actor: a policy whose distribution draws with a gradient. Of several actions log π is that of all together.
        qvalue_network: reads the action and writes ``"state_action_value"``: one, of which there are to be several, an
            ensemble, or a list of networks.
        gamma: discount γ in [0, 1].
        alpha_init: α at the start.
        fixed_alpha: whether it stays so; there is no ``"loss_alpha"`` then.
        target_entropy: H̄; ``"auto"`` is minus how many numbers an action has.
        num_qvalue_nets: how many critics to make of one.

    Reads what :class:`DDPGLoss` does. Writes its losses; ``"td_error"`` ``[*B]``, ``"q_mean"``, ``"target_mean"``,
    ``"alpha"`` and ``"entropy"``, without gradient. Each loss has a gradient in its own networks alone (the
    temperature's is ``temperature``); ``qvalue_terms(*inputs)`` and ``actor_terms(*inputs)`` compute one part of them.

    Raises:
        ContractError: the actor has no distribution, or one that draws without a gradient; a critic writes no value or
            does not read the action; actor and critics share parameters, or the key of a state.
        UsageError: a number is out of range.

    >>> from keywork.modules import ProbabilisticActor, ValueOperator
    >>> from keywork.specs import Bounded
    >>> from torch import nn
    >>> actor = ProbabilisticActor.from_spec(Bounded(-1.0, 1.0, (4,)), Bounded(-1.0, 1.0, (2,)))
    >>> loss = SACLoss(actor, ValueOperator(nn.Bilinear(4, 2, 1), ["observation", "action"]))
    >>> loss.out_keys
    ['loss_actor', 'loss_qvalue', 'loss_alpha', 'alpha', 'entropy', 'td_error', 'q_mean', 'target_mean']
    """

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        qvalue_network: Any,
        *,
        gamma: float = 0.99,
        alpha_init: float = 1.0,
        fixed_alpha: bool = False,
        target_entropy: float | Literal["auto"] = "auto",
        num_qvalue_nets: int = 2,
    ) -> None:
        owner = type(self).__name__
        require_entropy(owner, target_entropy)
        critics = critics_of(owner, qvalue_network, num_qvalue_nets, STATE_ACTION_VALUE)
        require_pair(owner, actor, critics, actor_findings(actor) or _rigid_findings(actor))
        tells = ["alpha", "entropy"] if fixed_alpha else ["loss_alpha", "alpha", "entropy"]
        super().__init__(actor, critics, actions=actor.dist_sample_keys, gamma=gamma, ahead=[actor], tells=tells)
        self.temperature = Temperature(owner, alpha_init, fixed=fixed_alpha)
        self.target_entropy, self._drawing = target_entropy, Drawing(actor)

    def value_ahead(self, held: Held) -> Tensor:
        """minⱼ q'ⱼ(sₜ₊₁, a) - α log π(a | sₜ₊₁), with a drawn from π(· | sₜ₊₁)."""
        drawn = self._drawing.ahead(held)
        q = self._target_critics.values_ahead({**held, **drawn.actions}).amin(-2)
        return soft_value(q, drawn.log_prob.unsqueeze(-1), alpha=self.temperature())

    def actor_terms(self, *inputs: Any) -> SoftActorTerms:
        """The actor's loss mean (α log π(a|sₜ) - minᵢ qᵢ(sₜ, a)), and the temperature's."""
        held = self._held(inputs)
        drawn, alpha = self._drawing.now(held), self.temperature()
        with constant(self.qvalue_network):
            q = self._critics.values_apart(held, drawn.actions).amin(-2).squeeze(-1)
        loss = soft_policy_loss(drawn.log_prob, q, alpha=alpha)
        return SoftActorTerms(
            mean(loss, held), self._tempered(drawn, held), alpha, -mean(drawn.log_prob.detach(), held)
        )

    def _tempered(self, drawn: Drawn, held: Held) -> Tensor | None:
        if not self.temperature.learns:
            return None
        aim = -float(drawn.size) if self.target_entropy == "auto" else float(self.target_entropy)
        return mean(self.temperature.loss(drawn.log_prob, aim), held)

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The losses of a batch ``[*B]``."""
        loss, *critic = self.qvalue_terms(*inputs)
        actor = self.actor_terms(*inputs)
        return (actor.loss, loss, *[term for term in actor[1:] if term is not None], *critic)


def _rigid_findings(actor: Any) -> list[Finding]:
    """A finding where no gradient comes back through a draw."""
    rigid = [maker for maker in makers_of(actor) if getattr(maker, "has_rsample", True) is False]
    if not rigid:
        return []
    problem = f"its actor ({actor.label}) draws from a {rigid[0].__name__}, and no gradient comes through such a draw."
    fix = "DiscreteSACLoss learns choices; numbers take TanhNormal or IndependentNormal."
    return [Finding("rigid-draw", problem, f"it decides on {listed(actor.dist_sample_keys)}", fix)]
