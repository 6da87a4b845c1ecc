"""Soft actor-critic for choices."""

from __future__ import annotations

from typing import Any, Literal, final

import torch
from torch import Tensor

from keywork._errors import Finding, SpecError, refusal, shape_of
from keywork._keys import ACTION_VALUE, listed
from keywork.functional import expected_soft_value
from keywork.nn import ProbabilisticTensorDictSequential
from keywork.objectives._acting import Drawing
from keywork.objectives._actor_critic import ActorCriticLoss, mean
from keywork.objectives._actor_critic_findings import makers_of, require_apart
from keywork.objectives._critics import Held, critics_of
from keywork.objectives._numbers import require_entropy
from keywork.objectives._policy_findings import actor_findings
from keywork.objectives._sac import SoftActorTerms
from keywork.objectives._temperature import Temperature


@final
class DiscreteSACLoss(ActorCriticLoss):
    """Soft actor-critic for choices   (Christodoulou 2019, arXiv 1910.07207).

    v(s) = Σₐ π(a|s) (minᵢ qᵢ(s, a) - α log π(a|s)), with no draw,
    loss_qvalue = Σᵢ mean (qᵢ(sₜ, aₜ) - rₜ - γ (1 - terminatedₜ) v'(sₜ₊₁))², v' of the target networks,
    loss_actor = -mean v(sₜ), with qᵢ held constant,  loss_alpha = α mean (H(π(·|sₜ)) - H̄).

    Args:
        actor: a policy that chooses one of n: Categorical or one-hot, masked or not. What a mask forbids counts for
            nothing; each next state has to allow something, also where the episode ends there.
        qvalue_network: writes ``"action_value"`` ``[*B, n]``, one for each choice: one network, of which there are to
            be several, an ensemble, or a list of networks.
        gamma: discount γ in [0, 1].
        alpha_init: α at the start.
        fixed_alpha: whether it stays so; there is no ``"loss_alpha"`` then.
        target_entropy: H̄; ``"auto"`` is 0.98 log n, as in the paper, in each state of the n choices that its mask
            allows.
        num_qvalue_nets: how many critics to make of one.

    Reads what :class:`DDPGLoss` does, and writes what :class:`SACLoss` does.

    Raises:
        ContractError: the actor has no distribution, or one of anything but a choice; a critic writes no such values;
            actor and critics share parameters, or the key of a state.
        UsageError: a number is out of range.
        SpecError: in a call, there are not as many values as choices, or the action is neither an index nor one-hot.

    >>> from keywork.modules import ProbabilisticActor
    >>> from keywork.nn import TensorDictModule
    >>> from keywork.specs import Bounded, Categorical
    >>> actor = ProbabilisticActor.from_spec(Bounded(-1.0, 1.0, (4,)), Categorical(3))
    >>> critic = TensorDictModule(torch.nn.Linear(4, 3), ["observation"], ["action_value"])
    >>> DiscreteSACLoss(actor, critic).in_keys[:4]
    ['observation', 'action', ('next', 'observation'), ('next', 'reward')]
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
        critics = critics_of(owner, qvalue_network, num_qvalue_nets, ACTION_VALUE)
        require_apart(owner, actor, critics, actor_findings(actor) or _choice_findings(actor))
        tells = ["alpha", "entropy"] if fixed_alpha else ["loss_alpha", "alpha", "entropy"]
        super().__init__(
            actor,
            critics,
            actions=actor.dist_sample_keys,
            gamma=gamma,
            value_key=ACTION_VALUE,
            ahead=[actor],
            tells=tells,
        )
        self.temperature = Temperature(owner, alpha_init, fixed=fixed_alpha)
        self.target_entropy, self._drawing = target_entropy, Drawing(actor)

    def value_ahead(self, held: Held) -> Tensor:
        """Σₐ π(a|sₜ₊₁) (minⱼ q'ⱼ(sₜ₊₁, a) - α log π(a|sₜ₊₁))."""
        log_probs: Tensor = self._drawing.dist_ahead(held).logits  # type: ignore[attr-defined]
        q = self._target_critics.values_ahead(held).amin(-2)
        return expected_soft_value(q, log_probs, alpha=self.temperature())

    def taken_values(self, held: Held) -> Tensor:
        """What each critic says of the choices made, ``[*B, N]``."""
        q, (key,) = self._critics.values(held), self._actions
        return _chosen(q, held[key])

    def actor_terms(self, *inputs: Any) -> SoftActorTerms:
        """The actor's loss -mean v(sₜ), and the temperature's."""
        held = self._held(inputs)
        log_probs: Tensor = self._drawing.dist(held).logits  # type: ignore[attr-defined]
        alpha = self.temperature()
        with torch.no_grad():
            q = self._critics.values(held).amin(-2)
        value = expected_soft_value(q, log_probs, alpha=alpha).squeeze(-1)
        negative = -expected_soft_value(torch.zeros_like(q), log_probs.detach(), alpha=1.0).squeeze(-1)  # -H(π)
        learns = self.temperature.learns
        loss_alpha = mean(self.temperature.loss(negative, self._aim(log_probs)), held) if learns else None
        return SoftActorTerms(-mean(value, held), loss_alpha, alpha, -mean(negative, held))

    def _aim(self, log_probs: Tensor) -> float | Tensor:
        if self.target_entropy != "auto":
            return float(self.target_entropy)
        # Of all n, whatever is allowed, no policy could reach it: the temperature would grow for ever.
        return 0.98 * (log_probs > -torch.inf).sum(-1).to(log_probs.dtype).log()

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The losses of a batch ``[*B]``."""
        loss, *critic = self.qvalue_terms(*inputs)
        actor = self.actor_terms(*inputs)
        return (actor.loss, loss, *[term for term in actor[1:] if term is not None], *critic)


def _chosen(q: Tensor, action: Tensor) -> Tensor:
    """Of the values ``[*B, N, n]`` those of an action, an index ``[*B]`` or one-hot ``[*B, n]``."""
    batch, n = q.shape[:-2], q.shape[-1]
    if action.shape == batch:
        index = action.long()[..., None, None].expand(*q.shape[:-1], 1)
        return q.gather(-1, index).squeeze(-1)
    if action.shape == (*batch, n):
        return (q * action.unsqueeze(-2)).sum(-1)
    raise refusal(
        SpecError,
        "DiscreteSACLoss cannot tell which value is that of the action.",
        where="the action",
        expected=f"an index {list(batch)}, or one-hot {[*batch, n]}",
        got=shape_of(action),
        fix="as many values as choices: a network with env.action_spec.n outputs",
    )


def _choice_findings(actor: Any) -> list[Finding]:
    """A finding where an action is anything but one choice of n."""
    makers = makers_of(actor)
    strange = [each for each in makers if getattr(each, "has_enumerate_support", True) is False]
    if len(makers) == 1 and not strange:
        return []
    names = ", ".join(getattr(each, "__name__", type(each).__name__) for each in makers)
    problem = f"its actor ({actor.label}) does not decide on one choice of n."
    provided = f"it draws {listed(actor.dist_sample_keys)} from {names}"
    return [Finding("no-choice", problem, provided, "SACLoss learns numbers; for choices pass a Categorical policy.")]
