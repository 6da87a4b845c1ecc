"""Notes on outputs that nobody reads: only where somebody seems to have been meant to."""

from __future__ import annotations

import logging

import pytest
from torch import nn

from keywork.flow import Flow, Part
from keywork.nn import TensorDictModule
from keywork.specs import Unbounded

SOURCE = {"observation": Unbounded(4)}


def net(reads, writes):
    return TensorDictModule(nn.Linear(4, 4), [reads], [writes])


def test_a_misspelt_output_where_what_was_meant_comes_from_outside():
    flow = Flow(net("observation", "hiden"), net("hidden", "logits"))
    assert flow.findings == ()
    assert flow.graph.notes == (
        "nobody reads 'hiden', which Linear (policy) writes; Linear 2 (policy) reads 'hidden' of inputs. Did you mean "
        "one key?",
    )


def test_a_misspelt_output_that_somebody_may_read():
    net_with_mask = Part("net", "policy", reads=("observation",), optional=("action_mask",), writes=("action",))
    flow = Flow(SOURCE, Part("rules", reads=("observation",), writes=("action_maks",)), net_with_mask)
    assert flow.graph.notes == (
        "nobody reads 'action_maks', which rules (module) writes; net (policy) may read 'action_mask', which nobody "
        "writes. Did you mean one key?",
    )


def test_diagnostics_that_nobody_reads_are_no_note():
    extra = Part("actor", "policy", reads=("observation",), writes=("action", "entropy", "logits"))
    assert Flow(SOURCE, extra).graph.notes == ()
    assert Flow(SOURCE, net("observation", "head_1"), net("observation", "head_2")).graph.notes == ()


def test_what_is_passed_over_is_in_the_log(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "keywork"):
        Flow(SOURCE, Part("loss", "loss", reads=("advantage", "sample_log_prob")), check=False)
        Flow(SOURCE, check=False)
    assert [record.getMessage() for record in caplog.records] == [
        "Flow(check=False) passes over 2 findings: no-advantage (1), no-log-prob (1)"
    ]
