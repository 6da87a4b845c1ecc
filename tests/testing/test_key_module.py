"""Each check of the kit fails for a module that breaks it, says so, and fails for no other reason."""

from __future__ import annotations

import copy
import sys
import threading
import types
import unittest
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from keywork._errors import UsageError
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential, exploration_type
from keywork.testing import KeyModuleConformance
from keywork.testing._spawn import WORKER
from keywork.testing._subject import entries_of


def failures(subject: Any) -> dict[str, str]:
    """The names of the checks that fail, and what they say."""
    found = {}
    for name in dir(subject):
        if name.startswith("test_"):
            try:
                getattr(subject, name)()
            except unittest.SkipTest:
                continue
            except AssertionError as error:
                found[name.removeprefix("test_")] = str(error)
    return found


class Subject(KeyModuleConformance):
    """A conformance class of whatever module."""

    exempt = {"spawn": "is defined in a test", "compile": "takes a while, and has a test of its own"}

    def __init__(self, make: Callable[[], Any], noisy: bool = False) -> None:
        self.make, self.noisy = make, noisy

    def inputs(self):
        return {"x": torch.linspace(0.0, 2.0, 15).view(5, 3)}


class Right(TensorDictModuleBase):
    """A module that does nothing wrong."""

    def __init__(self) -> None:
        super().__init__(["x"], ["y", "z"])
        self.net = nn.Linear(3, 2)

    def compute(self, x):
        y = self.net(x)
        return y, 2.0 * y


class ReadsMore(Right):
    def read(self, td):
        td.get("secret", None)
        return super().read(td)


class DependsOnMore(Right):
    def read(self, td):
        return [super().read(td)[0] + dict(td.items()).get("reward", 0.0)]


class NeedsMore(Right):
    def read(self, td):
        return [super().read(td)[0] + td["bias"]]


class WritesMore(Right):
    def write(self, outputs, td, tensordict_out=None):
        return super().write(outputs, td.set("extra", outputs[0]), tensordict_out)


class WritesInAnotherOrder(Right):
    def write(self, outputs, td, tensordict_out=None):
        return super().write(outputs[::-1], td, tensordict_out)


class WritesAtTheRoot(Right):
    def write(self, outputs, td, tensordict_out=None):
        for key, output in zip(self.out_keys, outputs, strict=True):
            td.set(key if isinstance(key, str) else key[-1], output)
        return td


class ChangesItsInput(Right):
    def compute(self, x):
        x.mul_(2.0)
        return super().compute(x)


class RemovesAnEntry(Right):
    def write(self, outputs, td, tensordict_out=None):
        for key in td.keys() - {"x", "nested"}:
            td.pop(key)
        return super().write(outputs, td, tensordict_out)


class ReturnsOne(Right):
    def compute(self, x):
        return super().compute(x)[:1]


class HasAnotherContract(Right):
    @property
    def contract(self):
        return super().contract.renamed({"y": "w"})


class DoesNotMiss(Right):
    def read(self, td):
        return [td.get("x", torch.zeros(5, 3))]


class MissesWithoutAName(Right):
    def read(self, td):
        if "x" not in td.keys(True) and "nested" not in td:
            raise KeyError("an entry lacks")
        return super().read(td)


class WritesBeforeItMisses(Right):
    def read(self, td):
        td.set("y", torch.zeros(5, 2))
        return super().read(td)


class KeepsItsKeys(Right):
    def select_out_keys(self, *keys):
        return self


class AcceptsAnyKey(Right):
    def select_out_keys(self, *keys):
        return super().select_out_keys(*[key for key in keys if key in self.out_keys] or ["y"])


class MixesTheBatch(Right):
    def compute(self, x):
        return super().compute(x - x.mean(0))


class DrawsInVain(Right):
    def compute(self, x):
        torch.rand(())
        return super().compute(x)


class IgnoresTheType(Right):
    def compute(self, x):
        y, z = super().compute(x)
        return y + torch.randn_like(y), z


class Noisy(Right):
    def compute(self, x):
        y, z = super().compute(x)
        return y + torch.randn_like(y) if exploration_type() in (None, "random") else y, z


