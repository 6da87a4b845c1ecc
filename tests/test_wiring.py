from __future__ import annotations

import pytest

from keywork._errors import MissingKeyError
from keywork._wiring import check_names, rekeyed, subsequence, tensors_by_key, unknown_names
from keywork.nn import Contract


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
    assert tensors_by_key("net", ["a", ("g", "b")], [], (1,), {"g_b": 2}) == {"a": 1, ("g", "b"): 2}
    assert tensors_by_key("net", ["a", "b"], ["b"], (1,), {}) == {"a": 1}
    with pytest.raises(MissingKeyError, match="net cannot run: it reads 'b', which the call does not hold"):
        tensors_by_key("net", ["a", "b"], [], (1,), {})
    with pytest.raises(TypeError, match="net: 'a' is given twice"):
        tensors_by_key("net", ["a"], [], (1,), {"a": 2})


def test_a_subsequence():
    parts = [Contract(["x"], ["h"]), Contract(["h"], ["y"]), Contract(["h", "z"], ["w"])]
    assert subsequence(parts, None, None) == [0, 1, 2]
    assert subsequence(parts, ["x"], None) == [0, 1]
    assert subsequence(parts, None, ["w"]) == [0, 2]
    assert subsequence(parts, ["z"], ["w"]) == []
