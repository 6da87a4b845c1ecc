"""What value estimators have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from keywork._errors import ContractError, SpecError, refusal
from keywork._keys import ADVANTAGE, DONE, REWARD, STATE_VALUE, TERMINATED, VALUE_TARGET, Key, next_key, unique
from keywork.nn import TensorDictModuleBase
from keywork.objectives._along import Along
from keywork.objectives._numbers import require_fraction
from keywork.objectives._policy_findings import value_findings


class Steps(NamedTuple):
    """Rows of consecutive steps, each entry ``[*B, T, 1]``.

    Attributes:
        reward_t: rewards.
        v_t: values of the states left.
        v_tp1: values of the states reached: at a truncation that of the true final state.
        terminated_t: where the task ended.
        done_t: where a trajectory ended.
    """

    reward_t: Tensor
    v_t: Tensor
    v_tp1: Tensor
    terminated_t: Tensor
    done_t: Tensor


class Estimator(TensorDictModuleBase):
    """The abstract base: a critic's values of both ends of every step, from which a subclass estimates.

    Written are the advantage, the value target and, with a critic, the values; without one, all values are zero.

    Args:
        gamma: discount.
        value_network: the critic, a key module that writes ``"state_value"``; None for none.
        reads: what the subclass reads besides.
        optional: those of ``reads`` that may be absent.
    """

    def __init__(
        self,
        gamma: float,
        value_network: TensorDictModuleBase | None,
        reads: Sequence[Key] = (),
        optional: Sequence[Key] = (),
    ) -> None:
        require_fraction(type(self).__name__, "gamma", gamma)
        if value_network is not None and (findings := value_findings(value_network)):
            raise ContractError(type(self).__name__, findings)
        along = None if value_network is None else Along(value_network)
        observed = [] if along is None else [*along.reads, *along.follows]
        values = [] if along is None else [STATE_VALUE]
        keys = unique([*observed, *_OF_STEPS, *reads])
        super().__init__(list(keys), [ADVANTAGE, VALUE_TARGET, *values], optional_keys=list(optional))
        self.gamma, self.value_network, self._along = gamma, value_network, along
        self._value_at = -1 if value_network is None else value_network.out_keys.index(STATE_VALUE)
        self._called = keys  # what its inputs are called in here, whatever they are renamed to

    @abstractmethod
    def estimate(self, steps: Steps, held: Mapping[Key, Any]) -> tuple[Tensor, Tensor]:
        """Advantages and value targets.

        Args:
            steps: the rows.
            held: all that is read, by key.
        """

    @torch.no_grad()
    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """Values of both ends of every step, then the recursion."""
        held = dict(zip(self._called, inputs, strict=True))
        reward_t, done_t, terminated_t = (held[key] for key in _OF_STEPS)
        require_rows(self.label, reward_t)
        if self._along is None:
            nothing = torch.zeros_like(reward_t)
            return self.estimate(Steps(reward_t, nothing, nothing, terminated_t, done_t), held)
        outputs = self._along.run(held)
        v_t, v_tp1 = outputs[self._value_at], self._along.run_ahead(held, outputs)[self._value_at]
        return *self.estimate(Steps(reward_t, v_t, v_tp1, terminated_t, done_t), held), v_t


_OF_STEPS = [next_key(key) for key in (REWARD, DONE, TERMINATED)]


def require_rows(owner: str, reward_t: Tensor) -> None:
    """Refuse single steps, of which those that lie one after the other would be taken for a row.

    Raises:
        SpecError: that is what they are.
    """
    if reward_t.ndim == 2 and reward_t.shape[1] == 1:
        raise refusal(
            SpecError,
            f"{owner} cannot run: single steps in one dimension are no rows of consecutive steps.",
            where="the batch size",
            expected="a batch [*B, T] of rows, whose last dimension is time",
            got=f"a batch {list(reward_t.shape[:1])}",
            fix="estimate before the batch is flattened; or, if this is one row, batch.unsqueeze(0)",
        )
