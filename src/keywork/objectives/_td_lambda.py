"""Temporal-difference targets as value estimates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from keywork._keys import Key
from keywork.functional import lambda_return, td0_target
from keywork.nn import TensorDictModuleBase
from keywork.objectives._estimator import Estimator, Steps
from keywork.objectives._numbers import require_fraction


class TDLambdaEstimator(Estimator):
    """TD(λ): the λ-return as the value target (see :func:`~keywork.functional.lambda_return`), and less the value as
    the advantage.

    Values bootstrap through ``truncated`` and stop at ``terminated``. Nothing here has a gradient; shapes, recurrent
    critics and what is refused are as with :class:`GAE`, whose estimates these are, computed from the other end.

    Args:
        gamma: discount.
        lmbda: from 0, one-step targets, to 1, whole returns.
        value_network: the critic, a key module that writes ``"state_value"``.

    Raises:
        ContractError: the critic has no keys, or writes no value.
        UsageError: gamma or lmbda is not between 0 and 1.

    >>> import torch
    >>> from keywork.modules import ValueOperator
    >>> TDLambdaEstimator(0.99, 0.9, ValueOperator(torch.nn.Linear(1, 1))).out_keys
    ['advantage', 'value_target', 'state_value']
    """

    def __init__(self, gamma: float, lmbda: float, value_network: TensorDictModuleBase) -> None:
        require_fraction(type(self).__name__, "lmbda", lmbda)
        super().__init__(gamma, value_network)
        self.lmbda = lmbda

    def estimate(self, steps: Steps, held: Mapping[Key, Any]) -> tuple[Tensor, Tensor]:
        """Advantages and value targets."""
        reward_t, v_t, v_tp1, terminated_t, done_t = steps
        target_t = lambda_return(reward_t, v_tp1, terminated_t, done_t, gamma=self.gamma, lmbda=self.lmbda)
        return target_t - v_t, target_t


class TD0Estimator(Estimator):
    """TD(0): the reward and the discounted value of the state reached (see :func:`~keywork.functional.td0_target`).

    Args:
        gamma: discount.
        value_network: the critic, a key module that writes ``"state_value"``.

    Raises:
        ContractError: the critic has no keys, or writes no value.
        UsageError: gamma is not between 0 and 1.

    >>> import torch
    >>> from keywork.modules import ValueOperator
    >>> TD0Estimator(0.99, ValueOperator(torch.nn.Linear(1, 1))).out_keys
    ['advantage', 'value_target', 'state_value']
    """

    def __init__(self, gamma: float, value_network: TensorDictModuleBase) -> None:
        super().__init__(gamma, value_network)

    def estimate(self, steps: Steps, held: Mapping[Key, Any]) -> tuple[Tensor, Tensor]:
        """Advantages and value targets."""
        target_t = td0_target(steps.reward_t, steps.v_tp1, steps.terminated_t, gamma=self.gamma)
        return target_t - steps.v_t, target_t
