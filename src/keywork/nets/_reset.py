"""Initialising a network anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from ._orthogonal import orthogonal_

Init = Literal["torch", "orthogonal"]


@dataclass(frozen=True, slots=True)
class Weights:
    """How a network's weights begin: as each layer draws them itself, or orthogonal with these gains."""

    init: Init
    gain: float
    last_gain: float

    def draw(self, network: nn.Module) -> None:
        """Draw what the layers have not drawn themselves when they were built."""
        if self.init == "orthogonal":
            orthogonal_(network, self.gain, self.last_gain)

    def reset(self, network: nn.Module) -> None:
        """Draw everything anew, as at construction; a lazy layer without a size stays so."""
        for child in network.children():
            reset_parts(child)
        self.draw(network)


def reset_parts(module: nn.Module) -> None:
    """Let a module initialise itself; or its parts, where it does not know how to."""
    reset: Callable[[], Any] | None = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for child in module.children():
        reset_parts(child)
