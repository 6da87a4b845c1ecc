"""Specs, to TorchRL's and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from keywork._errors import SpecError
from keywork.interop._torchrl import torchrl
from keywork.specs import (
    Bounded,
    Categorical,
    Composite,
    MultiBinary,
    MultiDiscrete,
    OneHot,
    Spec,
    SpecLike,
    Unbounded,
    as_spec,
)


def spec_to_torchrl(spec: SpecLike) -> Any:
    """The TorchRL spec of the same tensors: same shape, dtype, device, bounds and choices.

    ==============  ==================================================
    here            there
    ==============  ==================================================
    Bounded         ``Bounded``
    Unbounded       ``Unbounded``
    Categorical     ``Categorical``
    OneHot          ``OneHot`` (with the dtype that it has here)
    MultiDiscrete   ``MultiCategorical`` (without dimensions ``Categorical``)
    MultiBinary     ``Binary``
    Composite       ``Composite`` without batch dimensions
    ==============  ==================================================

    What an environment calls its first choice (``start``) says nothing about tensors, and there is no word for it
    there; nor is there for a Composite that was made of a tuple.

    Args:
        spec: a spec, or what is accepted in place of one.

    Raises:
        MissingExtraError: TorchRL is not installed.
        SpecError: it is neither a spec nor a space.
    """
    ours, data = as_spec(spec), torchrl("data", "spec_to_torchrl")
    if isinstance(ours, Composite):
        return data.Composite({name: spec_to_torchrl(ours[name]) for name in _names(ours)})
    where = {"shape": ours.shape, "dtype": ours.dtype, "device": ours.device}
    if isinstance(ours, Bounded):
        return data.Bounded(low=ours.low.clone(), high=ours.high.clone(), **where)
    if isinstance(ours, MultiDiscrete):
        return data.MultiCategorical(ours.nvec.clone(), **where) if ours.shape else _one_choice(ours, data, where)
    if isinstance(ours, Categorical | OneHot):
        return getattr(data, type(ours).__name__)(ours.n, **where)
    return (data.Binary if isinstance(ours, MultiBinary) else data.Unbounded)(**where)


def _names(spec: Composite) -> list[str]:
    """The entries of a Composite itself, in order."""
    return list(dict.fromkeys(key if isinstance(key, str) else key[0] for key in spec))


def _one_choice(spec: MultiDiscrete, data: Any, where: dict[str, Any]) -> Any:
    return data.Categorical(int(spec.nvec), **where)


def spec_from_torchrl(spec: Any, batch_dims: int | None = None) -> Spec:
    """The keywork spec of the same tensors: the inverse of :func:`spec_to_torchrl`.

    A spec of TorchRL has the batch dimensions of its environment, and here specs have none: they are taken off.

    * A ``Binary`` becomes MultiBinary, and so does a ``Categorical`` of dtype bool (which ``done`` is).
    * An ``Unbounded`` of dtype uint8 becomes Bounded by 0 and 255.
    * Entries of a ``Composite`` that are None are left out.

    Args:
        spec: a spec of TorchRL.
        batch_dims: how many leading dimensions are the batch's. If left out, those of a ``Composite``'s own ``shape``,
            and none for the spec of one tensor: pass ``env.action_spec_unbatched``, or else
            ``batch_dims=len(env.batch_size)``.

    Raises:
        MissingExtraError: TorchRL is not installed.
        SpecError: there is no such spec here (``NonTensor``, ``MultiOneHot``, ``Choice``, a spec with a mask), or it is
            not the same throughout the batch.
    """
    data = torchrl("data", "spec_from_torchrl")
    if not isinstance(spec, data.TensorSpec):
        raise _refused("it is no spec of TorchRL", spec, "env.action_spec of an environment of TorchRL")
    if batch_dims is None:
        batch_dims = spec.ndim if isinstance(spec, data.Composite) else 0
    if isinstance(spec, data.Composite):
        entries = {name: entry for name, entry in spec.items() if entry is not None}
        return Composite({name: spec_from_torchrl(entry, batch_dims) for name, entry in entries.items()})
    kind = _kind(spec, data)
    if kind not in _KINDS:
        raise _refused("there is no such spec here", spec, f"one of the kinds {', '.join(_KINDS)} and Composite")
    if getattr(spec, "mask", None) is not None:
        raise _refused("it has a mask", spec, "the spec without it; masks are entries: action_mask_key=")
    if not 0 <= batch_dims <= spec.ndim:
        raise _refused(f"it has {spec.ndim} dimensions, less than {batch_dims=}", spec, "as many as the batch has")
    return _KINDS[kind](spec, batch_dims)


def _kind(spec: Any, data: Any) -> str:
    # The subclasses first, of which a MultiOneHot is a OneHot and a Binary a Categorical.
    kinds = ("MultiOneHot", "Binary", "MultiCategorical", "OneHot", "Categorical", "Unbounded", "Bounded")
    return next((kind for kind in kinds if isinstance(spec, getattr(data, kind))), "")


def _bounded(spec: Any, batch_dims: int) -> Spec:
    low, high = (_row(bound, spec, batch_dims) for bound in (spec.space.low, spec.space.high))
    return Bounded(low, high, **_where(spec, batch_dims))


def _unbounded(spec: Any, batch_dims: int) -> Spec:
    if spec.dtype is torch.bool:
        return _binary(spec, batch_dims)
    if spec.dtype is torch.uint8:
        return Bounded(0, 255, **_where(spec, batch_dims))
    return Unbounded(**_where(spec, batch_dims))


def _binary(spec: Any, batch_dims: int) -> Spec:
    return MultiBinary(tuple(spec.shape[batch_dims:]), spec.dtype, spec.device)


def _categorical(spec: Any, batch_dims: int) -> Spec:
    if spec.dtype is torch.bool:
        return _binary(spec, batch_dims)
    return Categorical(spec.space.n, **_where(spec, batch_dims))


def _one_hot(spec: Any, batch_dims: int) -> Spec:
    if spec.ndim - batch_dims != 1:
        raise _refused("it is of several vectors", spec, "the spec of one, or batch_dims= for those of the batch")
    return OneHot(spec.space.n, spec.dtype, spec.device)


def _multi_discrete(spec: Any, batch_dims: int) -> Spec:
    return MultiDiscrete(_row(spec.nvec, spec, batch_dims), spec.dtype, spec.device)


def _where(spec: Any, batch_dims: int) -> dict[str, Any]:
    return {"shape": tuple(spec.shape[batch_dims:]), "dtype": spec.dtype, "device": spec.device}


def _row(numbers: torch.Tensor, spec: Any, batch_dims: int) -> torch.Tensor:
    """The numbers of one element of the batch, all of which have the same ones."""
    if 0 in numbers.shape[:batch_dims]:
        raise _refused("its batch is empty", spec, "the spec of an environment with rows")
    row = numbers[(0,) * batch_dims]
    if not bool((numbers == row).all()):
        raise _refused("it is not the same throughout the batch", spec, "spec[0], if its first row will do")
    return row


_KINDS: dict[str, Callable[[Any, int], Spec]] = {
    "Binary": _binary,
    "Bounded": _bounded,
    "Categorical": _categorical,
    "MultiCategorical": _multi_discrete,
    "OneHot": _one_hot,
    "Unbounded": _unbounded,
}


def _refused(problem: str, spec: Any, fix: str) -> SpecError:
    text = " ".join(repr(spec).split())
    got = text if len(text) <= 200 else f"{text[:200]} ..."
    return SpecError(f"spec_from_torchrl cannot convert this: {problem}.\n  got: {got}\n  fix: pass {fix}")
