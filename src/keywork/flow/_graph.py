"""The graph of a pipeline as plain data: its parts, the entries they exchange, and who reads which version of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from keywork._keys import Key, unique

Kind: TypeAlias = Literal[
    "input", "env", "policy", "value", "exploration", "collector", "buffer", "estimator", "loss", "optimiser", "module"
]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a pipeline, as the flow sees it.

    Attributes:
        name: what tables and pictures call it; unique in a flow.
        kind: what it is there for.
        reads: keys that have to be there when it runs.
        writes: keys that are there afterwards.
        optional: keys that it reads if they are there.
        carries: state keys ``k`` whose ``("next", k)`` it writes for its own following step.
        description: a few words more, such as its sizes.
        keeps: what is still there after it, of all that was there before, such as what a buffer stores (a group such
            as ``"next"`` stands for all that is in it); None for everything.
        trains: the parameters that it updates, of an optimiser.
        slices: of a buffer, whether it draws steps that follow one another, ``[B, T]``, or each step alone, ``[B]``;
            None where that is not known.

    >>> Part("Adam", "optimiser", reads=("loss_objective",)).inputs
    ('loss_objective',)
    """

    name: str
    kind: Kind = "module"
    reads: tuple[Key, ...] = ()
    writes: tuple[Key, ...] = ()
    optional: tuple[Key, ...] = ()
    carries: tuple[Key, ...] = ()
    description: str = ""
    keeps: tuple[Key, ...] | None = None
    trains: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    slices: bool | None = None

    @property
    def inputs(self) -> tuple[Key, ...]:
        """Everything that is read if it is there."""
        return unique(self.reads + self.optional)


@dataclass(frozen=True, slots=True)
class Holding:
    """What an entry holds, as far as it is known.

    Attributes:
        shape: without batch dimensions; None where it could not be found out.
        dtype: ``"float32"``; empty where it could not be found out.
        domain: the values it can take, ``"[-1, 1]"``; empty where nothing is known.
        batched: whether there is one such value for every element of the batch, or one for all of it (a loss).
    """

    shape: tuple[int, ...] | None = None
    dtype: str = ""
    domain: str = ""
    batched: bool = True

    @property
    def shape_text(self) -> str:
        """For tables: ``[4]``; ``scalar`` for one number for the whole batch; ``?`` where unknown.

        >>> Holding((3, 84, 84)).shape_text, Holding(()).shape_text, Holding((), batched=False).shape_text
        ('[3, 84, 84]', '[]', 'scalar')
        """
        if self.shape is None:
            return "?"
        if self.batched:
            return str(list(self.shape))
        return f"{list(self.shape)} in all" if self.shape else "scalar"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a flow: what it holds, and the names of the parts that write it and read it, in order."""

    key: Key
    holds: Holding
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """One version of one entry: from the part that writes it to the parts that read it before it is written again."""

    key: Key
    writer: int
    readers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Carry:
    """A back edge: what part ``source`` writes under ``("next", key)`` is ``key`` for part ``target`` a step later."""

    key: Key
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole pipeline.

    Attributes:
        parts: in the order in which they run.
        entries: every key that is written or read, in the order of its first appearance.
        carries: the back edges from one step to the next.
        notes: what could not be found out, and why.
    """

    parts: tuple[Part, ...]
    entries: tuple[Entry, ...] = ()
    carries: tuple[Carry, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Every version of every entry, in the order in which they are written."""
        return streams_of(self.parts)

    @property
    def handed_on(self) -> tuple[Stream, ...]:
        """States of the step before, from the part that takes them up to the parts after it that read them as well."""
        written = {key for part in self.parts for key in part.writes}
        kept = {carry.key: carry.target for carry in self.carries if carry.key not in written}
        later = {
            key: tuple(i for i, part in enumerate(self.parts) if i > first and key in part.inputs)
            for key, first in kept.items()
        }
        return tuple(Stream(key, kept[key], readers) for key, readers in later.items() if readers)


def streams_of(parts: Sequence[Part]) -> tuple[Stream, ...]:
    """Who writes and who reads what: a read belongs to the last write of its key before it.

    A part that reads and writes one key ends one stream and begins the next. Reads of keys that nothing before
    writes belong to no stream.

    >>> net, noise = Part("net", writes=("action",)), Part("noise", reads=("action",), writes=("action",))
    >>> for stream in streams_of([net, noise, Part("env", reads=("action",))]):
    ...     print(stream)
    Stream(key='action', writer=0, readers=(1,))
    Stream(key='action', writer=1, readers=(2,))
    """
    current: dict[Key, int] = {}  # the stream that a key belongs to by now
    keys: list[Key] = []
    writers: list[int] = []
    readers: list[list[int]] = []
    for index, part in enumerate(parts):
        for key in part.inputs:
            if key in current:
                readers[current[key]].append(index)
        for key in part.writes:
            current[key] = len(keys)
            keys.append(key)
            writers.append(index)
            readers.append([])
    return tuple(Stream(k, w, tuple(r)) for k, w, r in zip(keys, writers, readers, strict=True))
