"""Q-learning with quantiles of the return (QR-DQN)."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from keywork.functional import quantile_huber_loss, td0_target
from keywork.objectives._numbers import require_not_negative
from keywork.objectives._q_learning import Compared, QLearningLoss
from keywork.objectives._q_network import Wanted


@final
class QuantileDQNLoss(QLearningLoss):
    """QR-DQN: mean Σᵢ meanⱼ |τᵢ - 1{uᵢⱼ < 0}| L(uᵢⱼ),  uᵢⱼ = rₜ + γ (1 - terminatedₜ) θ'ⱼ(sₜ₊₁, a*) - θᵢ(sₜ, aₜ).

    (Dabney et al. 2018, arXiv 1710.10044; L is Huber's, see :func:`~keywork.functional.quantile_huber_loss`.) a* has
    the highest mean under the target network, or with ``double_dqn`` under the one that learns. All else is as with
    :class:`DQNLoss`.

    Args:
        value_network: as there, a :class:`~keywork.modules.QuantileQValueActor`; an action is one choice.
        gamma: discount γ in [0, 1].
        double_dqn: as there.
        kappa: where the square of L ends, κ ≥ 0.
        delay_value: as there.

    Writes the same; ``"td_error"`` is each step's loss, and q and target are means of quantiles.

    Raises:
        ContractError: the policy does not act by quantiles, or an action is several choices; or a parameter has no size
            yet.
        UsageError: gamma or kappa is out of range.

    >>> from torch import nn
    >>> from keywork.modules import QuantileQValueActor
    >>> net = nn.Sequential(nn.Linear(4, 32 * 2), nn.Unflatten(-1, (32, 2)))
    >>> QuantileDQNLoss(QuantileQValueActor(net, 32, action_space="categorical")).in_keys[:2]
    ['observation', 'action']
    """

    def __init__(
        self,
        value_network: Any,
        *,
        gamma: float = 0.99,
        double_dqn: bool = False,
        kappa: float = 1.0,
        delay_value: bool = True,
    ) -> None:
        require_not_negative(type(self).__name__, "kappa", kappa, usual=1.0)
        super().__init__(value_network, _WANTED, gamma=gamma, double=double_dqn, delay_value=delay_value)
        self.kappa = kappa

    def _expected(self, values: Tensor) -> Tensor:
        return values.mean(-2)

    def _of(self, values: Tensor, action: Tensor) -> Tensor:
        return self._found.rows_of(values, action)

    def _best(self, values: Tensor, mask: Tensor | None) -> Tensor:
        return self._of(values, self._found.best(self._expected(values), mask)[0])

    def _compare(
        self, taken: Tensor, following: Tensor, reward_t: Tensor, terminated_t: Tensor, gamma: float | Tensor
    ) -> Compared:
        each = following.shape
        discount = gamma.expand(each) if isinstance(gamma, Tensor) else gamma
        target = td0_target(reward_t.expand(each), following, terminated_t.expand(each), gamma=discount)
        loss = quantile_huber_loss(taken, target, kappa=self.kappa)
        return Compared(loss, loss.detach(), taken.detach().mean(-1), target.mean(-1))


_WANTED = Wanted("num_quantiles", "QuantileQValueActor(net, num_quantiles, spec=env.action_spec)")
