"""Advantages for policy-gradient losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from keywork._errors import ContractError, Finding, SpecError, refusal
from keywork._keys import ADVANTAGE, DONE, REWARD, STATE_VALUE, TERMINATED, VALUE_TARGET, listed, next_key, unique
from keywork._wiring import without_keys
from keywork.functional import generalized_advantage, normalize
from keywork.nn import TensorDictModuleBase
from keywork.objectives._along import Along
from keywork.objectives._numbers import require_fraction


class GAE(TensorDictModuleBase):
    """Generalised advantage estimation: writes the advantage, the value target, and the values of a batch.

    Values bootstrap through ``truncated`` and stop at ``terminated``; no advantage crosses the end of an episode or of
    the batch (see :func:`~keywork.functional.generalized_advantage`). Nothing here has a gradient.

    A recurrent critic runs along time, from the state that is stored at each row's first step. The value of
    ``("next", "observation")`` is one step further from the state after the step, also where an episode is cut off.

    Args:
        gamma: discount.
        lmbda: 0 is the one-step temporal difference, 1 the Monte-Carlo return less the value.
        value_network: the critic, a key module that writes ``"state_value"``.
        average_gae: standardise the advantages over the batch.

    Shapes: a batch ``[*B, T]`` whose rewards, flags and values have a trailing one. A flat batch ``[N]`` is refused:
    rows that lie one after the other would be taken for one.

    Raises:
        ContractError: the critic has no keys, or writes no value.
        UsageError: gamma or lmbda is not between 0 and 1.

    >>> from tensordict import TensorDict
    >>> from keywork.modules import ValueOperator
    >>> gae = GAE(0.5, 1.0, ValueOperator(torch.nn.Linear(1, 1)))
    >>> gae.out_keys
    ['advantage', 'value_target', 'state_value']
    """

    def __init__(
        self, gamma: float, lmbda: float, value_network: TensorDictModuleBase, *, average_gae: bool = False
    ) -> None:
        require_fraction(type(self).__name__, "gamma", gamma)
        require_fraction(type(self).__name__, "lmbda", lmbda)
        if strange := without_keys("its critic", value_network):
            raise ContractError(type(self).__name__, strange)
        if STATE_VALUE not in value_network.out_keys:
            raise ContractError(type(self).__name__, [_no_value(value_network)])
        self._along = Along(value_network)
        self._critics = list(unique([*self._along.reads, *self._along.follows, *_FOLLOWED]))
        super().__init__(self._critics, [ADVANTAGE, VALUE_TARGET, STATE_VALUE])
        self.gamma, self.lmbda, self.average_gae = gamma, lmbda, average_gae
        self.value_network, self._value_at = value_network, value_network.out_keys.index(STATE_VALUE)

    @torch.no_grad()
    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Values of both ends of every step, then the recursion."""
        held = dict(zip(self._critics, inputs, strict=True))  # by their first names, whatever they are called now
        reward_t, done_t, terminated_t = (held[key] for key in _FOLLOWED)
        if reward_t.ndim == 2 and reward_t.shape[1] == 1:
            raise self._no_rows(reward_t)
        outputs = self._along.run(held)
        v_tp1 = self._along.run_ahead(held, outputs)[self._value_at]
        v_t = outputs[self._value_at]
        advantage_t, target_t = generalized_advantage(
            reward_t, v_t, v_tp1, terminated_t, done_t, gamma=self.gamma, lmbda=self.lmbda
        )
        return normalize(advantage_t) if self.average_gae else advantage_t, target_t, v_t

    def _no_rows(self, reward: Tensor) -> SpecError:
        return refusal(
            SpecError,
            f"{self.label} cannot run: single steps in one dimension are no rows of consecutive steps.",
            where="the batch size",
            expected="a batch [*B, T] of rows, whose last dimension is time",
            got=f"a batch {list(reward.shape[:1])}",
            fix="estimate before the batch is flattened; or, if this is one row, batch.unsqueeze(0)",
        )


_FOLLOWED = tuple(next_key(key) for key in (REWARD, DONE, TERMINATED))


def _no_value(network: TensorDictModuleBase) -> Finding:
    problem = f"its critic ({network.label}) does not write {STATE_VALUE!r}."
    fix = f"name the critic's output: ValueOperator(net, in_keys=[...]), or out_keys=[{STATE_VALUE!r}]."
    return Finding("no-value", problem, f"it writes {listed(network.out_keys)}", fix)
