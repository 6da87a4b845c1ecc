"""What every way to run the environments has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from keywork.envs._buffers import Buffers
from keywork.envs._layout import Layout
from keywork.envs._rows import EnvFactory, EnvRows


class Backend(ABC):
    """Runs ``num_envs`` environments and leaves what happened in its buffers.

    Everything raises :class:`EnvFault` where an environment misbehaves; after that only :meth:`reset` (unless it is
    refused) and :meth:`close` make sense.

    Attributes:
        num_envs: how many environments there are.
        layout: how their observations are laid out.
        buffers: what the last call left behind; written again by the next.
        fresh: whether the arrays of ``buffers.next`` are new with every step instead: nobody need copy them.
        action_space: a single environment's action space.
        masks: whether :meth:`step` may return a mask.
    """

    num_envs: int
    layout: Layout
    buffers: Buffers
    action_space: gymnasium.Space[Any]
    masks = False
    fresh = False

    @abstractmethod
    def reset(self, seeds: Sequence[int] | None) -> None:
        """Begin an episode everywhere; the first observations are in ``buffers.first``."""

    @abstractmethod
    def step(self, actions: np.ndarray) -> np.ndarray | None:
        """Step everywhere; where an episode ends, begin a new one. Returns which rows were stepped, if not all."""

    @abstractmethod
    def close(self) -> None:
        """Close all environments and give back everything that was held; at most once."""


class InProcess(Backend):
    """All environments in this process, one after the other."""

    fresh = True

    def __init__(self, factory: EnvFactory, num_envs: int) -> None:
        self._rows = EnvRows(factory, range(num_envs))
        self.num_envs = num_envs
        self.layout = self._rows.layout
        self.action_space = self._rows.action_space
        self.buffers = Buffers.empty(self.layout, num_envs)

    def reset(self, seeds: Sequence[int] | None) -> None:
        """See the base class."""
        self._rows.reset(self.buffers, seeds)

    def step(self, actions: np.ndarray) -> None:
        """See the base class."""
        self.buffers.next = self._rows.step(self.buffers, actions)

    def close(self) -> None:
        """See the base class."""
        self._rows.close()
