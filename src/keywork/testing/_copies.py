"""Whether copies of a module do what it does: saved and loaded, copied, sent, and sized late."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from keywork.testing._expect import all_same, expect, failing, skip
from keywork.testing._spawn import WORKER
from keywork.testing._subject import Subject, call, detached, entries_of


def check_state_dict(subject: Subject) -> None:
    """Save a module whose parameters were moved, load that into a fresh one, and compare what both compute."""
    module, fresh, td = subject.make(), subject.make(), entries_of(subject)
    _move(module)
    expected = call(module, td)
    with failing(f"a fresh {fresh.label} does not take the state_dict of another one", RuntimeError):
        fresh.load_state_dict(module.state_dict())
    expect(
        all_same(call(fresh, td), expected),
        f"{module.label}: a fresh one with its state_dict computes something else: what it lacks is neither a "
        "parameter nor a buffer. register_buffer(...) saves a tensor",
    )


def check_deepcopy(subject: Subject) -> None:
    """Copy it: the copy computes the same, and what happens to its parameters is nothing to the original."""
    module, td = subject.make(), entries_of(subject)
    expected = call(module, td)
    with failing(f"{module.label} cannot be copied", Exception):
        other = copy.deepcopy(module)
    expect(all_same(call(other, td), expected), f"a deepcopy of {module.label} computes something else")
    expect(other.contract == module.contract, f"a deepcopy of {module.label} has another contract: {other.contract}")
    _move(other)
    expect(
        all_same(call(module, td), expected),
        f"{module.label} shares parameters with its deepcopy: to change the copy changes the original",
    )


def check_spawn(subject: Subject) -> None:
    """Send it to a process that was started afresh: its outputs there are those it has here."""
    module, td = subject.make(), entries_of(subject)
    there = WORKER.outputs(module, td)
    expect(
        all_same(there, detached(call(module, td))),
        f"{module.label} computes something else in a freshly started process",
    )


def check_lazy(subject: Any) -> None:
    """Size it by the first call, save it, and load that into one that has not been called."""
    module = subject.make_lazy()
    if module is None:
        skip("there is no make_lazy(): it takes its sizes when it is built")
    td = entries_of(subject)
    waiting = [name for name, parameter in module.named_parameters() if is_lazy(parameter)]
    expect(bool(waiting), f"make_lazy() gives a {module.label} all of whose parameters have a size")
    expected = call(module, td)
    waiting = [name for name, parameter in module.named_parameters() if is_lazy(parameter)]
    expect(not waiting, f"{module.label} has parameters without a size after its first call: {waiting}")
    fresh = subject.make_lazy()
    with failing(f"a {fresh.label} without sizes does not take the state_dict of one that has them", RuntimeError):
        fresh.load_state_dict(module.state_dict())
    expect(all_same(call(fresh, td), expected), f"{module.label} loaded before its first call computes something else")


@torch.no_grad()
def _move(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