class FollowsTheMainThread(Right):
    kind: Any = None

    def compute(self, x):
        y, z = super().compute(x)
        if threading.current_thread() is threading.main_thread():
            FollowsTheMainThread.kind = exploration_type()
        return y + (torch.randn_like(y) if self.kind in (None, "random") else 0.0), z


class HidesState(Right):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.randn(())

    def compute(self, x):
        y, z = super().compute(x)
        return y + self.hidden.to(y), z


class IsAliasedByItsCopy(Right):
    def __deepcopy__(self, memo):
        return copy.copy(self)


class CannotBeCopied(Right):
    def __deepcopy__(self, memo):
        raise TypeError("no")


class LooksAtValues(Right):
    def compute(self, x):
        y, z = super().compute(x)
        return y * (1.0 if bool(x.sum() > 0.0) else 2.0), z


class IsAlwaysWide(Right):
    def compute(self, x):
        y, z = super().compute(x)
        return y.double(), z


class OverflowsInHalf(Right):
    def compute(self, x):
        y, z = super().compute(x)
        return y, z.sign() * 1e6


class HasAnIdleParameter(Right):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(2))


class Detaches(Right):
    def compute(self, x):
        y, z = super().compute(x)
        return y.detach(), z.detach()


CASES = {
    ReadsMore: ({"reads"}, "reads 'secret', which its in_keys ['x'] do not declare"),
    DependsOnMore: ({"reads"}, "does something else where the TensorDict holds entries that it does not declare"),
    WritesMore: ({"writes"}, "writes 'extra', which its out_keys ['y', 'z'] do not declare"),
    WritesAtTheRoot: ({"nested"}, "does not write the nested ('nested', 'deep', 'y'), ('nested', 'deep', 'z')"),
    RemovesAnEntry: ({"writes"}, "removes the entry '__unrelated"),
    HasAnotherContract: ({"contract"}, "out_keys is ['y', 'z'], and its contract writes 'w', 'z'"),
    MissesWithoutAName: ({"missing"}, "does not name the missing 'x'; it says: 'an entry lacks'"),
    AcceptsAnyKey: ({"select_out_keys"}, "select_out_keys accepts a key that the module does not write"),
    KeepsItsKeys: ({"select_out_keys"}, "after select_out_keys('y') out_keys is ['y', 'z']"),
    MixesTheBatch: ({"batch_shapes"}, "output 0 of a batch of shape [] is not that of the first of [5]"),
    DrawsInVain: ({"deterministic"}, "draws from torch's global generator under DETERMINISTIC"),
    IsAliasedByItsCopy: ({"deepcopy"}, "shares parameters with its deepcopy"),
    CannotBeCopied: ({"deepcopy"}, "cannot be copied: TypeError: no"),
    IsAlwaysWide: ({"precision"}, "output 0 in torch.float16 is of type torch.float64"),
    OverflowsInHalf: ({"precision"}, "output 1 in torch.float16 is not finite, as it is in float32"),
    HasAnIdleParameter: ({"gradients"}, "no gradient reaches the parameter 'idle'"),
    Detaches: ({"gradients"}, "has parameters, and no output that a gradient flows from"),
    LooksAtValues: ({"vmap", "meta"}, "LooksAtValues looks at values: "),
    # What a fresh module lacks shows wherever one is loaded.
    HidesState: (
        {"state_dict", "functional", "nested", "precision"},
        "what it lacks is neither a parameter nor a buffer",
    ),
    FollowsTheMainThread: ({"noise", "vmap", "threads"}, "follows the exploration type of another thread"),
    Noisy: ({"noise", "vmap"}, "is not declared noisy, and under RANDOM two calls differ: set noisy = True"),
}


def test_a_right_module_passes():
    assert failures(Subject(Right)) == {}
    assert failures(Subject(Noisy, noisy=True)) == {}


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_a_broken_module_fails_the_right_checks(kind):
    checks, message = CASES[kind]
    found = failures(Subject(kind))
    assert set(found) == checks, found
    assert any(message in text for text in found.values()), found


