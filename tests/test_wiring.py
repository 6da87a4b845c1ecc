from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import MissingKeyError
from keywork._wiring import absence, check_names, rekeyed, subsequence, tensors_by_key, unknown_names
from keywork.nn import Contract, TensorDictModule, TensorDictModuleBase, TensorDictSequential


def test_a_name_stands_for_a_key_for_what_is_inside_it_and_for_the_next_steps():
    keys = ["a", ("g", "b"), ("next", "c"), ("next", "f", "d")]
    assert unknown_names(["a", "g", ("g", "b"), "c", "f", ("next", "c"), "next"], keys) == []
    assert unknown_names(["b", "d", ("next", "a"), ("g", "a")], keys) == ["b", "d", ("next", "a"), ("g", "a")]


def test_findings_of_names():
    assert check_names({"a": "b"}, ["a"]) == []
    (finding,) = check_names({"acton": "a"}, ["action"])
    assert (finding.kind, finding.fix) == ("unknown-name", "did you mean 'action'? Rename one of these.")
    assert [finding.kind for finding in check_names({"x": "a"}, ["y"], renamable=False)] == ["opaque", "unknown-name"]


def test_what_holds_keys():
    names = {"h": "s"}
    assert rekeyed("h", names) == "s"
    assert rekeyed(("next", "h"), names) == ("next", "s")
    assert rekeyed(["h", "x"], names) == ["s", "x"]
    assert rekeyed({"h": "h"}, names) == {"s": "h"}
    assert rekeyed(Contract(["h"]), names) == Contract(["s"])
    assert rekeyed(None, names) is None


def test_the_tensors_of_a_call():
    assert tensors_by_key(TensorDictModuleBase(["a", ("g", "b")]), (1,), {"g_b": 2}) == {"a": 1, ("g", "b"): 2}
    assert tensors_by_key(TensorDictModuleBase(["a", "b"], optional_keys=["b"]), (1,), {}) == {"a": 1}
    with pytest.raises(MissingKeyError, match="Base cannot run: it reads 'b', which the call does not hold"):
        tensors_by_key(TensorDictModuleBase(["a", "b"]), (1,), {})
    with pytest.raises(TypeError, match="Base: 'a' is given twice"):
        tensors_by_key(TensorDictModuleBase(["a"]), (1,), {"a": 2})


class Own(TensorDictModuleBase):
    """A module that says itself what it reads."""

    def __init__(self):
        super().__init__(["x"], ["y"])


class Chosen(TensorDictModuleBase):
    """A module that takes its in_keys."""

    def __init__(self, in_keys):
        super().__init__(in_keys, ["y"])


def test_advice_on_an_absent_key_is_what_the_class_takes():
    def advice(module, key):
        return str(absence(module, "It", key, ["other"])).split("\n")[-1]

    plain = "   Store the entry under 'x', change in_keys, or declare it with optional_keys=['x']."
    assert advice(TensorDictModuleBase(["x"]), "x") == plain
    assert advice(Chosen(["x"]), "x") == "   Store the entry under 'x', or change in_keys."
    assert advice(Own(), "x") == "   Store the entry under 'x', or let another be read: renamed({'x': ...})."
    estimated = "   Add the estimator that writes it before: GAE(gamma, lmbda, critic), or change in_keys."
    assert advice(Chosen(["x"]), "advantage") == advice(Chosen(["x"]), ("a", "value_target")) == estimated
    scored = "   Let the actor write it: ProbabilisticActor(..., return_log_prob=True), or change in_keys."
    assert advice(Chosen(["x"]), "sample_log_prob") == scored


def test_a_subsequence():
    parts = [Contract(["x"], ["h"]), Contract(["h"], ["y"]), Contract(["h", "z"], ["w"])]
    assert subsequence(parts, None, None) == [0, 1, 2]
    assert subsequence(parts, ["x"], None) == [0, 1]
    assert subsequence(parts, None, ["w"]) == [0, 2]
    assert subsequence(parts, ["z"], ["w"]) == []


class TestSteps:
    """Steps of a sequential, exchanged in place: what is held is what runs, or it is refused."""

    def chain(self) -> TensorDictSequential:
        inner = TensorDictSequential(TensorDictModule(nn.Linear(2, 3), ["h"], ["y"]))
        return TensorDictSequential(TensorDictModule(nn.Linear(2, 2), ["x"], ["h"]), inner)

    def test_a_step_can_be_exchanged(self):
        chain = self.chain()
        chain.module[0] = TensorDictModule(nn.Tanh(), ["x"], ["h"])
        x = torch.ones(2)
        expected = chain[1](x.tanh())
        assert torch.equal(chain(x)[1], expected)

    @pytest.mark.parametrize(
        "change",
        [
            lambda steps, step: steps.__setitem__(1, step),
            lambda steps, step: setattr(steps, "1", step),
            lambda steps, step: steps.append(step),
            lambda steps, step: steps.extend([step]),
            lambda steps, step: steps.insert(0, step),
            lambda steps, step: steps.__delitem__(0),
        ],
        ids=["item", "attribute", "append", "extend", "insert", "delete"],
    )
    def test_what_would_be_held_and_not_run_is_refused(self, change):
        chain = self.chain()
        before = list(chain.module)
        with pytest.raises(TypeError, match=r"cannot be set, added or taken away in place(.|\n)*sequential.replaced\("):
            change(chain.module, self.chain())
        assert list(chain.module) == before

    def test_so_are_named_ones(self):
        chain = TensorDictSequential({"all": self.chain()})
        with pytest.raises(TypeError, match="step all of a sequential"):
            chain.module["all"] = self.chain()
        with pytest.raises(TypeError, match="step more of a sequential"):
            chain.module.update({"more": self.chain()})
