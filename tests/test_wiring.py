from __future__ import annotations

import pytest

from keywork._errors import MissingKeyError
from keywork._wiring import absence, check_names, rekeyed, subsequence, tensors_by_key, unknown_names
from keywork.nn import Contract, TensorDictModuleBase


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
