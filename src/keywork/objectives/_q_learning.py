"""What the losses of action values have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from keywork._keys import DISCOUNT, PRIORITY_WEIGHT, REWARD, TD_ERROR, TERMINATED, VALID, Key, next_key, unique
from keywork.functional import masked_mean
from keywork.nn import TensorDictModuleBase
from keywork.objectives._along import Along
from keywork.objectives._numbers import require_fraction
from keywork.objectives._q_network import Wanted, q_network
from keywork.objectives._target import frozen_copy

_REWARD, _TERMINATED = next_key(REWARD), next_key(TERMINATED)


class Compared(NamedTuple):
    """Predictions and targets of a batch ``[*B]``: the loss, what its size is for priorities, and both as numbers."""

    loss: Tensor
    error: Tensor
    prediction: Tensor
    target: Tensor


class QLearningLoss(TensorDictModuleBase):
    """The abstract base of the losses of action values.

    Args:
        value_network: the policy that acts by them.
        wanted: which policies there may be.
        gamma: discount.
        double: let the network that learns choose the next action, and the target network judge it.
        delay_value: have a target network.

    Raises:
        ContractError: the policy has no such network, or one whose parameters have no size yet.
        UsageError: gamma is not between 0 and 1.
    """

    def __init__(self, value_network: Any, wanted: Wanted, *, gamma: float, double: bool, delay_value: bool) -> None:
        owner = type(self).__name__
        require_fraction(owner, "gamma", gamma)
        found = q_network(owner, value_network, wanted)
        online = Along(found.network)
        ahead = [*online.follows, *([] if found.mask is None else [next_key(found.mask)])]
        reads = unique([*online.reads, found.action, *ahead, _REWARD, _TERMINATED])
        super().__init__(list(reads), _OUT_KEYS, optional_keys=list(_OPTIONAL), inplace=False)
        self.gamma, self.double_dqn = gamma, double
        self.value_network: TensorDictModuleBase = value_network
        self.target_network = frozen_copy(owner, found.network) if delay_value else None
        self._found, self._online = found, online
        self._target = online if self.target_network is None else Along(self.target_network)
        self._names: tuple[Key, ...] = (*reads, *_OPTIONAL)  # whatever they are called after a renaming

    @property
    def targets(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """The network that learns, and the one that follows it, if there is one."""
        return [] if self.target_network is None else [(self._found.network, self.target_network)]

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The loss of a batch ``[*B]``, and what tells how training goes."""
        held = dict(zip(self._names, inputs, strict=True))
        found, discount = self._found, held[DISCOUNT]
        outputs = self._online.run(held)
        taken = self._of(outputs[found.values_at], held[found.action])
        with torch.no_grad():
            following = self._following(held, outputs)
        gamma = self.gamma if discount is None else discount
        compared = self._compare(taken, following, held[_REWARD], held[_TERMINATED], gamma)
        return _weighed(compared, held[PRIORITY_WEIGHT], held[VALID])

    def _following(self, held: Mapping[Key, Any], outputs: Sequence[Any]) -> Tensor:
        """What the best next action is worth, in the form of :meth:`_of`."""
        found, same = self._found, self._target is self._online
        values = self._target.run_ahead(held, outputs if same else None)[found.values_at]
        mask = self._allowed(held)
        if not self.double_dqn or same:
            return self._best(values, mask)
        judged = self._expected(self._online.run_ahead(held, outputs)[found.values_at])
        return self._of(values, found.best(judged, mask)[0])

    def _allowed(self, held: Mapping[Key, Any]) -> Tensor | None:
        """The mask of the next actions. What follows no more counts for nothing, and need not allow anything."""
        if self._found.mask is None:
            return None
        mask: Tensor = held[next_key(self._found.mask)].bool()
        over = held[_TERMINATED] if held[VALID] is None else held[_TERMINATED] | ~held[VALID]
        allowed: Tensor = mask | over.reshape(*over.shape, *[1] * (mask.ndim - over.ndim))
        return allowed

    @abstractmethod
    def _expected(self, values: Tensor) -> Tensor:
        """What the network computes as one number for each choice, ``[*B, n]``."""

    @abstractmethod
    def _of(self, values: Tensor, action: Tensor) -> Tensor:
        """What the network computes of one action."""

    @abstractmethod
    def _best(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Likewise of the best action."""

    @abstractmethod
    def _compare(
        self, taken: Tensor, following: Tensor, reward_t: Tensor, terminated_t: Tensor, gamma: float | Tensor
    ) -> Compared:
        """What was predicted of the action taken, beside the target."""


_OPTIONAL: tuple[Key, ...] = (DISCOUNT, PRIORITY_WEIGHT, VALID)
_OUT_KEYS = ["loss", TD_ERROR, "q_mean", "target_mean", "td_error_mean"]


def _weighed(compared: Compared, weight: Tensor | None, valid: Tensor | None) -> tuple[Tensor, ...]:
    """The mean loss by priority weights, over the steps that count; and the means of what it comes from."""
    loss, *rest = compared
    if weight is not None:
        loss = loss * weight.reshape(loss.shape)
    error, prediction, target = [each.detach() for each in rest]
    counts = None if valid is None else valid.reshape(loss.shape)
    means = [masked_mean(each, counts) for each in (loss, prediction, target, error)]
    if counts is not None:
        error = torch.where(counts, error, 0.0)
    return means[0], error, *means[1:]
