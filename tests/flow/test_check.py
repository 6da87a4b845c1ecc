"""The findings of a pipeline, word for word."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import ContractError
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.nn import TensorDictModule
from keywork.specs import Unbounded


def net(reads, writes):
    return TensorDictModule(nn.Identity(), list(reads), list(writes))


def refusal(*parts):
    with pytest.raises(ContractError) as caught:
        Flow(*parts)
    return str(caught.value)


SOURCE = {"observation": Unbounded(4)}
LOSS = Part("Loss", "loss", reads=("observation", "advantage", "sample_log_prob"), writes=("loss_objective",))


def test_a_loss_that_reads_what_nobody_writes():
    assert refusal(SOURCE, LOSS) == (
        "Flow cannot be built: 2 findings.\n"
        "1. Loss (loss) reads 'advantage', which nothing before it writes.\n"
        "   provided: 'observation'\n"
        "   add the estimator that writes it before: GAE(gamma, lmbda, critic), or correct the keys of Loss.\n"
        "2. Loss (loss) reads 'sample_log_prob', which nothing before it writes.\n"
        "   provided: 'observation'\n"
        "   let the actor write it: ProbabilisticActor(..., return_log_prob=True), or correct the keys of Loss."
    )


def test_a_misspelt_key_and_the_one_that_was_meant():
    assert refusal(SOURCE, Part("Actor", "policy", reads=("observations",), writes=("action",))) == (
        "Flow cannot be built: 1 finding.\n"
        "1. Actor (policy) reads 'observations', which nothing before it writes.\n"
        "   provided: 'observation' (written by inputs, read by no one)\n"
        "   did you mean 'observation'? Rename one of the two."
    )


def test_a_name_that_has_a_word_more():
    source, masked = {"mask": Unbounded(3), **SOURCE}, Part("Masked", "policy", reads=("action_mask",))
    assert refusal(source, masked).endswith(
        "   provided: 'mask' (written by inputs, read by no one)\n   did you mean 'mask'? Rename one of the two."
    )
    two = {"left_mask": Unbounded(3), "right_mask": Unbounded(3)}
    assert "did you mean" not in refusal(two, Part("Masked", "policy", reads=("mask",)))


def test_a_group_around_both_makes_no_two_names_alike():
    step = Part("step", writes=(("next", "truncated"),))
    assert "did you mean" not in refusal(SOURCE, step, Part("GAE", "estimator", reads=(("next", "state"),)))


def test_a_tuple_in_place_of_a_list():
    source = {"image": Unbounded(3), "speed": Unbounded(1)}
    assert refusal(source, Part("MLP", "policy", reads=(("image", "speed"),))).endswith(
        "1. MLP (policy) reads ('image', 'speed'), which nothing before it writes.\n"
        "   provided: 'image', 'speed'\n"
        "   a tuple is one nested key, and several keys are a list: in_keys=['image', 'speed']."
    )


def test_parts_in_the_wrong_order():
    estimator = Part("GAE", "estimator", reads=("observation",), writes=("advantage", "sample_log_prob"))
    assert refusal(SOURCE, LOSS, estimator) == (
        "Flow cannot be built: 1 finding.\n"
        "1. Loss (loss) reads 'advantage', 'sample_log_prob', which nothing before it writes.\n"
        "   provided: GAE, which comes after it, writes them\n"
        "   put Loss after GAE."
    )


def test_an_estimator_before_the_action_is_taken():
    with GymEnv("CartPole-v1") as env:
        gae = Part("GAE", "estimator", reads=(("next", "reward"),), writes=("advantage",))
        message = refusal(env, gae, Part("Actor", "policy", reads=("observation",), writes=("action",)))
    assert message == (
        "Flow cannot be built: 1 finding.\n"
        "1. GAE (estimator) reads ('next', 'reward'), which nothing before it writes.\n"
        "   provided: CartPole-v1 step, which comes after it, writes it\n"
        "   put GAE after the part that writes the action."
    )


def test_an_env_without_an_action():
    with GymEnv("CartPole-v1") as env:
        message = refusal(env, net(["observation"], ["actions"]))
    assert "1. CartPole-v1 step (env) reads 'action', which nothing before it writes." in message
    assert "provided: 'actions' (written by Identity, read by no one)\n   did you mean 'actions'?" in message


def test_of_many_keys_the_unread_ones_are_named_first():
    source = Part("source", writes=tuple("abcdefghij"))
    message = refusal(SOURCE, source, Part("one", reads=("a", "b")), Part("other", reads=("unheard of",)))
    assert "provided: 'observation', 'c', 'd', 'e', 'f', 'g', 'h', 'i' and 3 more\n" in message


def test_check_false_keeps_the_findings_and_builds_all_the_same():
    flow = Flow(SOURCE, LOSS, check=False)
    assert [finding.kind for finding in flow.findings] == ["no-advantage", "no-log-prob"]
    assert flow["advantage"].written_by == ()
    assert "<svg" in flow.svg()


def test_right_pipelines_have_no_finding():
    state = Part("GRU", reads=("observation", "state"), writes=("out", ("next", "state")), carries=("state",))
    assert Flow(SOURCE, state).findings == ()
    assert Flow(SOURCE, Part("maybe", optional=("mask",), reads=("observation",))).findings == ()
    assert Flow(net(["anything"], ["out"])).findings == ()
    assert Flow().findings == ()


def test_a_state_that_nobody_carries_is_missing():
    state = Part("GRU", reads=("observation", "state"), writes=("out", ("next", "state")))
    assert "GRU (module) reads 'state', which nothing before it writes." in refusal(SOURCE, state)


def test_carried_states_and_the_envs_own_entries_are_back_edges():
    state = Part("GRU", reads=("observation", "state"), writes=("action", ("next", "state")), carries=("state",))
    with GymEnv("CartPole-v1") as env:
        flow = Flow(env, state)
    assert [(carry.key, carry.source, carry.target) for carry in flow.graph.carries] == [
        ("state", 1, 1),
        *((key, 2, 0) for key in ("observation", "done", "terminated", "truncated")),
    ]
    assert flow["state"].written_by == ("GRU (step before)",)


def test_keys_and_shapes_are_refused_together():
    wrong = TensorDictModule(torch.nn.Linear(5, 2), ["observation"], ["y"])
    with pytest.raises(ContractError) as caught:
        Flow(SOURCE, wrong, Part("reader", reads=("nowhere",)))
    assert [finding.kind for finding in caught.value.findings] == ["missing-key", "wrong-width"]
