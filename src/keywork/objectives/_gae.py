"""Advantages for policy-gradient losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from keywork._keys import VALID, Key
from keywork.functional import generalized_advantage, normalize
from keywork.nn import TensorDictModuleBase
from keywork.objectives._estimator import Estimator, Steps
from keywork.objectives._numbers import require_fraction


class GAE(Estimator):
    """Generalised advantage estimation: writes the advantage, the value target, and the values of a batch.

    Values bootstrap through ``truncated`` and stop at ``terminated``; no advantage crosses the end of an episode or of
    the batch (see :func:`~keywork.functional.generalized_advantage`). Nothing here has a gradient.

    A recurrent critic runs along time, from the state that is stored at each row's first step. The value of
    ``("next", "observation")`` is one step further from the state after the step, also where an episode is cut off.

    Args:
        gamma: discount.
        lmbda: 0 is the one-step temporal difference, 1 the Monte-Carlo return less the value.
        value_network: the critic, a key module that writes ``"state_value"``.
        average_gae: standardise the advantages over the batch; steps that ``("collector", "valid")`` says are none do
            not count, and get zero.

    Shapes: a batch ``[*B, T]`` whose rewards, flags and values have a trailing one. A flat batch ``[N]`` is refused:
    rows that lie one after the other would be taken for one.

    Raises:
        ContractError: the critic has no keys, or writes no value.
        UsageError: gamma or lmbda is not between 0 and 1.

    >>> import torch
    >>> from keywork.modules import ValueOperator
    >>> gae = GAE(0.5, 1.0, ValueOperator(torch.nn.Linear(1, 1)))
    >>> gae.out_keys
    ['advantage', 'value_target', 'state_value']
    """

    def __init__(
        self, gamma: float, lmbda: float, value_network: TensorDictModuleBase, *, average_gae: bool = False
    ) -> None:
        require_fraction(type(self).__name__, "lmbda", lmbda)
        super().__init__(gamma, value_network, reads=[VALID], optional=[VALID])
        self.lmbda, self.average_gae = lmbda, average_gae

    def estimate(self, steps: Steps, held: Mapping[Key, Any]) -> tuple[Tensor, Tensor]:
        """Advantages and value targets."""
        advantage_t, target_t = generalized_advantage(*steps, gamma=self.gamma, lmbda=self.lmbda)
        return normalize(advantage_t, held[VALID]) if self.average_gae else advantage_t, target_t
