"""The distribution function of each number of an event, integrated from the density."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_CELLS = 8  # between two draws
_TAIL = 512  # on either side of them
_REACH = 3.0  # how far, in widths of what was drawn


@dataclass(frozen=True)
class Marginal:
    """One number of an event, the others held at the mode; the numbers are taken to be independent.

    Attributes:
        place: which number, of the flattened event.
        event_dims: how many dimensions the event has.
        area: ∫ p up to each point of the grid over max p, ``[points, *batch]``.
        at: which points of the grid are draws, in order.
        log_peak: log max p, ``[*batch]``.
    """

    place: int
    event_dims: int
    area: Tensor
    at: Tensor
    log_peak: Tensor

    def cdf(self) -> Tensor:
        """The distribution function at the sorted draws, ``[draws, *batch]``."""
        return self.area[self.at] / self.area[-1]

    def log_total(self) -> Tensor:
        """log ∫ p, ``[*batch]``."""
        return self.area[-1].log() + self.log_peak

    def part_of(self, value: Tensor) -> Tensor:
        """This number of a value ``[..., *event]``."""
        return _flat(value, self.event_dims)[..., self.place]


def marginals(dist: Any, draws: Tensor) -> Iterator[Marginal]:
    """Each number of the event; ``draws`` is ``[n, *batch, *event]``."""
    dims, mode = len(dist.event_shape), dist.mode
    flat = _flat(draws, dims)
    low, high = _bounds(dist)
    for place in range(flat.shape[-1]):
        grid, at = _grid(flat[..., place].sort(0).values, low[..., place], high[..., place])
        value = _flat(mode, dims).expand(*grid.shape, -1).clone()
        value[..., place] = grid
        log_p = dist.log_prob(value.view(*grid.shape, *dist.event_shape)).nan_to_num(nan=-math.inf)
        log_peak = log_p.amax(0)
        p = (log_p - log_peak).exp()
        cells = 0.5 * (p[1:] + p[:-1]) * (grid[1:] - grid[:-1])
        area = torch.cat([torch.zeros_like(cells[:1]), cells.cumsum(0)])
        yield Marginal(place, dims, area, at, log_peak)


def _grid(draws: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Points from one end of the support (or far beyond the draws) to the other, and which of them are draws."""
    width = draws[-1:] - draws[:1]
    ends = (draws[:1] - _REACH * width).clamp_min(low), (draws[-1:] + _REACH * width).clamp_max(high)
    tail = torch.linspace(0.0, 1.0, _TAIL + 1, dtype=draws.dtype).view(-1, *[1] * (draws.ndim - 1))
    part = torch.arange(_CELLS, dtype=draws.dtype).view(1, -1, *[1] * (draws.ndim - 1)) / _CELLS
    between = draws[:-1, None] + part * (draws[1:, None] - draws[:-1, None])
    below = ends[0] + tail[:-1] * (draws[:1] - ends[0])
    above = draws[-1:] + tail * (ends[1] - draws[-1:])
    return torch.cat([below, between.flatten(0, 1), above]), _TAIL + _CELLS * torch.arange(len(draws))


def _bounds(dist: Any) -> tuple[Tensor, Tensor]:
    """The ends of the support, each ``[*batch, numbers of the event]``."""
    support, shape = dist.support, dist.batch_shape + dist.event_shape
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    ends = (getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf))
    low, high = (torch.as_tensor(end, dtype=torch.float64).expand(shape) for end in ends)
    return _flat(low, len(dist.event_shape)), _flat(high, len(dist.event_shape))


def _flat(value: Tensor, event_dims: int) -> Tensor:
    return value.flatten(value.ndim - event_dims) if event_dims else value.unsqueeze(-1)
