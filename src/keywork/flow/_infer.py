"""What modules write, found out without data: each one runs once on tensors that have a shape but no values.

Where that is impossible (a module looks at values, say), it runs once on zeros. Either way it is a copy that runs,
without gradients, and all random state is afterwards as it was before.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

from keywork._keys import Key
from keywork.flow._carried import carried_specs
from keywork.flow._domain import declared_domain, domains_drawn
from keywork.flow._graph import Holding
from keywork.flow._parts import Step
from keywork.nn import ExplorationType, TensorDictModuleBase, set_exploration_type
from keywork.specs import TensorSpec

BATCH = (2, 3)
"""The batch on which modules run: two dimensions, as collected data has."""

# Whatever a module of anybody's may raise where it meets tensors without values, or zeros.
_CANNOT_RUN = (
    *(RuntimeError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError),
    NotImplementedError,
)


class Inference:
    """What is known of each entry after the steps so far.

    Attributes:
        holdings: what every entry holds.
        notes: what could not be found out, and why.
    """

    def __init__(self) -> None:
        self.holdings: dict[Key, Holding] = {}
        self.notes: list[str] = []
        self._known: dict[Key, Tensor] = {}  # on the meta device: a shape and a type, no values

    def run(self, step: Step) -> None:
        """Learn what one step writes."""
        outputs, domains = self._computed(step) if step.module is not None else ({}, {})
        for key in step.part.writes:
            self._known.pop(key, None)
            self.holdings.pop(key, None)
            if key in step.specs:
                self.provide(key, step.specs[key])
            elif key in outputs:
                self._known[key] = torch.empty(outputs[key].shape, dtype=outputs[key].dtype, device="meta")
                self.holdings[key] = _holding(outputs[key], domains.get(key, ""))
        for key, spec in step.specs.items():
            held = self.holdings.get(key)
            if held is not None and not held.domain:
                # Nobody has said which values there are, so they are those that the environment takes.
                self.holdings[key] = Holding(held.shape, held.dtype, spec.domain, held.batched)

    def provide(self, key: Key, spec: TensorSpec) -> None:
        """An entry that holds what a spec says."""
        self._known[key] = torch.empty((*BATCH, *spec.shape), dtype=spec.dtype, device="meta")
        self.holdings[key] = Holding(tuple(spec.shape), _name_of(spec.dtype), spec.domain)

    def _computed(self, step: Step) -> tuple[dict[Key, Tensor], dict[Key, str]]:
        if any(key not in self._known for key in step.part.reads):
            return {}, {}
        try:
            outputs, supports = _on_fakes(step.module, self._known)
        except _CANNOT_RUN:
            try:
                outputs, supports = _on_zeros(step.module, self._known)
            except _CANNOT_RUN as error:
                reason = next(iter(str(error).splitlines()), "")
                self.notes.append(f"what {step.part.name} writes is not known: {type(error).__name__}: {reason}")
                return {}, {}
        return outputs, {key: declared_domain(step.module, key) or supports.get(key, "") for key in outputs}


def infer(steps: Sequence[Step]) -> tuple[dict[Key, Holding], list[str]]:
    """What every entry holds, as far as it can be found out, and notes on what cannot."""
    inference = Inference()
    for step in steps:
        for key, spec in carried_specs(step):
            if spec is not None:
                inference.provide(key, spec)  # the collector feeds it
        inference.run(step)
    return inference.holdings, inference.notes


def _on_fakes(module: Any, known: Mapping[Key, Tensor]) -> tuple[dict[Key, Tensor], dict[Key, str]]:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with FakeCopyMode(mode):
        trial = copy.deepcopy(module, _own_generators(module))
    inputs, device = _inputs_of(module, known), _device_of(module)
    with _kept_randomness(), mode:
        return _outputs(trial, {k: torch.empty(v.shape, dtype=v.dtype, device=device) for k, v in inputs.items()})


def _on_zeros(module: Any, known: Mapping[Key, Tensor]) -> tuple[dict[Key, Tensor], dict[Key, str]]:
    trial = copy.deepcopy(module, _own_generators(module))
    inputs, device = _inputs_of(module, known), _device_of(module)
    with _kept_randomness():
        return _outputs(trial, {k: torch.zeros(v.shape, dtype=v.dtype, device=device) for k, v in inputs.items()})


def _inputs_of(module: Any, known: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    return {key: known[key] for key in module.in_keys if key in known}


def _own_generators(module: nn.Module) -> dict[int, Any]:
    """For ``deepcopy``: a generator of the copy for each of the module's, which deepcopy cannot copy on fakes."""
    held = [value for part in module.modules() for value in vars(part).values()]
    return {id(value): value.clone_state() for value in held if isinstance(value, torch.Generator)}


def _outputs(module: Any, inputs: dict[Key, Tensor]) -> tuple[dict[Key, Tensor], dict[Key, str]]:
    """Run a module; also the domains of what it draws, if it draws from a distribution."""
    supports: dict[Key, str] = {}
    with torch.no_grad(), set_exploration_type(ExplorationType.RANDOM):
        if isinstance(module, TensorDictModuleBase) and not module.opaque:
            values = [inputs.get(key) for key in module.in_keys]
            outputs = dict(zip(module.out_keys, module.run(*values), strict=True))
            dist_of: Any = getattr(module, "dist_of", None)
            if dist_of is not None:
                supports = domains_drawn(dist_of(*values), module, outputs)
        else:
            td: Any = module(TensorDict(inputs, batch_size=BATCH))
            outputs = {key: td.get(key, None) for key in module.out_keys}
    return {key: value for key, value in outputs.items() if isinstance(value, Tensor)}, supports


def _device_of(module: Any) -> torch.device:
    """Where a module computes: where its parameters are."""
    for tensor in (*module.parameters(), *module.buffers()):
        return torch.device(tensor.device)
    return torch.device("cpu")


def _holding(value: Tensor, domain: str) -> Holding:
    shape, dtype = tuple(value.shape), _name_of(value.dtype)
    if shape[: len(BATCH)] == BATCH:
        return Holding(shape[len(BATCH) :], dtype, domain)
    return Holding(shape, dtype, domain, batched=False)


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@contextmanager
def _kept_randomness() -> Iterator[None]:
    """Leave the random generators of torch, numpy and Python as they are."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    numbers, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(numbers)
            np.random.set_state(arrays)