@pytest.mark.parametrize(
    ("kind", "check", "message"),
    [
        (NeedsMore, "reads", "needs more than the ['x'] that it declares: KeyError: "),
        (WritesInAnotherOrder, "dispatch", "by position gives another result for 'y' than on a TensorDict"),
        (ChangesItsInput, "writes", "changes 'x', which is none of its out_keys"),
        (ReturnsOne, "contract", "expected: a tuple of 2, one item for each out key: 'y', 'z'\n  got: 1 items"),
        (DoesNotMiss, "missing", "runs without 'x', which it declares as read"),
        (WritesBeforeItMisses, "missing", "wrote something before it missed 'x'"),
        (IgnoresTheType, "deterministic", "is not repeatable under DETERMINISTIC: two calls differ"),
        (LooksAtValues, "compile", "does not compile to one graph under None: "),
    ],
)
def test_what_breaks_more_than_one_check_fails_the_right_one_too(kind, check, message):
    subject = Subject(kind, noisy=kind is IgnoresTheType)
    subject.exempt = {}
    if kind is NeedsMore:
        inputs = subject.inputs()
        subject.inputs = lambda: {**inputs, "bias": torch.ones(5, 3)}
    with pytest.raises(AssertionError) as error:
        getattr(subject, f"test_{check}")()
    assert message in str(error.value)


def test_what_is_declared_noisy_has_to_be():
    subject = Subject(Right, noisy=True)
    subject.exempt = {"spawn": "is defined in a test"}
    found = failures(subject)
    assert set(found) == {"noise", "vmap", "compile"}
    assert found["noise"] == "Right is declared noisy, and under RANDOM two calls give the same"
    assert found["compile"] == "Right is noisy, and compiled it draws the same noise in every call"


def test_an_error_of_the_module_itself_names_the_check():
    class Crashes(Right):
        def compute(self, x):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as error:
        Subject(Crashes).test_dispatch()
    note = "check 'dispatch' of Subject: A TensorDict, tensors by position and tensors by name give the same."
    assert note in error.value.__notes__


def with_optional(x, bias=None):
    return x if bias is None else x + bias


class Needy(TensorDictModule):
    """Declares as optional what it cannot do without."""

    def compute(self, x, bias):
        return (x + bias,)


def test_optional_entries_may_lack():
    make = partial(TensorDictModule, with_optional, ["x"], ["y"], optional_keys=["bias"])
    subject = Subject(make)
    inputs = subject.inputs()
    subject.inputs = lambda: {**inputs, "bias": torch.ones(5, 3)}
    assert failures(subject) == {}
    with pytest.raises(unittest.SkipTest, match=r"write make_nested"):
        subject.test_nested()
    subject.make = partial(Needy, with_optional, ["x"], ["y"], optional_keys=["bias"])
    with pytest.raises(AssertionError, match="cannot do without 'bias', which it declares as optional: TypeError"):
        subject.test_missing()


class TestNested:
    def test_a_sequential_has_to_be_made_with_nested_keys(self):
        step = partial(TensorDictModule, nn.Linear(3, 2))
        subject = Subject(lambda: TensorDictSequential(step(["x"], ["y"])))
        with pytest.raises(unittest.SkipTest, match=r"takes its keys when it is built: write make_nested\(\)"):
            subject.test_nested()
        subject.make_nested = lambda: TensorDictSequential(step([("in", "x")], [("out", "y")]))
        subject.test_nested()

    def test_it_has_to_be_nested_and_alike(self):
        subject = Subject(Right)
        subject.make_nested = Right
        with pytest.raises(AssertionError, match=r"make_nested\(\) gives no nested key: 'x', 'y', 'z'"):
            subject.test_nested()
        subject.make_nested = lambda: TensorDictModule(nn.Linear(3, 2), [("a", "x")], ["y"])
        with pytest.raises(AssertionError, match=r"make_nested\(\) has to read and write as many entries as make\(\)"):
            subject.test_nested()


