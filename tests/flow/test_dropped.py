"""Entries that were there and are no longer, word for word."""

from __future__ import annotations

import pytest
from torch import nn

from keywork._errors import ContractError
from keywork.buffers import PrioritizedSampler, ReplayBuffer
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.modules import GRUModule, ProbabilisticActor, QValueActor
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import DQNLoss
from keywork.specs import Unbounded

SOURCE = {"observation": Unbounded(4)}
LOSS = Part("Loss", "loss", reads=("action", "sample_log_prob", ("next", "reward")), writes=("loss_objective",))


def actor():
    net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)


def refusal(*parts):
    with pytest.raises(ContractError) as caught:
        Flow(*parts)
    return str(caught.value)


def test_a_buffer_that_does_not_keep_what_a_loss_reads():
    with GymEnv("CartPole-v1") as env:
        message = refusal(env, actor(), Part("Replay", "buffer", keeps=("observation", "action", "next")), LOSS)
    assert message == (
        "Flow cannot be built: 1 finding.\n"
        "1. Loss (loss) reads 'sample_log_prob', which Replay (buffer) does not keep.\n"
        "   provided: it keeps 'observation', 'action', 'next'\n"
        "   let Replay keep 'sample_log_prob' too: keys=[...] of a ReplayBuffer, keeps=(...) of a Part."
    )


def test_a_buffer_that_keeps_all_or_enough_and_adds_its_own():
    weigh = Part("weigh", "estimator", reads=("index",), writes=("weight",))
    with GymEnv("CartPole-v1") as env:
        for keeps in (None, ("action", "sample_log_prob", "next")):
            assert Flow(env, actor(), Part("B", "buffer", writes=("index",), keeps=keeps), LOSS, weigh).findings == ()


def test_a_replay_buffer_is_a_part_that_says_itself_what_it_keeps():
    weigh = Part("weigh", "estimator", reads=("index", "priority_weight"), writes=("weight",))
    with GymEnv("CartPole-v1") as env:
        whole = ReplayBuffer(100, sampler=PrioritizedSampler())
        assert Flow(env, actor(), whole, LOSS, weigh).findings == ()
        far = Part("far", "estimator", reads=("discount",), writes=("target",))
        assert Flow(env, actor(), ReplayBuffer(100, n_step=3, gamma=0.99), LOSS, far).findings == ()
        assert "far reads 'discount'" in refusal(env, actor(), ReplayBuffer(100), LOSS, far).replace(" (estimator)", "")
        narrow = ReplayBuffer(100, keys=["observation", "action", ("next", "reward")])
        message = refusal(env, actor(), narrow, LOSS)
    assert "1. Loss (loss) reads 'sample_log_prob', which ReplayBuffer (buffer) does not keep." in message


def test_what_a_loss_writes_of_prioritised_n_step_samples_is_known():
    with GymEnv("CartPole-v1") as env:
        greedy = QValueActor(nn.Linear(4, 2), spec=env.action_spec)
        buffer = ReplayBuffer(100, sampler=PrioritizedSampler(), n_step=3, gamma=0.99)
        flow = Flow(env, greedy, buffer, DQNLoss(greedy))
    assert [str(flow[key].holds.shape) for key in ("index", "priority_weight", "discount", "loss")] == [
        *("()", "()", "(1,)", "()")
    ]
    assert flow["index"].holds.dtype == "int64"


def test_a_selection_that_drops_what_a_loss_reads():
    policy = TensorDictSequential(actor(), selected_out_keys=["action"])
    with GymEnv("CartPole-v1") as env:
        message = refusal(env, policy, LOSS)
    assert message == (
        "Flow cannot be built: 1 finding.\n"
        "1. Loss (loss) reads 'sample_log_prob', which ProbabilisticActor computes and the selected out_keys of "
        "TensorDictSequential drop.\n"
        "   provided: kept: 'action'\n"
        "   keep it: select_out_keys(..., 'sample_log_prob')."
    )


def test_a_module_whose_own_selection_drops_it():
    two = TensorDictModule(lambda x: (x, x), ["observation"], ["a", "b"]).select_out_keys("a")
    message = refusal(SOURCE, two, Part("reader", reads=("b",)))
    assert message == (
        "Flow cannot be built: 1 finding.\n"
        "1. reader (module) reads 'b', which function computes and its selected out_keys drop.\n"
        "   provided: kept: 'a'\n"
        "   keep it: select_out_keys(..., 'b')."
    )


def test_a_selection_that_drops_the_next_state():
    memory = GRUModule(4, 8, in_key="observation", out_key="features")
    head = TensorDictModule(lambda x: x[..., 0].long(), ["features"], ["action"])
    policy = TensorDictSequential(memory, head).select_out_keys("action")
    with GymEnv("CartPole-v1") as env:
        message = refusal(env, policy)
    assert message == (
        "Flow cannot be built: 1 finding.\n"
        "1. TensorDictSequential (policy) reads 'recurrent_state', and ('next', 'recurrent_state'), which GRUModule "
        "computes for the following step, is dropped by the selected out_keys of TensorDictSequential.\n"
        "   provided: kept: 'action'\n"
        "   keep it: select_out_keys(..., ('next', 'recurrent_state'))."
    )
