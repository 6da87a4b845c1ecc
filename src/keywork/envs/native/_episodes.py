"""The episodes that ended with a step, counted when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import overload

from torch import Tensor

from keywork.envs._transition import EpisodeStats


class EndedEpisodes(Sequence[EpisodeStats]):
    """A list of the ended episodes, which is only made when it is looked at: until then nothing waits for the device.

    Args:
        done: bool ``[N]``.
        returns: of the episodes that have ended or not, ``[N]``.
        lengths: likewise.
        check: called first.
    """

    def __init__(self, done: Tensor, returns: Tensor, lengths: Tensor, check: Callable[[], None]) -> None:
        self._parts, self._check = (done, returns, lengths), check

    @cached_property
    def _episodes(self) -> list[EpisodeStats]:
        self._check()
        done, returns, lengths = self._parts
        ended = done.nonzero().squeeze(-1)
        return list(map(EpisodeStats, ended.tolist(), returns[ended].tolist(), lengths[ended].tolist()))

    def __iter__(self) -> Iterator[EpisodeStats]:
        return iter(self._episodes)

    def __len__(self) -> int:
        return len(self._episodes)

    @overload
    def __getitem__(self, index: int) -> EpisodeStats: ...
    @overload
    def __getitem__(self, index: slice) -> list[EpisodeStats]: ...
    def __getitem__(self, index: int | slice) -> EpisodeStats | list[EpisodeStats]:
        return self._episodes[index]

    def __repr__(self) -> str:
        return repr(self._episodes)
