"""What the distributions over several independent choices have in common."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Size, Tensor

from ._base import NO_SHAPE, ActionDistribution, require
from ._index_choice import IndexChoice
from ._location_scale import sum_event


class SeveralChoices(ActionDistribution):
    """p(a) = Πᵢ softmax(logitsᵢ)[aᵢ]: independent choices, one for each place of the event; abstract.

    Args:
        each: the choices by themselves, of batch shape ``[*B, *event]``.
        event_dims: how many of these dimensions are one action.
        validate_args: True checks values.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, each: IndexChoice, event_dims: int, validate_args: bool | None) -> None:
        shape = each.batch_shape
        cut = len(shape) - event_dims
        self._each, self._axes = each, tuple(range(-event_dims, 0))
        super().__init__(shape[:cut], shape[cut:] if event_dims else NO_SHAPE, validate_args)

    @property
    def mode(self) -> Tensor:
        """The likeliest action: the likeliest of each choice; of tied ones a single one."""
        return self._each.mode

    @property
    def mean(self) -> Tensor:
        """The mode: the average of choices is no choice, and MEAN exploration has to act."""
        return self.mode

    @property
    def deterministic_sample(self) -> Tensor:
        """The mode."""
        return self.mode

    def sample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw actions of shape ``[*sample_shape, *batch, *event]``, int64."""
        return self._each.sample(sample_shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log p of an action ``[..., *batch, *event]``, of shape ``[..., *batch]``: the sum over its choices."""
        return sum_event(self._each.log_prob(self._index_of(self._checked(value))), self._axes)

    def entropy(self) -> Tensor:
        """The sum of the entropies of the choices, of shape ``[*batch]``."""
        return sum_event(self._each.entropy(), self._axes)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """The same distribution over a larger batch; no memory is copied."""
        expanded = copy.copy(self)
        each = self._each.expand(Size(batch_shape) + self.event_shape)
        SeveralChoices.__init__(expanded, each, len(self._axes), self._validate_args)
        return expanded

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={list(self.batch_shape)}, event_shape={list(self.event_shape)})"

    def _index_of(self, value: Tensor) -> Tensor:
        """The indices that an action stands for."""
        return value

    def _check_parameters(self) -> None:
        # NaN, +inf, and a choice of nothing but -inf all show in the maximum.
        top = self._each._scores.amax(-1)
        require(top.isfinite(), self, "the highest logit of a choice", top, "at least one finite, no NaN, no +inf")
