"""Entries that are written again before anybody has read them, word for word, and those that rightly are."""

from __future__ import annotations

import pytest
from torch import nn

from keywork._errors import ContractError
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.modules import ActorValueOperator, GRUModule, ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Unbounded

SOURCE = {"observation": Unbounded(4)}


def net(reads, writes, widths=(4, 2)):
    return TensorDictModule(nn.Linear(*widths), [reads], [writes])


def actor(body=None):
    options = {"distribution_class": Categorical, "return_log_prob": True}
    return ProbabilisticActor(body or net("observation", "logits"), ["logits"], **options)


def critic():
    return ValueOperator(nn.Linear(4, 1))


def refusal(*parts):
    with pytest.raises(ContractError) as caught:
        Flow(*parts)
    return str(caught.value)


def test_two_critics_of_one_key():
    assert refusal(SOURCE, critic(), critic()) == (
        "Flow cannot be built: 1 finding.\n"
        "1. ValueOperator (value) and ValueOperator 2 (value) both write 'state_value', and nothing reads it between.\n"
        "   provided: 'state_value' by the first, 'state_value' by the second\n"
        "   the first is lost: give one another key, such as 'state_value_2', or '_' to drop it."
    )


def test_two_policies_are_one_finding_and_not_one_for_each_key():
    assert refusal(SOURCE, actor(), actor()) == (
        "Flow cannot be built: 1 finding.\n"
        "1. Categorical (policy) and Categorical 2 (policy) both write 'action', and nothing reads it between: there "
        "are two policies.\n"
        "   provided: 'action', 'sample_log_prob' by the first, 'action', 'sample_log_prob' by the second\n"
        "   leave one out, let the second change what it reads (in_keys=['action', ...]), or give one another key: "
        "out_keys=['action_2']."
    )


def test_what_the_environment_overwrites():
    guess = Part("guess", "module", reads=("observation",), writes=(("next", "reward"),))
    with GymEnv("CartPole-v1") as env:
        message = refusal(
            env, TensorDictSequential(actor()), guess, Part("again", "exploration", ("action",), ("action",))
        )
    assert message.split("\n")[1] == (
        "1. guess (module) writes ('next', 'reward'), which nothing reads, and CartPole-v1 step (env) overwrites it."
    )
    assert "give what guess writes a key of its own, such as ('next', 'reward_2'), or '_' to drop it." in message


def shared():
    trunk = net("observation", "hidden", (4, 8))
    return ActorValueOperator(trunk, actor(net("hidden", "logits", (8, 2))), ValueOperator(nn.Linear(8, 1), ["hidden"]))


def recurrent():
    memory = GRUModule(4, 8, in_key="observation", out_key="features")
    policy = ProbabilisticActor(
        [memory, net("features", "logits", (8, 2))], ["logits"], distribution_class=Categorical, return_log_prob=True
    )
    return policy, TensorDictSequential(memory, ValueOperator(nn.Linear(8, 1), ["features"]))


def test_right_pipelines_that_write_a_key_twice():
    policy, value = actor(), critic()
    both = shared()
    head, judge = both.get_policy_operator(), both.get_value_operator()
    memory, remembering = recurrent()
    with GymEnv("CartPole-v1") as env:
        # an estimator computes the values of the batch anew
        assert Flow(env, policy, value, GAE(0.9, 0.9, value), ClipPPOLoss(policy, value)).findings == ()
        assert Flow(env, both, GAE(0.9, 0.9, judge), ClipPPOLoss(head, judge)).findings == ()
        # the trunk of both operators is one and the same, with a memory or without
        assert Flow(env, head, judge, GAE(0.9, 0.9, judge), ClipPPOLoss(head, judge)).findings == ()
        assert Flow(env, memory, remembering).findings == ()
        # what is stored is not lost, and what comes after the buffer computes actions to learn from
        assert Flow(env, policy, Part("buffer", "buffer"), policy).findings == ()
        # separate encoders of one key, each read before the next one writes
        encoders = [TensorDictSequential(net("observation", "h"), net("h", out, (2, 2))) for out in ("logits", "more")]
        assert Flow(SOURCE, *encoders).findings == ()
    losses = [Part(name, "loss", reads=("observation",), writes=("loss_value",)) for name in "ab"]
    assert Flow(SOURCE, *losses).findings == ()
    noise = Part("noise", "exploration", reads=("observation",), writes=("observation",))
    assert Flow(SOURCE, noise, noise).findings == ()


def test_after_a_buffer_the_environment_has_acted():
    policy = actor()
    with GymEnv("CartPole-v1") as env:
        flow = Flow(env, policy, Part("buffer", "buffer"), policy)
    kinds = [part.kind for part in flow.parts]
    assert kinds == ["env", "policy", "policy", "env", "buffer", "policy", "policy"]


def test_an_environment_without_a_policy_acts_at_random():
    with GymEnv("CartPole-v1") as env:
        flow = Flow(env, critic())
        assert Flow(env).findings == ()
    assert flow.parts[-1].description == "random actions"
    assert flow["action"].written_by == ("CartPole-v1 step",)
    assert flow["action"].holds.dtype == "int64"
