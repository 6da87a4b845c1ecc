"""Entries by key, out of whatever holds several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tensordict import is_tensor_collection

from keywork._errors import SpecError, shape_of
from keywork._keys import Key, listed, path_of


def entry_of(holder: Any, key: Key) -> Any:
    """The entry of a TensorDict or of a mapping, nested or with tuples for keys; None if there is none."""
    if is_tensor_collection(holder):
        return holder.get(key, None)
    if isinstance(holder, Mapping) and key in holder:
        return holder[key]
    for name in path_of(key):
        if is_tensor_collection(holder):
            holder = holder.get(name, None)
        else:
            holder = holder.get(name) if isinstance(holder, Mapping) else None
    return holder


def values_of(keys: Sequence[Key], value: Any) -> Sequence[Any]:
    """One value a key, from a TensorDict, a mapping, or a tuple in their order.

    Raises:
        SpecError: it is none of these, has another length, or lacks an entry.
    """
    if isinstance(value, tuple | list):
        if len(value) != len(keys):
            raise _unusable(keys, f"{len(value)} values")
        return value
    if not isinstance(value, Mapping) and not is_tensor_collection(value):
        raise _unusable(keys, shape_of(value))
    found = [entry_of(value, key) for key in keys]
    absent = [key for key, entry in zip(keys, found, strict=True) if entry is None]
    if absent:
        held = listed(value.keys(True, True) if is_tensor_collection(value) else value)
        raise _unusable(keys, f"no {listed(absent)} among {held}")
    return found


def _unusable(keys: Sequence[Key], got: str) -> SpecError:
    return SpecError(
        f"CompositeDistribution cannot take this for a value: it asks for {listed(keys)}, and got {got}. "
        "Pass a TensorDict or a mapping with these keys, or a tuple of tensors in their order."
    )
