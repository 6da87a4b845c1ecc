"""From the batches that a buffer is given to the values of its rows: quick where all is as before, strict always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from tensordict import is_leaf_nontensor
from torch import Tensor

from keywork._errors import MissingKeyError, SpecError, refusal, shape_of
from keywork._keys import Key, is_parent, listed, meant, path_of, unique
from keywork.buffers._layout import Layout


class Reader:
    """Takes the entries of one layout out of TensorDicts, time first.

    Args:
        layout: the entries.
        keys: what is kept; None for everything, and then an entry that was not there before is an error.
    """

    def __init__(self, layout: Layout, keys: Sequence[Key] | None) -> None:
        self._layout, self._fields, self._strict = layout, layout.fields, keys is None
        self._dtypes = [field.dtype for field in self._fields]
        self._lead: Any = None  # the batch size for which these are the shapes
        self._shapes: list[torch.Size] = []
        paths = [path_of(field.key) for field in self._fields]
        groups = unique(path[:end] for path in paths for end in range(1, len(path)))
        # For each group: its path, how many entries it has, and where its leaves go.
        self._groups: list[tuple[Any, int, list[tuple[str, int]]]] = []
        for group in ((), *[path_of(group) for group in groups]):
            own = [(path[-1], number) for number, path in enumerate(paths) if path[:-1] == group]
            inner = sum(len(path_of(other)) == len(group) + 1 and path_of(other)[:-1] == group for other in groups)
            self._groups.append((group, len(own) + inner, own))

    def read(self, td: Any) -> list[Tensor]:
        """The values in the order of the layout's fields, ``[*td.batch_size, *shape]``.

        Raises:
            MissingKeyError: an entry is not there.
            SpecError: an entry was not there before, or has another shape or dtype than before.
        """
        if td.batch_size != self._lead:
            self._lead, self._shapes = td.batch_size, [td.batch_size + field.shape for field in self._fields]
        values: list[Any] = [None] * len(self._fields)
        dtypes, shapes = self._dtypes, self._shapes
        try:
            for group, count, own in self._groups:
                entries = dict((td[group] if group else td).items())
                if self._strict and len(entries) != count:
                    self._refuse_extra(td)
                for name, number in own:
                    value = entries[name]
                    if (
                        not isinstance(value, Tensor)
                        or value.dtype is not dtypes[number]
                        or value.shape != shapes[number]
                    ):
                        self._refuse(value, number)
                    values[number] = value
        except KeyError as error:
            if isinstance(error, MissingKeyError):
                raise
            raise self._missing(td) from error
        return values

    def _refuse(self, value: Any, number: int) -> NoReturn:
        field = self._fields[number]
        raise refusal(
            SpecError,
            f"ReplayBuffer.extend cannot store {field.key!r}: it is not what it was when the buffer was allocated.",
            where=repr(field.key),
            expected=f"{str(field.dtype).removeprefix('torch.')}{[*self._shapes[number]]}",
            got=shape_of(value),
            fix=f"store what fits, or begin a new ReplayBuffer for entries of {shape_of(value)}",
        )

    def _refuse_extra(self, td: Any) -> None:
        held = leaves(td)
        extra = [key for key in held if key not in self._layout.keys]
        if extra:
            raise refusal(
                SpecError,
                f"ReplayBuffer.extend cannot store {extra[0]!r}: its rows have no place for it.",
                where=repr(extra[0]),
                expected=listed(self._layout.keys),
                got=listed(held),
                fix=f"del td[{extra[0]!r}], or ReplayBuffer(..., keys=[...]) to say once what is kept",
            )

    def _missing(self, td: Any) -> MissingKeyError:
        return missing(self._layout.keys, leaves(td))


def leaves(td: Any) -> list[Key]:
    """All keys of a TensorDict that are no groups, those of what is no tensor too."""
    return list(td.keys(include_nested=True, leaves_only=True, is_leaf=is_leaf_nontensor))


def kept(td: Any, keys: Sequence[Key] | None) -> list[Key]:
    """Which entries of a TensorDict a buffer of these ``keys`` stores; a group stands for all that is in it.

    Raises:
        MissingKeyError: there is no such entry.
    """
    held = leaves(td)
    if keys is None:
        return held
    absent = [key for key in keys if not any(key == other or is_parent(key, other) for other in held)]
    if absent:
        raise missing(absent, held)
    return [key for key in held if any(key == other or is_parent(other, key) for other in keys)]


def missing(keys: Sequence[Key], held: Sequence[Key]) -> MissingKeyError:
    """The error of a batch that lacks one of these keys."""
    key = next((key for key in keys if key not in held), keys[0])
    return MissingKeyError(
        f"ReplayBuffer.extend cannot store {key!r}, which the TensorDict does not hold.\n"
        f"   the TensorDict holds: {listed(held)}\n"
        f"   {meant(key, held)}Every batch has the same entries: store it, or leave it out of keys=[...]."
    )
