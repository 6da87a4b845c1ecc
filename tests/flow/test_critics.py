"""Critics that do not look at the action, and critics that must not, word for word."""

from __future__ import annotations

import pytest
from torch import nn

from keywork._errors import ContractError
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.modules import Actor, ActorCriticOperator, QValueActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule
from keywork.specs import Bounded, Categorical, Unbounded

SOURCE = {"observation": Unbounded(4)}
BOX = Bounded(-1.0, 1.0, (2,))
ADVANTAGES = Part("estimator", "estimator", reads=("state_value",), writes=("advantage",))


def refusal(*parts):
    with pytest.raises(ContractError) as caught:
        Flow(*parts)
    return str(caught.value)


def test_a_value_of_state_and_action_that_knows_no_action():
    critic = ValueOperator(nn.Linear(4, 1), out_keys=["state_action_value"])
    message = (
        "Flow cannot be built: 1 finding.\n"
        "1. ValueOperator (value) writes 'state_action_value', and the action is nowhere in what it comes from: it "
        "would be the same for every action.\n"
        "   provided: it reads 'observation'\n"
        "   let it read the action, in_keys=['observation', 'action'], or call what it writes 'state_value'."
    )
    assert refusal(SOURCE, Actor(nn.Linear(4, 2), spec=BOX), critic) == message
    with GymEnv("Pendulum-v1") as env:
        blind = ValueOperator(nn.Linear(3, 1), out_keys=["state_action_value"])
        assert message.split("\n")[1] in refusal(env, blind)


def test_critics_that_come_across_the_action_are_right():
    actor = Actor(nn.Linear(4, 2), spec=BOX)
    whole = ValueOperator(MLP(6, 1), ["observation", "action"])
    assert Flow(SOURCE, actor, whole).findings == ()
    joined = TensorDictModule(MLP(6, 8), ["observation", "action"], ["features"])
    head = ValueOperator(nn.Linear(8, 1), ["features"], out_keys=["state_action_value"])
    assert Flow(SOURCE, actor, joined, head).findings == ()
    # what "features" holds is nobody's to say here
    assert Flow({"features": Unbounded(8)}, head).findings == ()
    assert Flow(head).findings == ()
    # one number for each action
    each = ValueOperator(nn.Linear(4, 2), out_keys=["state_action_value"])
    assert Flow(SOURCE, each).findings == ()
    assert Flow(SOURCE, QValueActor(nn.Linear(4, 2), spec=Categorical(2))).findings == ()
    trunk = TensorDictModule(nn.Linear(4, 8), ["observation"], ["hidden"])
    judged = ValueOperator(MLP(10, 1), ["hidden", "action"])
    assert Flow(SOURCE, ActorCriticOperator(trunk, Actor(nn.Linear(8, 2), ["hidden"], spec=BOX), judged)).findings == ()


def test_a_value_of_states_that_knows_the_action_where_advantages_are_made_of_it():
    critic = ValueOperator(MLP(6, 1), ["observation", "action"], ["state_value"])
    given = {**SOURCE, "action": BOX}
    assert refusal(given, critic, ADVANTAGES) == (
        "Flow cannot be built: 1 finding.\n"
        "1. the critic ValueOperator of ValueOperator (value) reads 'action' and writes 'state_value': an advantage is "
        "measured against the value of the state alone.\n"
        "   provided: it reads 'observation', 'action'\n"
        "   let it read the state alone: in_keys=['observation']."
    )


def test_without_advantages_a_value_may_be_called_as_one_likes():
    critic = ValueOperator(MLP(6, 1), ["observation", "action"], ["state_value"])
    assert Flow({**SOURCE, "action": BOX}, critic).findings == ()
    assert Flow(SOURCE, ValueOperator(nn.Linear(4, 1)), ADVANTAGES).findings == ()
