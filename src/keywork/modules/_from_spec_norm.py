"""Observations that are standardised before a network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from keywork._errors import SpecError
from keywork._keys import Key, listed
from keywork.modules._refusal import refusal
from keywork.modules._running_norm import RunningNorm


class Standardised(nn.Module):
    """Of all observations of a network, standardise those that a :class:`RunningNorm` is for, and hand on the others.

    Args:
        norm: may be that of other networks too.
        keys: of the observations, in order.

    Raises:
        SpecError: one that the norm is for is not among them.

    >>> import torch
    >>> from keywork.specs import Unbounded
    >>> norm = RunningNorm({"speed": Unbounded((2,))}, clip=1.0)
    >>> Standardised(norm, ["goal", "speed"])(torch.zeros(1), torch.full((1, 2), 3.0))
    (tensor([0.]), tensor([[1., 1.]]))
    """

    def __init__(self, norm: RunningNorm, keys: Sequence[Key]) -> None:
        super().__init__()
        absent = [key for key in norm.in_keys if key not in keys]
        if absent:
            raise refusal(
                SpecError,
                f"a network cannot be built: its observation_norm is for {listed(absent)}, which it does not read.",
                where="NetworkConfig(observation_norm=...)",
                expected=f"observations among {listed(keys)}",
                got=listed(norm.in_keys),
                fix="a RunningNorm(observation_spec) for each kind of network: what it reads, and no more",
            )
        self.norm = norm
        self._places = [keys.index(key) for key in norm.in_keys]

    def forward(self, *observations: Tensor) -> tuple[Tensor, ...]:
        """The observations, in their order."""
        norm: Any = self._modules["norm"]
        values = list(observations)
        for place, value in zip(self._places, norm.compute(*[values[place] for place in self._places]), strict=True):
            values[place] = value
        return tuple(values)
