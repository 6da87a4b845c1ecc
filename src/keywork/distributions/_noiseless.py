"""What the exploration types that are free of noise take from a distribution."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ._base import ActionDistribution


def noiseless(dist: Any, kind: str) -> Tensor:
    """The ``"mode"``, ``"mean"`` or ``"deterministic"`` value of a distribution of this package or of torch.

    Raises:
        NotImplementedError: one of torch's has neither a mode nor a mean.

    >>> noiseless(torch.distributions.Normal(torch.zeros(()), torch.ones(())), "deterministic")
    tensor(0.)
    """
    if kind == "deterministic" and hasattr(type(dist), "deterministic_sample"):
        return cast(Tensor, dist.deterministic_sample)
    if isinstance(dist, ActionDistribution):
        return cast(Tensor, getattr(dist, kind))
    return _of_torch(dist, kind)


def _of_torch(dist: Any, kind: str) -> Tensor:
    discrete = dist.support.is_discrete
    found: list[Tensor] = []
    for name in ("mean", "mode") if kind == "mean" and not discrete else ("mode", "mean"):
        try:
            found.append(getattr(dist, name))
        except NotImplementedError:
            continue
    if not found:
        problem = f"{type(dist).__name__} has neither a mode nor a mean for the exploration type {str(kind)!r}"
        raise NotImplementedError(f"{problem}: choose 'random', or a distribution that defines one.")
    value, other = found[0], found[-1]
    if not value.is_floating_point():
        return value
    # Torch's mode of a uniform distribution or of an even coin is NaN, and so is the mean of a Cauchy distribution.
    return torch.where(value.isnan(), other.round() if discrete else other, value)
