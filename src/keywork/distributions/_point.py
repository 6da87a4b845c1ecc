"""All probability on one point, whatever parameter the point is computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor

from ._base import NO_SHAPE, ActionDistribution


class PointDistribution(ActionDistribution):
    """a = point; abstract in what the point is made of.

    A subclass sets its parameter, calls ``super().__init__`` last, and writes ``support`` and ``expand``.

    Args:
        point: the action ``[*batch, *event]``.
        split: the batch shape and the event shape, which make up the point's.
        tolerance: absolute and relative tolerance of ``log_prob``.
        validate_args: True checks the values of the parameter and of scored values.
    """

    has_rsample = True

    def __init__(
        self, point: Tensor, split: tuple[Size, Size], tolerance: tuple[float, float], validate_args: bool | None
    ) -> None:
        self._point = point
        self.atol, self.rtol = tolerance
        super().__init__(*split, validate_args)

    @property
    def mean(self) -> Tensor:
        """The point."""
        return self._point

    @property
    def mode(self) -> Tensor:
        """The point."""
        return self._point

    @property
    def deterministic_sample(self) -> Tensor:
        """The point."""
        return self._point

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self._point)

    def rsample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """The point, expanded to ``[*sample_shape, *batch, *event]``; no randomness is used."""
        return self._point.expand(*sample_shape, *self._point.shape) if sample_shape else self._point

    def sample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """The same, detached."""
        return self.rsample(sample_shape).detach()

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The point, and +inf without a comparison."""
        value = self.rsample(sample_shape)
        batch = (*sample_shape, *self.batch_shape) if sample_shape else self.batch_shape
        return value, torch.full(batch, math.inf, device=value.device)

    def sample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same, detached."""
        value, score = self.rsample_and_log_prob(sample_shape)
        return value.detach(), score

    def log_prob(self, value: Tensor) -> Tensor:
        """+inf or −inf, of shape ``[..., *batch]``, with no gradient."""
        # torch.isclose is the same and has no batching rule for vmap.
        point = self._point.detach()
        near = (self._checked(value) - point).abs() <= self.atol + self.rtol * point.abs()
        near = near.flatten(near.ndim - len(self.event_shape)).all(-1) if self.event_shape else near
        return torch.where(near, math.inf, -math.inf)

    def entropy(self) -> Tensor:
        """−inf, of shape ``[*batch]``."""
        return torch.full(self.batch_shape, -math.inf, dtype=self._point.dtype, device=self._point.device)
