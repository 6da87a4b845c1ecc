"""Advantages for policy-gradient losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from keywork._errors import ContractError, Finding
from keywork._keys import ADVANTAGE, DONE, REWARD, STATE_VALUE, TERMINATED, VALUE_TARGET, listed, next_key
from keywork.functional import generalized_advantage, normalize
from keywork.nn import TensorDictModuleBase


class GAE(TensorDictModuleBase):
    """Generalised advantage estimation: writes the advantage, the value target, and the values of a batch.

    Values bootstrap through ``truncated`` and stop at ``terminated``; no advantage crosses the end of an episode or of
    the batch (see :func:`~keywork.functional.generalized_advantage`). Nothing here has a gradient.

    Args:
        gamma: discount.
        lmbda: 0 is the one-step temporal difference, 1 the Monte-Carlo return less the value.
        value_network: the critic, a key module that writes ``"state_value"``.
        average_gae: standardise the advantages over the batch.

    Shapes: a batch ``[*B, T]`` whose rewards, flags and values have a trailing one.

    >>> from tensordict import TensorDict
    >>> from keywork.modules import ValueOperator
    >>> gae = GAE(0.5, 1.0, ValueOperator(torch.nn.Linear(1, 1)))
    >>> gae.out_keys
    ['advantage', 'value_target', 'state_value']
    """

    def __init__(
        self, gamma: float, lmbda: float, value_network: TensorDictModuleBase, *, average_gae: bool = False
    ) -> None:
        if STATE_VALUE not in value_network.out_keys:
            raise ContractError(type(self).__name__, [_no_value(value_network)])
        observed = value_network.in_keys
        followed = [next_key(key) for key in (*observed, REWARD, DONE, TERMINATED)]
        super().__init__([*observed, *followed], [ADVANTAGE, VALUE_TARGET, STATE_VALUE])
        self.gamma, self.lmbda, self.average_gae = gamma, lmbda, average_gae
        self.value_network = value_network

    @torch.no_grad()
    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Values of both ends of every step, then the recursion."""
        *states, reward_t, done_t, terminated_t = inputs
        half = len(states) // 2
        v_t, v_tp1 = self._value(states[:half]), self._value(states[half:])
        advantage_t, target_t = generalized_advantage(
            reward_t, v_t, v_tp1, terminated_t, done_t, gamma=self.gamma, lmbda=self.lmbda
        )
        return normalize(advantage_t) if self.average_gae else advantage_t, target_t, v_t

    def _value(self, states: Sequence[Any]) -> Any:
        return self.value_network.run(*states)[self.value_network.out_keys.index(STATE_VALUE)]


def _no_value(network: TensorDictModuleBase) -> Finding:
    problem = f"its critic ({network.label}) does not write {STATE_VALUE!r}."
    fix = f"name the critic's output: ValueOperator(net, in_keys=[...]), or out_keys=[{STATE_VALUE!r}]."
    return Finding("no-value", problem, f"it writes {listed(network.out_keys)}", fix)
