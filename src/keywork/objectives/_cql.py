"""Conservative Q-learning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from keywork._errors import ContractError, Finding, UsageError, refusal
from keywork._keys import Key, listed
from keywork.distributions import draw
from keywork.functional import conservative_penalty
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.objectives._acting import Actions
from keywork.objectives._action_bounds import ActionBounds
from keywork.objectives._actor_critic import REWARDED, mean
from keywork.objectives._critics import Held
from keywork.objectives._numbers import require_not_negative
from keywork.objectives._sac import SACLoss, SoftActorTerms


class ConservativeTerms(NamedTuple):
    """What conservative critics learn from, and what tells how that goes, without gradient.

    Attributes:
        loss: a scalar, the penalty included.
        td_error: ``[*B]``, mean |q - target| over the critics.
        q_mean: of all critics.
        target_mean: of the targets.
        penalty: Σᵢ mean (log Σₐ exp qᵢ(sₜ, a) - qᵢ(sₜ, aₜ)), unweighted.
    """

    loss: Tensor
    td_error: Tensor
    q_mean: Tensor
    target_mean: Tensor
    penalty: Tensor


@final
class CQLLoss(TensorDictModuleBase):
    """Conservative Q-learning for numbers, from stored experience alone: CQL(H)   (Kumar et al. 2020, 2006.04779).

    SAC, held as ``sac``, with loss_qvalue + w Σᵢ mean (log Σₐ exp qᵢ(sₜ, a) - qᵢ(sₜ, aₜ)). The sum over actions is
    estimated by 3 n of them: n uniform ones, n from π(·|sₜ), n from π(·|sₜ₊₁), each weighed by its density.

    Args:
        actor: see :class:`SACLoss`.
        qvalue_network: likewise; without a memory.
        penalty_coeff: w, from 0 on.
        num_random: n.
        action_spec: what the action is, with bounds; if left out, what a part of the actor has as its ``spec``.
        gamma: see :class:`SACLoss`.
        alpha_init: likewise.
        target_entropy: likewise.

    Reads and writes what :class:`SACLoss` does, and ``"penalty"`` without its weight and without gradient.

    Raises:
        ContractError: as there; and a critic has a memory, or the bounds of an action are not known.
        UsageError: a number is out of range.

    >>> from keywork.modules import ProbabilisticActor, ValueOperator
    >>> from keywork.specs import Bounded
    >>> actor = ProbabilisticActor.from_spec(Bounded(-1.0, 1.0, (4,)), Bounded(-1.0, 1.0, (2,)))
    >>> loss = CQLLoss(actor, ValueOperator.from_spec(Bounded(-1.0, 1.0, (4,)), actor.spec), gamma=0.9)
    >>> loss.out_keys[-2:]
    ['target_mean', 'penalty']
    """

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        qvalue_network: Any,
        *,
        penalty_coeff: float = 5.0,
        num_random: int = 10,
        action_spec: Any = None,
        gamma: float = 0.99,
        alpha_init: float = 1.0,
        target_entropy: float | Literal["auto"] = "auto",
    ) -> None:
        owner = type(self).__name__
        require_not_negative(owner, "penalty_coeff", penalty_coeff)
        if num_random < 1:
            raise _no_actions(owner, num_random)
        try:
            sac = SACLoss(actor, qvalue_network, gamma=gamma, alpha_init=alpha_init, target_entropy=target_entropy)
        except ContractError as error:
            raise ContractError(owner, error.findings) from None
        if findings := _memory_findings(sac.qvalue_network):
            raise ContractError(owner, findings)
        optional = list(sac.contract.optional)
        super().__init__(sac.in_keys, [*sac.out_keys, "penalty"], optional_keys=optional, inplace=False)
        self.sac, self.penalty_coeff, self.num_random = sac, penalty_coeff, num_random
        self.bounds = ActionBounds(owner, actor.dist_sample_keys, action_spec, actor, finite=True)

    @property
    def targets(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """The critics and their target networks."""
        return self.sac.targets

    def qvalue_terms(self, *inputs: Any) -> ConservativeTerms:
        """The critics' loss, that of SAC and the penalty."""
        held, sac = self.sac._held(inputs), self.sac
        taken = sac.taken_values(held)
        plain = sac._judged(taken, sac._target(held), held)
        with torch.no_grad():
            actions, log_prob = self._actions(held)
        dims = held[REWARDED].ndim - 1
        q = sac._critics.values_of_many(held, actions, dims).squeeze(-1).transpose(-1, -2)  # [*B, N, 3n]
        each = conservative_penalty(q, taken.unsqueeze(-1), log_prob=log_prob.unsqueeze(-2).expand_as(q))
        penalty = mean(each.squeeze(-1).sum(-1), held)
        return ConservativeTerms(plain.loss + self.penalty_coeff * penalty, *plain[1:], penalty.detach())

    def actor_terms(self, *inputs: Any) -> SoftActorTerms:
        """The actor's loss and the temperature's, those of SAC."""
        return self.sac.actor_terms(*inputs)

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The losses of a batch ``[*B]``."""
        loss, *critic = self.qvalue_terms(*inputs)
        actor = self.actor_terms(*inputs)
        return (actor.loss, loss, *[term for term in actor[1:] if term is not None], *critic)

    def _actions(self, held: Held) -> tuple[Actions, Tensor]:
        """3 n actions for each step ``[*B, 3n, *action]``, and the logarithm of the density of each."""
        drawing = self.sac._drawing
        now, log_now = self._drawn(drawing.dist(held))
        ahead, log_ahead = self._drawn(drawing.dist_ahead(held))
        random = {key: self._uniform(key, like) for key, like in now.items()}
        volume = sum(self._log_volume(key) for key in now)
        log_random = torch.zeros_like(log_now) - volume
        dims = log_now.ndim - 1
        actions = {key: torch.cat([random[key], now[key], ahead[key]], dims) for key in now}
        return actions, torch.cat([log_random, log_now, log_ahead], -1)

    def _drawn(self, dist: Distribution) -> tuple[Actions, Tensor]:
        keys: list[Key] = self.sac.actor.dist_sample_keys  # type: ignore[assignment]
        drawn = draw(dist, "random", with_log_prob=True, num_samples=self.num_random)
        return dict(zip(keys, drawn, strict=False)), reduce(torch.add, drawn[len(keys) :])

    def _uniform(self, key: Key, like: Tensor) -> Tensor:
        low, high = self.bounds.of(key)
        return torch.lerp(low.to(like.dtype), high.to(like.dtype), torch.rand_like(like))

    def _log_volume(self, key: Key) -> Tensor:
        low, high = self.bounds.of(key)
        return (high - low).log().sum()


def _memory_findings(critics: nn.Module) -> list[Finding]:
    parts = [part for part in critics.modules() if isinstance(part, TensorDictModuleBase)]
    carried = [key for part in parts for key in part.contract.carries]
    if not carried:
        return []
    problem = f"its critics carry {listed(carried[:1])}, and they are asked for many actions of each step."
    return [Finding("remembering-critic", problem, "", "give it critics without a memory.")]


def _no_actions(owner: str, number: int) -> UsageError:
    what = f"{owner} cannot be built: num_random is out of range."
    expected = "a number of actions, 1 or more"
    return refusal(UsageError, what, where="num_random", expected=expected, got=repr(number), fix="num_random=10")
