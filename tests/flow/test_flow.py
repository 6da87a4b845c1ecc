"""The flow as other programs see it."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

import keywork.flow
from keywork.flow import Entry, Flow, Holding, Part
from keywork.nn import TensorDictModule
from keywork.specs import Bounded


@pytest.fixture
def flow():
    net = TensorDictModule(nn.Linear(4, 2), ["observation"], [("agents", "action")])
    state = Part("GRU", reads=("h",), writes=("out", ("next", "h")), optional=("mask",), carries=("h",))
    return Flow({"observation": Bounded(-1, 1, (4,))}, net, state)


def test_entries_are_found_by_key(flow):
    assert flow["observation"] == Entry("observation", Holding((4,), "float32", "[-1, 1]"), ("inputs",), ("Linear",))
    assert flow["agents", "action"].holds == Holding((2,), "float32")
    with pytest.raises(KeyError, match=r"'observatoin' is no key of this flow; its keys are \['observation', "):
        flow["observatoin"]


def test_what_may_be_absent_and_is_absent_is_no_entry(flow):
    assert "mask" in flow.parts[-1].optional
    assert all(entry.key != "mask" for entry in flow.entries)
    with_mask = Flow(flow.parts[0], Part("Masks", writes=("mask",)), flow.parts[-1])
    assert with_mask["mask"].read_by == ("GRU",)


def test_json_says_everything_in_plain_values(flow):
    document = json.loads(flow.to_json())
    assert list(document) == ["format", "parts", "entries", "carries", "notes"]
    assert document["format"] == 1
    assert document["parts"][1] == {
        "name": "Linear",
        "kind": "policy",
        "description": "4 → 2, 10 parameters",
        "reads": ["observation"],
        "optional": [],
        "writes": [["agents", "action"]],
    }
    assert document["entries"][0] == {
        "key": "observation",
        "shape": [4],
        "batched": True,
        "dtype": "float32",
        "domain": "[-1, 1]",
        "written_by": ["inputs"],
        "read_by": ["Linear"],
    }
    unknown = next(entry for entry in document["entries"] if entry["key"] == "out")
    assert unknown["shape"] is None
    assert document["carries"] == [{"key": "h", "from": "GRU", "to": "GRU"}]


def test_the_same_pipeline_gives_the_same_texts(flow):
    torch.manual_seed(5)
    other = Flow(
        {"observation": Bounded(-1, 1, (4,))},
        TensorDictModule(nn.Linear(4, 2), ["observation"], [("agents", "action")]),
        flow.parts[2],
    )
    assert other.to_json() == flow.to_json()
    assert other.svg() == flow.svg()
    assert other.table() == flow.table()


def test_the_picture_of_a_real_flow_is_a_document(flow):
    assert ElementTree.fromstring(flow.svg()).tag.endswith("svg")


def test_what_the_room_hands_out_is_what_it_says():
    names = keywork.flow.__all__
    assert names == sorted(names)
    assert all(hasattr(keywork.flow, name) for name in names)
