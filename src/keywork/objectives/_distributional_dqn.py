"""Q-learning with distributions of the return on fixed atoms (C51)."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from keywork._errors import ContractError, Finding
from keywork.functional import categorical_loss, categorical_projection
from keywork.objectives._q_learning import Compared, QLearningLoss
from keywork.objectives._q_network import Wanted


@final
class DistributionalDQNLoss(QLearningLoss):
    """C51: mean -Σᵢ mᵢ log pᵢ(sₜ, aₜ), m the distribution of rₜ + γ (1 - terminatedₜ) Z'(sₜ₊₁, a*) on the atoms.

    (Bellemare, Dabney & Munos 2017, arXiv 1707.06887.) a* has the highest expectation under the target network, or with
    ``double_dqn`` under the one that learns. All else is as with :class:`DQNLoss`.

    Args:
        value_network: as there, a :class:`~keywork.modules.DistributionalQValueActor`, whose atoms are evenly spaced;
            an action is one choice.
        gamma: discount γ in [0, 1].
        double_dqn: as there.
        delay_value: as there.

    Writes the same; ``"td_error"`` is each step's cross-entropy, which Rainbow (arXiv 1710.02298) sets priorities by,
    and the means of q and target are those of expectations.

    Raises:
        ContractError: the policy does not act by distributions on atoms; its atoms are not evenly spaced, or an action
            is several choices; or a parameter has no size yet.
        UsageError: gamma is out of range.

    >>> from keywork.modules import DistributionalQValueActor
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 51 * 2), torch.nn.Unflatten(-1, (51, 2)))
    >>> actor = DistributionalQValueActor(net, torch.linspace(-10.0, 10.0, 51), action_space="categorical")
    >>> DistributionalDQNLoss(actor).in_keys[:2]
    ['observation', 'action']
    """

    def __init__(
        self, value_network: Any, *, gamma: float = 0.99, double_dqn: bool = False, delay_value: bool = True
    ) -> None:
        super().__init__(value_network, _WANTED, gamma=gamma, double=double_dqn, delay_value=delay_value)
        gaps = self.support.diff()
        if not gaps.numel() or not bool((gaps > 0).all()) or not torch.allclose(gaps, gaps.mean(), rtol=1e-3):
            problem = "the atoms of its value network do not ascend in even steps."
            fix = "support=torch.linspace(-10.0, 10.0, 51)."
            provided = f"support {[round(atom, 3) for atom in self.support[:4].tolist()]} ..."
            raise ContractError(type(self).__name__, [Finding("uneven-atoms", problem, provided, fix)])

    @property
    def support(self) -> Tensor:
        """The atoms, ``[N]``."""
        support: Tensor = self._found.head.support
        return support

    def _expected(self, values: Tensor) -> Tensor:
        return self.support.to(values.dtype) @ values.exp()

    def _of(self, values: Tensor, action: Tensor) -> Tensor:
        return self._found.rows_of(values, action)

    def _best(self, values: Tensor, mask: Tensor | None) -> Tensor:
        return self._of(values, self._found.best(self._expected(values), mask)[0])

    def _compare(
        self, taken: Tensor, following: Tensor, reward_t: Tensor, terminated_t: Tensor, gamma: float | Tensor
    ) -> Compared:
        support = self.support.to(taken.dtype)
        target = categorical_projection(following.exp(), reward_t, terminated_t, support, gamma=gamma)
        loss = categorical_loss(taken, target)
        return Compared(loss, loss.detach(), taken.detach().exp() @ support, target @ support)


_WANTED = Wanted("support", "DistributionalQValueActor(net, support, spec=env.action_spec)")
