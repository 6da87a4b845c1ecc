"""What the losses of actors that learn from critics of their actions have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from keywork._keys import (
    DISCOUNT,
    PRIORITY_WEIGHT,
    REWARD,
    STATE_ACTION_VALUE,
    TD_ERROR,
    TERMINATED,
    VALID,
    Key,
    next_key,
    unique,
)
from keywork.functional import masked_mean, td0_target, value_loss
from keywork.nn import TensorDictModuleBase
from keywork.objectives._along import Along
from keywork.objectives._critics import Critics, Held
from keywork.objectives._numbers import require_fraction
from keywork.objectives._target import frozen_copy

Network = TypeVar("Network", bound=nn.Module)

REWARDED, ENDED = next_key(REWARD), next_key(TERMINATED)


class QValueTerms(NamedTuple):
    """What the critics learn from, and what tells how that goes, without gradient.

    Attributes:
        loss: a scalar.
        td_error: ``[*B]``, mean |q - target| over the critics; zero at what is no step.
        q_mean: of all critics.
        target_mean: of the targets.
    """

    loss: Tensor
    td_error: Tensor
    q_mean: Tensor
    target_mean: Tensor


class ActorCriticLoss(TensorDictModuleBase):
    """The abstract base: critics of state and action that learn from any steps, and an actor that learns from them.

    Each term is also there by itself, over the same inputs and at no other's cost: ``qvalue_terms(*inputs)``,
    ``actor_terms(*inputs)``; each moves only its own networks.

    Args:
        actor: the policy.
        critics: one or several networks, which are held as ``qvalue_network``.
        actions: the keys of the action.
        gamma: discount.
        value_key: what the critics write.
        ahead: networks that are asked for the step after each.
        tells: the out_keys after those of the critics.

    Raises:
        UsageError: gamma is not between 0 and 1.
    """

    def __init__(
        self,
        actor: TensorDictModuleBase,
        critics: Sequence[TensorDictModuleBase],
        *,
        actions: Sequence[Key],
        gamma: float,
        value_key: Key = STATE_ACTION_VALUE,
        ahead: Iterable[TensorDictModuleBase] = (),
        tells: Sequence[str] = (),
    ) -> None:
        owner = type(self).__name__
        require_fraction(owner, "gamma", gamma)
        judged = [] if value_key != STATE_ACTION_VALUE else actions
        asked = Critics(critics, value_key, judged)
        others = [Along(network) for network in ahead]
        seen = [key for along in others for key in along.reads]
        following = [*[key for along in others for key in along.follows], *asked.follows]
        reads = unique([*actor.in_keys, *actions, *asked.reads, *seen, *following, REWARDED, ENDED])
        writes = ["loss_actor", "loss_qvalue", *tells, TD_ERROR, "q_mean", "target_mean"]
        super().__init__(list(reads), writes, optional_keys=list(_OPTIONAL), inplace=False)
        self.gamma, self.actor = gamma, actor
        self.qvalue_network = critics[0] if len(critics) == 1 else nn.ModuleList(critics)
        self.target_qvalue_network = frozen_copy(owner, self.qvalue_network)
        self._critics = asked
        delayed: Any = self.target_qvalue_network
        self._target_critics = Critics([delayed] if len(critics) == 1 else [*delayed], value_key, judged)
        self._actions, self._acting = tuple(actions), Along(actor)
        self._names: tuple[Key, ...] = (*reads, *_OPTIONAL)  # whatever they are called after a renaming

    @property
    def targets(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Each network that has a target network, and that one."""
        return [(self.qvalue_network, self.target_qvalue_network)]

    @abstractmethod
    def value_ahead(self, held: Held) -> Tensor:
        """What the state after each step is worth, ``[*B, 1]``."""

    def taken_values(self, held: Held) -> Tensor:
        """What each critic says of the actions taken, ``[*B, N]``."""
        return self._critics.values(held).squeeze(-1)

    def qvalue_terms(self, *inputs: Any) -> QValueTerms:
        """The critics' loss: Σᵢ mean (qᵢ(sₜ, aₜ) - rₜ - γ (1 - terminatedₜ) vₜ₊₁)²."""
        held = self._held(inputs)
        return self._judged(self.taken_values(held), self._target(held), held)

    def _held(self, inputs: Sequence[Any]) -> dict[Key, Any]:
        """A batch's entries by the names that they had first."""
        return dict(zip(self._names, inputs, strict=True))

    @torch.no_grad()
    def _target(self, held: Held) -> Tensor:
        gamma = self.gamma if held[DISCOUNT] is None else held[DISCOUNT]
        return td0_target(held[REWARDED], self.value_ahead(held), held[ENDED], gamma=gamma)

    def _judged(self, q: Tensor, target: Tensor, held: Held) -> QValueTerms:
        squared, size = value_loss(q, target.expand_as(q)).sum(-1), (q.detach() - target).abs_().mean(-1)
        if held[PRIORITY_WEIGHT] is not None:
            squared = squared * held[PRIORITY_WEIGHT].reshape(squared.shape)
        if held[VALID] is not None:
            size = torch.where(held[VALID].squeeze(-1), size, 0.0)
        q_mean, target_mean = mean(q.detach().mean(-1), held), mean(target.squeeze(-1), held)
        return QValueTerms(mean(squared, held), size, q_mean, target_mean)


def mean(x: Tensor, held: Held) -> Tensor:
    """The mean of one number a step ``[*B]``, over what is a step."""
    return masked_mean(x, None if held[VALID] is None else held[VALID].squeeze(-1))


_OPTIONAL: tuple[Key, ...] = (DISCOUNT, PRIORITY_WEIGHT, VALID)
