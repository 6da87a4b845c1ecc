"""A module under test with what is fed to it, and how it is called."""

from __future__ import annotations

from typing import Any, Protocol

from tensordict import TensorDict, is_tensor_collection
from torch import Tensor

from keywork._errors import UsageError
from keywork._keys import as_key, listed
from keywork.nn import TensorDictModuleBase, set_exploration_type
from keywork.testing._expect import leaves, skip

QUIET = ("deterministic", "mode", "mean")
"""The exploration types without noise."""


class Subject(Protocol):
    """What the checks ask of a conformance class; see ``KeyModuleConformance``."""

    noisy: bool
    batch_dims: int

    def make(self) -> Any:
        """A new module."""

    def inputs(self) -> Any:
        """What it reads."""


def entries_of(subject: Subject) -> TensorDict:
    """What the subject's module is fed, as a TensorDict of its own."""
    given = subject.inputs()
    if is_tensor_collection(given):
        return given.clone()  # type: ignore[no-any-return]
    named = {as_key(key): value for key, value in given.items()}
    first = next(iter(named.values()), None)
    if not isinstance(first, Tensor) or first.ndim < subject.batch_dims:
        raise UsageError(
            f"{type(subject).__name__}.inputs() gives no batch: batch_dims is {subject.batch_dims}, and the first "
            f"entry of {listed(named)} has fewer.\n   Return {{key: tensor}} of a batch, or a TensorDict."
        )
    return TensorDict(named, batch_size=first.shape[: subject.batch_dims])


def call(module: TensorDictModuleBase, td: TensorDict, kind: str | None = "deterministic") -> tuple[Any, ...]:
    """The outputs of a call on a copy of ``td``, in the order of the out_keys; ``kind`` None sets no type."""
    return written(module, answer(module, td.copy(), kind))


def answer(module: TensorDictModuleBase, td: TensorDict, kind: str | None) -> Any:
    """What a call on ``td`` itself returns."""
    if kind is None:
        return module(td)
    with set_exploration_type(kind):
        return module(td)


def written(module: TensorDictModuleBase, td: Any) -> tuple[Any, ...]:
    """The entries of the out_keys, in order."""
    return tuple(td[key] for key in module.out_keys)


def detached(outputs: Any) -> tuple[Tensor, ...]:
    """Every tensor of some outputs, without its graph."""
    return tuple(leaf.detach() for output in outputs for leaf in leaves(output))


def tensors_of(module: TensorDictModuleBase, td: TensorDict) -> list[Any]:
    """What ``compute`` takes, or the check is skipped: a module without it runs on TensorDicts only."""
    if type(module).compute is TensorDictModuleBase.compute:
        skip(f"{module.label} has no compute(): it is called on TensorDicts only")
    return module.read(td)