class TestLazy:
    def test_it_is_skipped_where_there_is_none(self):
        with pytest.raises(unittest.SkipTest, match="takes its sizes when it is built"):
            Subject(Right).test_lazy()

    def test_it_has_to_be_lazy_until_the_first_call_and_no_longer(self):
        subject = Subject(lambda: TensorDictModule(nn.LazyLinear(2), ["x"], ["y"]))
        subject.make_lazy = subject.make
        subject.test_lazy()
        subject.make_lazy = Right
        with pytest.raises(AssertionError, match="gives a Right all of whose parameters have a size"):
            subject.test_lazy()
        idle = nn.ModuleDict({"used": nn.Linear(3, 2), "idle": nn.LazyLinear(2)})
        idle.forward = lambda x: idle["used"](x)
        subject.make_lazy = lambda: TensorDictModule(idle, ["x"], ["y"])
        with pytest.raises(AssertionError, match="has parameters without a size after its first call"):
            subject.test_lazy()


class TestSpawn:
    def subject(self, module):
        subject = Subject(lambda: TensorDictModule(module, ["x"], ["y"]))
        subject.exempt = {}
        return subject

    def test_what_can_be_sent_passes(self):
        subject = self.subject(nn.Linear(3, 2))
        subject.test_spawn()
        (output,) = WORKER.outputs(subject.make(), entries_of(subject))
        assert output.shape == (5, 2) and not output.requires_grad

    def test_a_function_without_a_name_cannot_be_sent(self):
        with pytest.raises(AssertionError, match=r"TensorDictModule \(<lambda>\) cannot be sent to another process: "):
            self.subject(lambda x: x).test_spawn()

    def test_what_differs_over_there_is_seen(self):
        with pytest.raises(AssertionError, match="computes something else in a freshly started process"):
            self.subject(torch.rand_like).test_spawn()

    def test_what_cannot_be_found_over_there_ends_that_process_and_not_the_next_one(self, monkeypatch):
        here = types.ModuleType("only_here")
        here.Right = type("Right", (Right,), {"__module__": "only_here"})
        monkeypatch.setitem(sys.modules, "only_here", here)
        subject = Subject(here.Right)
        subject.exempt = {}
        with pytest.raises(
            AssertionError, match=r"Right does not live in a freshly started process, whose own message"
        ):
            subject.test_spawn()
        self.test_what_can_be_sent_passes()


class TestExemptions:
    def test_an_exempted_check_is_skipped_with_the_reason(self):
        with pytest.raises(unittest.SkipTest, match="exempt: is defined in a test"):
            Subject(Right).test_spawn()

    def test_one_of_no_check_is_refused(self):
        with pytest.raises(UsageError) as error:
            type("Wrong", (KeyModuleConformance,), {"exempt": {"compil": "calls numpy"}})
        assert "Wrong cannot be tested: exempt names 'compil', which is no check." in str(error.value)
        assert "did you mean 'compile'? Correct the name, or drop it." in str(error.value)

    @pytest.mark.parametrize("reason", ["", " ", None, True])
    def test_one_without_a_reason_is_refused(self, reason):
        with pytest.raises(UsageError, match=f"exempt gives {reason!r} as the reason of 'compile'"):
            type("Wrong", (KeyModuleConformance,), {"exempt": {"compile": reason}})


class TestHooks:
    def test_what_is_not_written_is_asked_for(self):
        class Bare(KeyModuleConformance):
            pass

        with pytest.raises(NotImplementedError, match=r"Bare has to define make\(self\)"):
            Bare().test_contract()
        Bare.make = lambda self: Right()
        with pytest.raises(NotImplementedError, match=r"Bare has to define inputs\(self\)"):
            Bare().test_contract()

    def test_inputs_without_a_batch_are_refused(self):
        subject = Subject(Right)
        subject.inputs = lambda: {"x": torch.zeros(())}
        with pytest.raises(UsageError, match=r"Subject.inputs\(\) gives no batch: batch_dims is 1"):
            subject.test_contract()

    def test_inputs_that_lack_an_entry_are_refused(self):
        subject = Subject(Right)
        subject.inputs = lambda: {"w": torch.zeros(5, 3)}
        with pytest.raises(AssertionError, match=r"inputs\(\) lacks 'x', which Right reads: 'w'"):
            subject.test_contract()
