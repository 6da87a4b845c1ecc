"""A distribution under test, and the tensors that it can be asked for."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from keywork.testing._expect import leaves

NOISE_FREE = ("mode", "mean", "deterministic_sample")


class DistSubject(Protocol):
    """What the checks ask of a conformance class; see ``DistributionConformance``."""

    point: bool
    batch_shape: tuple[int, ...] | None
    event_shape: tuple[int, ...] | None

    def build(self, *params: Any) -> Any:
        """The distribution of some parameters."""

    def params(self) -> tuple[Tensor, ...]:
        """Parameters of a batch."""

    def cdf(self, dist: Any, value: Tensor) -> Tensor | None:
        """The distribution function of each number of a value."""


def of_type(subject: DistSubject, dtype: torch.dtype, *, requires_grad: bool = False) -> list[Tensor]:
    """The parameters in a floating type, as new leaves."""
    cast = [p.detach().clone().to(dtype) if p.is_floating_point() else p for p in subject.params()]
    return [p.requires_grad_() if requires_grad and p.is_floating_point() else p for p in cast]


def built(subject: DistSubject, dtype: torch.dtype = torch.float32) -> Any:
    """The distribution, in a floating type."""
    return subject.build(*of_type(subject, dtype))


def name_of(dist: Any) -> str:
    """How a message calls it."""
    return type(dist).__name__


def noise_free(dist: Any) -> dict[str, Any]:
    """Its actions without noise."""
    return {name: getattr(dist, name) for name in NOISE_FREE}


def everything(dist: Any) -> tuple[Tensor, ...]:
    """Every tensor that it can be asked for."""
    value = dist.sample()
    asked = [value, dist.log_prob(value), dist.entropy(), *dist.sample_and_log_prob(), dist.sample((7,))]
    asked += dist.rsample_and_log_prob((2,)) if dist.has_rsample else ()
    return tuple(leaf for output in (*asked, *noise_free(dist).values()) for leaf in leaves(output))
