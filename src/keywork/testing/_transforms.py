"""Whether what torch does with functions works on a module: compiling, vmap, swapped parameters, types, gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from keywork.nn import set_exploration_type
from keywork.testing._expect import all_same, close, expect, failing, leaves, seeded
from keywork.testing._subject import QUIET, Subject, call, detached, entries_of, tensors_of

COPIES = 40
"""How many rows vmap runs over: that noise is the same in all of them is then no accident."""


def check_compile(subject: Subject) -> None:
    """Compile ``compute`` as one graph under every exploration type, and compare with what was not compiled."""
    module, td = subject.make(), entries_of(subject)
    tensors = tensors_of(module, td)
    torch._dynamo.reset()
    compiled: Any = torch.compile(module.run, fullgraph=True, backend="eager")
    for kind in (None, "random", *QUIET):
        with _under(kind):
            with failing(f"{module.label} does not compile to one graph under {kind}", RuntimeError):
                outputs = compiled(*tensors)
            expected = module.run(*tensors)
        for number, (ours, theirs) in enumerate(zip(detached(outputs), detached(expected), strict=True)):
            place = f"{module.label}: output {number} under {kind}, compiled,"
            expect(_like(ours) == _like(theirs), f"{place} is {_like(ours)} and not {_like(theirs)}")
            if kind in QUIET:
                close(ours, theirs, f"{place} differs")
    if subject.noisy:
        with _under("random"):
            same_twice = all_same(compiled(*tensors), compiled(*tensors))
        expect(not same_twice, f"{module.label} is noisy, and compiled it draws the same noise in every call")


def check_vmap(subject: Subject) -> None:
    """Map ``compute`` over copies of the inputs: one result each, and noise as ``randomness`` says."""
    module, td = subject.make(), entries_of(subject)
    tensors = tensors_of(module, td)
    given = [number for number, tensor in enumerate(tensors) if tensor is not None]
    stacked = [torch.stack([tensors[number]] * COPIES) for number in given]

    def run(*mapped: Any) -> tuple[Any, ...]:
        full = list(tensors)
        for number, value in zip(given, mapped, strict=True):
            full[number] = value
        outputs: tuple[Any, ...] = module.run(*full)
        return outputs

    if not stacked:
        return
    for randomness in ("same", "different"):
        with failing(f"{module.label} does not run in vmap(randomness={randomness!r})", RuntimeError):
            outputs = detached(torch.vmap(run, randomness=randomness)(*stacked))
        expected = detached(module.run(*tensors))
        for number, (ours, theirs) in enumerate(zip(outputs, expected, strict=True)):
            place = f"{module.label}: output {number} in vmap"
            expect(_like(ours[0]) == _like(theirs), f"{place} is {_like(ours[0])} and not {_like(theirs)}")
        repeated = all(map(_rows_agree, outputs))
        quiet = randomness == "same" or not subject.noisy
        should, do = "the same" if quiet else "its own", "the same" if repeated else "its own"
        expect(
            repeated == quiet,
            f"{module.label}: in vmap(randomness={randomness!r}) each row should draw {should} noise, and draws {do}",
        )
    with _under("deterministic"):
        mapped = detached(torch.vmap(run, randomness="different")(*stacked))
        for number, (ours, theirs) in enumerate(zip(mapped, detached(module.run(*tensors)), strict=True)):
            close(ours[0], theirs, f"{module.label}: output {number} in vmap differs")


def check_functional(subject: Subject) -> None:
    """Call it with the parameters and buffers of another one: it gives the other one's outputs, and keeps its own."""
    module, other, td = subject.make(), subject.make(), entries_of(subject)
    ours, theirs = call(module, td), call(other, td)
    swapped = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    with set_exploration_type("deterministic"):
        result = torch.func.functional_call(module, swapped, (td.copy(),))
    outputs = tuple(result[key] for key in module.out_keys)
    expect(
        all_same(detached(outputs), detached(theirs)),
        f"{module.label} with the parameters and buffers of another one does not compute what that one does: it holds "
        "something else that matters, or a copy of its parameters",
    )
    expect(all_same(call(module, td), ours), f"{module.label} has changed by a functional call with other parameters")


def check_precision(subject: Subject) -> None:
    """Run it in float16, bfloat16 and float64: outputs of that type (or float32), finite, and in float64 the same."""
    td = entries_of(subject)
    state = subject.make()
    exact = detached(call(state, td))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        module = subject.make()
        module.load_state_dict(state.state_dict())
        module.to(dtype)
        cast = td.clone()
        for key, value in td.items(include_nested=True, leaves_only=True):
            cast.set(key, value.to(dtype) if value.is_floating_point() else value)
        with failing(f"{module.label} does not run in {dtype}", RuntimeError, NotImplementedError):
            outputs = detached(call(module, cast))
            call(module, cast, "random")
        for number, (output, reference) in enumerate(zip(outputs, exact, strict=True)):
            place = f"{module.label}: output {number} in {dtype}"
            if not output.is_floating_point():
                continue
            expect(output.dtype in (dtype, torch.float32), f"{place} is of type {output.dtype}")
            expect(
                bool((output.isfinite() | ~reference.isfinite()).all()), f"{place} is not finite, as it is in float32"
            )
            if dtype is torch.float64:
                close(output, reference.double(), f"{place} is not what it is in float32", 1e-3)


def check_meta(subject: Subject) -> None:
    """Run it on tensors without values, which raise where somebody looks: there a device would have to wait."""
    module, td = subject.make().to("meta"), entries_of(subject)
    with failing(f"{module.label} looks at values", RuntimeError, NotImplementedError):
        for kind in ("random", "deterministic"):
            outputs = detached(call(module, td.to("meta"), kind))
            expect(all(output.is_meta for output in outputs), f"{module.label} makes tensors on another device")


def check_gradients(subject: Subject) -> None:
    """Differentiate a weighted sum of the outputs: every parameter gets a finite gradient, and some are not zero."""
    module, td = subject.make(), entries_of(subject)
    wanted = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    if not wanted:
        return
    outputs = [leaf for output in call(module, td, "random") for leaf in leaves(output)]
    live = [output for output in outputs if output.requires_grad]
    expect(bool(live), f"{module.label} has parameters, and no output that a gradient flows from")
    with seeded(0):  # a plain sum would be a constant of outputs that sum to one
        total = torch.stack([(torch.rand_like(output) * output).sum().double() for output in live]).sum()
    gradients = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    for name, gradient in zip(wanted, gradients, strict=True):
        expect(gradient is not None, f"{module.label}: no gradient reaches the parameter {name!r}")
        expect(bool(gradient.isfinite().all()), f"{module.label}: the gradient of {name!r} is not finite")
    expect(
        any(bool(gradient.any()) for gradient in gradients), f"{module.label}: the gradient of every parameter is zero"
    )


def _under(kind: str | None) -> Any:
    return torch.enable_grad() if kind is None else set_exploration_type(kind)


def _rows_agree(output: Tensor) -> bool:
    # Not bit for bit: a matrix product rounds a row differently at its edges.
    rows = output.double()
    return torch.allclose(rows, rows[:1].expand_as(rows), rtol=1e-5, atol=1e-5, equal_nan=True)


def _like(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype
