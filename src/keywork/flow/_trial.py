"""One run of a copy of a module, without gradients, which leaves all random state as it was."""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

from keywork._keys import Key
from keywork.flow._domain import points_drawn, supports_drawn
from keywork.nn import ExplorationType, TensorDictModule, TensorDictModuleBase, set_exploration_type

# Whatever a module of anybody's may raise where it meets tensors without values, or zeros.
CANNOT_RUN = (
    *(RuntimeError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError),
    NotImplementedError,
)

_REPORTS = logging.getLogger("torch._subclasses.fake_tensor")


class Blank(NamedTuple):
    """A tensor to be: all but its values."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def empty(self) -> Tensor:
        """The tensor with any values."""
        return torch.empty(self.shape, dtype=self.dtype, device=self.device)

    def zeros(self) -> Tensor:
        """The tensor with zeros."""
        return torch.zeros(self.shape, dtype=self.dtype, device=self.device)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave: the outputs, of those that were drawn from a distribution its support, and which are points."""

    outputs: dict[Key, Tensor]
    supports: dict[Key, Any]
    points: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run failed.

    Attributes:
        error: what was raised.
        batch: the batch dimensions of the inputs.
        inputs: what the module was given.
        layer: the innermost network that was running, and what it was called with; None and nothing if it was none.
    """

    error: Exception
    batch: tuple[int, ...]
    inputs: dict[Key, Tensor]
    layer: nn.Module | None = None
    arguments: tuple[Any, ...] = ()


def run_on_fakes(module: Any, inputs: Mapping[Key, Blank], batch: tuple[int, ...]) -> tuple[Outcome, bool]:
    """On tensors that have a shape and no values; also whether types met that need not go together.

    Many operations do not look at types where there are no values, so that only a run on values shows what becomes
    of these.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with FakeCopyMode(mode):
        trial = copy.deepcopy(module, _own_generators(module))
    watched = _watched(trial) if _mixes_types(module, inputs) else None
    with kept_randomness(), _quiet(), mode:
        outcome = _outcome(trial, {key: blank.empty() for key, blank in inputs.items()}, batch)
    # A function has no layers that could be watched.
    return outcome, watched is not None and (any(watched) or (not watched and type(module) is TensorDictModule))


def run_on(module: Any, inputs: Mapping[Key, Tensor], batch: tuple[int, ...]) -> Outcome | Failure:
    """On tensors that have values; a failure says where in the module it was."""
    running: list[tuple[nn.Module, tuple[Any, ...]]] = []
    trial = copy.deepcopy(module, _own_generators(module))
    for part in trial.modules():
        if not isinstance(part, TensorDictModuleBase):  # those call each other without hooks, or lose that by them
            part.register_forward_pre_hook(lambda *call: running.append(call), prepend=True)
            part.register_forward_hook(lambda *call: running.pop() and None)
    with kept_randomness():
        torch.manual_seed(0)
        try:
            return _outcome(trial, dict(inputs), batch)
        except CANNOT_RUN as error:
            layer, arguments = running[-1] if running else (None, ())
            return Failure(error, batch, dict(inputs), layer, arguments)


def device_of(module: Any) -> torch.device:
    """Where a module computes: where its parameters are."""
    for tensor in (*module.parameters(), *module.buffers()):
        return torch.device(tensor.device)
    return torch.device("cpu")


def _own_generators(module: nn.Module) -> dict[int, Any]:
    """For ``deepcopy``: a generator of the copy for each of the module's, which deepcopy cannot copy on fakes."""
    held = [value for part in module.modules() for value in vars(part).values()]
    return {id(value): value.clone_state() for value in held if isinstance(value, torch.Generator)}


def _outcome(module: Any, inputs: dict[Key, Tensor], batch: tuple[int, ...]) -> Outcome:
    supports, points = dict[Key, Any](), frozenset[Key]()
    with torch.no_grad(), set_exploration_type(ExplorationType.RANDOM):
        if isinstance(module, TensorDictModuleBase) and not module.opaque:
            values = [inputs.get(key) for key in module.in_keys]
            outputs = dict(zip(module.out_keys, module.run(*values), strict=True))
            dist_of: Any = getattr(module, "dist_of", None)
            if dist_of is not None:
                dist = dist_of(*values)
                supports, points = supports_drawn(dist, module, outputs), points_drawn(dist, module)
        else:
            td: Any = module(TensorDict(inputs, batch_size=batch))
            outputs = {key: td.get(key, None) for key in module.out_keys}
    return Outcome({key: value for key, value in outputs.items() if isinstance(value, Tensor)}, supports, points)


def _mixes_types(module: Any, inputs: Mapping[Key, Blank]) -> bool:
    own = {p.dtype for p in module.parameters() if p.is_floating_point()} or {torch.get_default_dtype()}
    return len(own) > 1 or any(blank.dtype not in own for blank in inputs.values())


def _watched(trial: nn.Module) -> list[bool]:
    """Fills with one entry for each call of a layer: whether its input is of another type than it computes in."""
    calls: list[bool] = []

    def note(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        own = {p.dtype for p in layer.parameters(recurse=False)} or {torch.get_default_dtype()}
        calls.append(any(isinstance(value, Tensor) and value.dtype not in own for value in arguments))

    for part in trial.modules():
        if not isinstance(part, TensorDictModuleBase) and not any(part.children()):
            part.register_forward_pre_hook(note)
    return calls


@contextmanager
def kept_randomness() -> Iterator[None]:
    """Leave the random generators of torch, numpy and Python as they are."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    numbers, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(numbers)
            np.random.set_state(arrays)


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch reports a failure on tensors without values as its own; here it may be the pipeline's, or mean nothing."""
    before, _REPORTS.disabled = _REPORTS.disabled, True
    try:
        yield
    finally:
        _REPORTS.disabled = before
