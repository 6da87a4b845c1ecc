"""What a trainer needs of an algorithm."""

from __future__ import annotations

from typing import Any, Protocol

from tensordict import TensorDict

from keywork.collectors import Collector
from keywork.flow import Flow
from keywork.nn import TensorDictModuleBase

Metrics = dict[str, float]


class Algorithm(Protocol):
    """The parts of a training run, put together, and what is done with a batch.

    Attributes:
        name: what the command line calls it.
        config: its settings, a frozen dataclass.
        collector: where its batches come from.
        policy: what acts, and what is evaluated and saved in the end.
        flow: the whole pipeline, checked.
    """

    name: str
    config: Any
    collector: Collector
    policy: TensorDictModuleBase
    flow: Flow

    def update(self, batch: TensorDict, progress: float) -> Metrics:
        """Learn from a batch.

        Args:
            batch: what the collector gave.
            progress: the share of all frames that had been collected before this batch, in [0, 1).

        Returns:
            What to log, by names such as ``"loss/critic"``; nothing if nobody is to be told this time.
        """
        ...
