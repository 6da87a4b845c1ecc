"""The entries of a TensorDict under examination, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from keywork._errors import SpecError
from keywork._keys import Key, listed
from keywork.specs._refusal import describe, refusal
from keywork.specs._spec import Spec


def require_data(value: Any, entries: Mapping[str, Spec], name: str) -> TensorDictBase:
    """The value, if it is a TensorDict with at least these entries.

    Raises:
        SpecError: it is not; all that is missing is listed.
    """
    expected = f"a TensorDict with {listed(entries)}"
    if not isinstance(value, TensorDictBase):
        raise refusal(
            f"{name} does not fit its Composite: it is no TensorDict.",
            where=name,
            expected=expected,
            got=describe(value),
            fix="TensorDict(value, batch_size) for tensors, spec.encode(value) for what an environment returned",
        )
    present = value.keys()
    lacking = [entry for entry in entries if entry not in present]
    if not lacking:
        return value
    raise refusal(
        f"{name} does not fit its Composite: it lacks {listed(lacking)}.",
        where=name,
        expected=expected,
        got=f"a TensorDict with {listed(present)}",
        fix="add what is missing, or rename what is meant",
    )


def part_of(data: TensorDictBase, entry: str, spec: Spec, name: str) -> Any:
    """An entry of the TensorDict.

    Raises:
        SpecError: its own dimensions leave no room for the batch dimensions of the TensorDict in front of them.
    """
    part = data.get(entry)
    if not isinstance(part, Tensor) or part.ndim >= data.batch_dims + len(spec.shape):
        return part
    raise refusal(
        f"{name}[{entry!r}] does not fit {spec!r}: it has too few dimensions.",
        where="shape",
        expected=f"{(*data.batch_size, *spec.shape)}: the batch size of the TensorDict, then {tuple(spec.shape)}",
        got=describe(part),
        fix="value.unsqueeze(-1) adds a last dimension",
    )


def require_forms(value: Any, entries: Mapping[str, Spec], is_tuple: bool, name: str) -> Mapping[str, Any]:
    """The environment's forms of just these entries, by name.

    Raises:
        SpecError: the value is no dict, or tuple, of them.
    """
    forms = value
    if is_tuple and isinstance(value, tuple | list):
        forms = {str(number): form for number, form in enumerate(value)}
    if isinstance(forms, Mapping) and forms.keys() == entries.keys():
        return forms
    raise refusal(
        f"{name} cannot be encoded: it does not have the entries of its spec.",
        where=name,
        expected=f"a {'tuple' if is_tuple else 'dict'} of {listed(entries)}",
        got=f"a {type(value).__name__} of {listed(forms)}" if isinstance(forms, Mapping) else describe(value),
        fix="compare what the environment returns with its space: gymnasium.utils.env_checker.check_env(env)",
    )


def common_batch(batches: Mapping[Key, Sequence[int]], name: str) -> torch.Size:
    """The batch dimensions that all entries have in common.

    Raises:
        SpecError: they differ.
    """
    if len(set(batches.values())) <= 1:
        return torch.Size(next(iter(batches.values()), ()))
    raise refusal(
        f"{name} cannot be encoded: its entries have different batch dimensions.",
        where=name,
        expected="the same dimensions in front of each entry's own",
        got=", ".join(f"{tuple(batch)} at {key!r}" for key, batch in batches.items()),
        fix="stack as many values of one entry as of the others",
    )


def overlap(first: Key, second: Key) -> SpecError:
    """The error of two keys that are one, or of which one lies inside the other."""
    return refusal(
        f"Composite cannot be built: {first!r} and {second!r} lie in one another.",
        where=repr(second),
        expected="a key that is an entry, or the parent of entries, and not both",
        got=f"{first!r} before it",
        fix="rename one of the two, or put the one spec into the Composite of the other",
    )
