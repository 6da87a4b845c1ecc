"""Independent coins: zeros and ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from keywork._errors import SpecError

from ._base import HALF, NO_SHAPE, require
from ._categorical import Categorical
from ._constraints import Constraint, flags
from ._location_scale import event_split
from ._logits import require_floating
from ._several_choices import SeveralChoices


class Bernoulli(SeveralChoices):
    """p(a) = Πᵢ pᵢ^aᵢ (1 - pᵢ)^(1 - aᵢ), pᵢ = σ(logitᵢ); a is zeros and ones, int8: the actions of a MultiBinary space.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are one where p is above a half. (The expectation, ``probs``, is no
    action.) Log-probabilities and entropies are summed over the event. There is no reparameterised sample: learn from
    ``log_prob``, which takes zeros and ones of any type.

    Args:
        logits: log p - log(1 - p), finite, ``[*batch, *event]``.
        probs: instead of logits, p.
        event_dims: how many of the last dimensions make one action; None is one, or zero for a scalar.
        validate_args: True checks the values of the parameters and of scored actions; this waits for the device.

    Raises:
        SpecError: both or neither of logits and probs, or fewer dimensions than ``event_dims``.

    >>> dist = Bernoulli(probs=torch.tensor([0.25, 0.75]))
    >>> dist.mode, dist.log_prob(dist.mode).exp()  # 0.75 · 0.75
    (tensor([0, 1], dtype=torch.int8), tensor(0.5625))
    """

    def __init__(
        self,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        *,
        event_dims: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if logits is not None and probs is None:
            require_floating("Bernoulli", "logits", logits)
            each = Categorical(torch.stack([torch.zeros_like(logits), logits], -1))
            shape = logits.shape
        elif probs is not None and logits is None:
            if validate_args:
                require((probs >= 0.0) & (probs <= 1.0), self, "probs", probs, "0 <= probs <= 1")
            p = probs.float() if probs.dtype in HALF else probs
            each = Categorical(probs=torch.stack([1.0 - p, p], -1))
            shape = probs.shape
        else:
            what = "neither" if logits is None else "both"
            raise SpecError(
                f"Bernoulli cannot be built: it takes either logits or probs, and got {what}. Pass "
                "Bernoulli(logits=...)."
            )
        super().__init__(each, len(event_split("Bernoulli", shape, event_dims)[2]), validate_args)

    @property
    def probs(self) -> Tensor:
        """The probability of a one, ``[*batch, *event]``; also the expectation."""
        return self._each.probs[..., 1]

    @property
    def logits(self) -> Tensor:
        """log p - log(1 - p), ``[*batch, *event]``."""
        scores = self._each._scores
        return scores[..., 1] - scores[..., 0]

    @property
    def variance(self) -> Tensor:
        """p (1 - p), of each element."""
        p = self.probs
        return p * (1.0 - p)

    @property
    def support(self) -> Constraint:
        """Zeros and ones."""
        return flags(len(self._axes))

    @property
    def mode(self) -> Tensor:
        """One where p is above a half."""
        return self._each.mode.to(torch.int8)

    def sample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """Throw the coins: ``[*sample_shape, *batch, *event]``, int8 as a MultiBinary spec has it."""
        return self._each.sample(sample_shape, generator=generator).to(torch.int8)

    def _index_of(self, value: Tensor) -> Tensor:
        return value.long()
