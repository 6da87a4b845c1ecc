"""Whole returns as value estimates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from keywork._keys import Key
from keywork.functional import lambda_return
from keywork.nn import TensorDictModuleBase
from keywork.objectives._estimator import Estimator, Steps


class MonteCarlo(Estimator):
    """The discounted return Gₜ = rₜ + γ (1 - doneₜ) Gₜ₊₁ as the value target, and less the value as the advantage.

    Where an episode, or the batch, is cut off, a critic says what would have followed. Without a critic it counts as
    nothing, and the advantage is the return: let the batches hold whole episodes then, or many.

    A critic runs along time, and nothing here has a gradient; shapes, and what is refused, are as with :class:`GAE`.

    Args:
        gamma: discount.
        value_network: the critic, a key module that writes ``"state_value"``; if left out, no values are written.

    Raises:
        ContractError: the critic has no keys, or writes no value.
        UsageError: gamma is not between 0 and 1.

    >>> import torch
    >>> estimator = MonteCarlo(0.5)
    >>> estimator.in_keys
    [('next', 'reward'), ('next', 'done'), ('next', 'terminated')]
    >>> rewards, ends = torch.ones(1, 3, 1), torch.tensor([False, False, True]).view(1, 3, 1)
    >>> advantage, target = estimator(rewards, ends, ends)
    >>> advantage.flatten()
    tensor([1.7500, 1.5000, 1.0000])
    """

    def __init__(self, gamma: float, value_network: TensorDictModuleBase | None = None) -> None:
        super().__init__(gamma, value_network)

    def estimate(self, steps: Steps, held: Mapping[Key, Any]) -> tuple[Tensor, Tensor]:
        """Advantages and value targets."""
        reward_t, v_t, v_tp1, terminated_t, done_t = steps
        target_t = lambda_return(reward_t, v_tp1, terminated_t, done_t, gamma=self.gamma, lmbda=1.0)
        return target_t - v_t, target_t
