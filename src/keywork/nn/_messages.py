"""What a key module says when a call goes wrong: built here, and only once something has gone wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import nn

from keywork._errors import MissingKeyError, OutputError
from keywork._keys import Key, listed, nearest


def describe(module: Any) -> str:
    """A few words for a network or function: ``Linear 4 -> 2``, ``MLP``, ``my_function``."""
    if isinstance(module, nn.Linear):
        return f"{type(module).__name__} {module.in_features} -> {module.out_features}"
    if isinstance(module, nn.Sequential):
        linears = [m for m in module.modules() if isinstance(m, nn.Linear)]
        if linears:
            widths = [linears[0].in_features, *(m.out_features for m in linears)]
            return f"{type(module).__name__} {' -> '.join(map(str, widths))}"
    if isinstance(module, nn.Module):
        return type(module).__name__
    return str(getattr(module, "__name__", type(module).__name__))


def keys_held(td: TensorDictBase) -> list[Key]:
    """All leaf keys of a TensorDict."""
    return list(td.keys(include_nested=True, leaves_only=True))


def missing_key(who: str, key: Key, held: Iterable[Key], place: str = "the TensorDict") -> MissingKeyError:
    """The error of a read that found nothing."""
    held = list(held)
    near = nearest(key, held, cutoff=0.6)
    fix = f"did you mean {near!r}? " if near is not None else ""
    return MissingKeyError(
        f"{who} cannot run: it reads {key!r}, which {place} does not hold.\n"
        f"   {place} holds: {listed(held)}\n"
        f"   {fix}Store the entry under {key!r}, change in_keys, or declare it with optional_keys=[{key!r}]."
    )


def wrong_outputs(who: str, returned: str, out_keys: Sequence[Key], fix: str) -> OutputError:
    """The error of a wrapped module whose outputs are not what its out_keys say."""
    return OutputError(f"{who} cannot store its result: it returned {returned},\n   out_keys: {list(out_keys)}\n   {fix}")


def shape_of(value: Any) -> str:
    """``float32[8, 4]`` for a tensor, the type's name for anything else."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return type(value).__name__


def call_note(who: str, in_keys: Sequence[Key], inputs: Sequence[Any], out_keys: Sequence[Key]) -> str:
    """The note that an exception gains on its way through a module."""
    given = ", ".join(f"{key!r} {shape_of(value)}" for key, value in zip(in_keys, inputs, strict=False))
    return f"in {who}: {given or 'nothing'} -> {listed(out_keys)}"
