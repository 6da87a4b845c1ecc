"""What the distributions over n choices have in common, whatever form a choice is given in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from keywork._errors import SpecError

from ._base import HALF, NO_SHAPE, ActionDistribution, require
from ._constraints import real
from ._logits import require_floating
from ._noise import gumbel_argmax

_TINY = torch.finfo(torch.float32).tiny
_LEAST = torch.finfo(torch.float32).min


class DiscreteDistribution(ActionDistribution):
    """pₖ = softmax(logits)ₖ for k < n; abstract in the form of a value.

    A subclass says how an index becomes a value (``_encode``), how a value becomes an index (``_decode``), and what the
    shape of an event is. The log-probabilities are computed when they are first asked for, and once.
    """

    arg_constraints = {"logits": real(1)}  # noqa: RUF012
    has_enumerate_support = True
    _event_dims = 0

    def __init__(
        self, logits: Tensor | None = None, probs: Tensor | None = None, *, validate_args: bool | None = None
    ) -> None:
        given = logits if probs is None else probs
        if given is None or (logits is not None and probs is not None) or given.ndim < 1:
            raise SpecError(self._argument_message(logits, probs))
        if given is logits:
            require_floating(type(self).__name__, "logits", given)
        if given.dtype in HALF:
            given = given.float()
        # A probability below the smallest normal number counts as that one: its logarithm has a gradient, -inf none.
        self._scores = given if probs is None else given.clamp_min(_TINY).log()
        self._log_p: Tensor | None = None
        shape = given.shape
        super().__init__(shape[:-1], shape[-1:] if self._event_dims else NO_SHAPE, validate_args)

    @property
    def n(self) -> int:
        """The number of choices."""
        return self._scores.shape[-1]

    @property
    def logits(self) -> Tensor:
        """Normalised log-probabilities ``[*B, n]``."""
        log_p = self._log_p
        # What was computed without a graph must not be handed to a caller who needs the gradient.
        if log_p is None or (self._scores.requires_grad and not log_p.requires_grad and torch.is_grad_enabled()):
            log_p = self._log_p = torch.log_softmax(self._scores, -1)
        return log_p

    @property
    def probs(self) -> Tensor:
        """Probabilities ``[*B, n]``; the expectation of the one-hot value."""
        return self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """The likeliest choice; of tied ones a single one."""
        return self._encode(self._scores.argmax(-1))

    @property
    def mean(self) -> Tensor:
        """The mode: the average of choices is no choice, and MEAN exploration has to act. See ``probs``."""
        return self.mode

    @property
    def deterministic_sample(self) -> Tensor:
        """The mode."""
        return self.mode

    def sample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw choices of shape ``[*sample_shape, *batch, *event]``, int64."""
        return self._encode(gumbel_argmax(self._scores.detach(), sample_shape, generator))

    def sample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw choices and score them by their indices."""
        index = gumbel_argmax(self._scores.detach(), sample_shape, generator)
        return self._encode(index), self._score(index)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p of a value ``[..., *batch, *event]``, of shape ``[..., *batch]``."""
        return self._score(self._decode(self._checked(value)))

    def entropy(self) -> Tensor:
        """−Σₖ pₖ log pₖ, of shape ``[*batch]``; a choice of probability zero adds nothing, to the gradient neither."""
        log_p = self.logits
        # threshold() keeps 0 · (−inf) finite as a clamp would, and its backward is one operation instead of four.
        return (log_p.exp() * torch.threshold(log_p, _LEAST, _LEAST)).sum(-1).neg()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All n values on dimension 0: ``[n, *batch, *event]``, or with batch dimensions of one."""
        values = self._encode(torch.arange(self.n, device=self._scores.device))
        values = values.view(-1, *[1] * len(self.batch_shape), *self.event_shape)
        return values.expand(-1, *self.batch_shape, *self.event_shape) if expand else values

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """The same distribution over a larger batch; no memory is copied."""
        scores = self._scores.expand(*batch_shape, -1)
        return type(self)(logits=scores, validate_args=self._validate_args)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n={self.n}, batch_shape={list(self.batch_shape)})"

    def _encode(self, index: Tensor) -> Tensor:
        raise NotImplementedError

    def _decode(self, value: Tensor) -> Tensor:
        raise NotImplementedError

    def _score(self, index: Tensor) -> Tensor:
        log_p = self.logits
        if index.ndim >= log_p.ndim:
            log_p = log_p.expand(*index.shape, -1)
        return log_p.gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def _check_parameters(self) -> None:
        # NaN, +inf, and a row of nothing but -inf all show in the maximum.
        top = self._scores.amax(-1)
        require(top.isfinite(), self, "the highest logit of a row", top, "at least one finite logit, no NaN, no +inf")

    def _argument_message(self, logits: Tensor | None, probs: Tensor | None) -> str:
        name = type(self).__name__
        if (logits is None) == (probs is None):
            what = "neither" if logits is None else "both"
            return f"{name} cannot be built: it takes either logits or probs, and got {what}. Pass {name}(logits=...)."
        return (
            f"{name} cannot be built: its logits or probs have no dimension, and the last one must be the number of "
            "choices. Pass a tensor of shape [*batch, n]."
        )
