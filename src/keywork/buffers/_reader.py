"""From the batches that a buffer is given to the values of its rows: quick where all is as before, strict always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from tensordict import TensorDict, is_leaf_nontensor, is_tensor_collection
from torch import Tensor

from keywork._errors import MissingKeyError, SpecError, refusal, shape_of
from keywork._keys import VALID, Key, is_parent, listed, meant, path_of, unique
from keywork.buffers._layout import Field


class Reader:
    """Takes the entries of one layout out of TensorDicts, time first.

    Args:
        fields: the entries.
        strict: whether an entry that is none of them is an error.
        device: where their values go.
    """

    def __init__(self, fields: Sequence[Field], device: torch.device, *, strict: bool) -> None:
        self._fields, self._strict, self._device = fields, strict, device
        self._keys, self._on_cpu = [field.key for field in fields], device.type == "cpu"
        self._dtypes = [field.dtype for field in self._fields]
        self._lead: Any = None  # the batch size for which these are the shapes
        self._shapes: list[torch.Size] = []
        paths = [path_of(field.key) for field in self._fields]
        groups = unique(path[:end] for path in paths for end in range(1, len(path)))
        # For each group: the one that it is in and its name there, how many entries it has, where its leaves go.
        self._groups: list[tuple[int, str, int, list[tuple[str, int]]]] = []
        order = [(), *[path_of(group) for group in groups]]
        for group in order:
            own = [(path[-1], number) for number, path in enumerate(paths) if path[:-1] == group]
            inner = sum(len(other) == len(group) + 1 and other[:-1] == group for other in order)
            above, name = (order.index(group[:-1]), group[-1]) if group else (0, "")
            self._groups.append((above, name, len(own) + inner, own))
        # What says which steps are none cannot come later: those before would count.
        self._watch = path_of(VALID)[0] if not strict and VALID not in self._keys else None

    def read(self, td: Any) -> list[Tensor]:
        """The values in the order of the layout's fields, ``[*td.batch_size, *shape]``.

        Raises:
            MissingKeyError: an entry is not there.
            SpecError: an entry was not there before, or has another shape or dtype than before.
        """
        if td.batch_size != self._lead:
            self._lead, self._shapes = td.batch_size, [td.batch_size + field.shape for field in self._fields]
        values = self._found(td)
        # Comparing lists is twice as quick as comparing their elements one by one.
        if [value.shape for value in values] != self._shapes or [value.dtype for value in values] != self._dtypes:
            for number, value in enumerate(values):
                if value.shape != self._shapes[number] or value.dtype != self._dtypes[number]:
                    self._refuse(value, number)
        if self._on_cpu and not [value for value in values if value.requires_grad or not value.is_cpu]:
            return values
        return [value.detach().to(self._device) for value in values]

    def _found(self, td: Any) -> list[Tensor]:
        """The tensors under the keys, of whatever shape."""
        values: list[Any] = [None] * len(self._fields)
        held: list[dict[str, Any]] = []
        for above, name, count, own in self._groups:
            group: Any = held[above].get(name) if name else td
            if type(group) is TensorDict:
                entries = group._tensordict  # what items() goes through, which takes as long as all that follows here
            elif name and not is_tensor_collection(group):
                raise missing(self._keys, leaves(td))
            else:
                entries = dict(group.items())
            held.append(entries)
            if self._strict and len(entries) != count:
                self._refuse_extra(td)
            for leaf, number in own:
                value = values[number] = entries.get(leaf)
                if not isinstance(value, Tensor):
                    if value is None:
                        raise missing(self._keys, leaves(td))
                    self._refuse(value, number)
        if self._watch is not None and self._watch in held[0] and VALID in leaves(td):
            self._refuse_extra(td)
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
        extra = [key for key in held if key not in self._keys and (self._strict or key == VALID)]
        if extra:
            raise refusal(
                SpecError,
                f"ReplayBuffer.extend cannot store {extra[0]!r}: its rows have no place for it.",
                where=repr(extra[0]),
                expected=listed(self._keys),
                got=listed(held),
                fix=f"del td[{extra[0]!r}], or ReplayBuffer(..., keys=[...]) to say once what is kept",
            )


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
    # Steps that are none must not be drawn, whatever else is kept.
    return [key for key in held if key == VALID or any(key == other or is_parent(other, key) for other in keys)]


def missing(keys: Sequence[Key], held: Sequence[Key]) -> MissingKeyError:
    """The error of a batch that lacks one of these keys."""
    key = next((key for key in keys if key not in held), keys[0])
    return MissingKeyError(
        f"ReplayBuffer.extend cannot store {key!r}, which the TensorDict does not hold.\n"
        f"   the TensorDict holds: {listed(held)}\n"
        f"   {meant(key, held)}Every batch has the same entries: store it, or leave it out of keys=[...]."
    )
