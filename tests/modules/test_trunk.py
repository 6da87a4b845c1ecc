from __future__ import annotations

import pytest
from torch import nn

from keywork._errors import ContractError
from keywork.modules import Actor, ActorCriticOperator, ActorCriticWrapper, ActorValueOperator, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule

TRUNK = TensorDictModule(nn.Linear(3, 8), ["observation"], ["hidden"])


@pytest.mark.parametrize("kind", [ActorValueOperator, ActorCriticOperator])
@pytest.mark.parametrize("wrong", ["policy_operator", "value_operator"])
def test_a_misspelt_key_of_the_trunk_that_the_other_head_reads(kind, wrong):
    heads = {
        "policy_operator": Actor(nn.Linear(8, 1), ["hiden" if wrong == "policy_operator" else "hidden"]),
        "value_operator": ValueOperator(nn.Linear(8, 1), ["hiden" if wrong == "value_operator" else "hidden"]),
    }
    label = {"policy_operator": "Actor (Linear 8 -> 1)", "value_operator": "ValueOperator (Linear 8 -> 1)"}[wrong]
    with pytest.raises(ContractError) as error:
        kind(TRUNK, **heads)
    assert str(error.value) == (
        f"{kind.__name__} cannot be built: 1 finding.\n"
        f"1. {wrong} ({label}) reads 'hiden', which nothing before it writes.\n"
        "   provided: common_operator writes 'hidden'\n"
        "   did you mean 'hidden'? Rename one of the two; if it comes from outside, "
        "TensorDictSequential(trunk, policy, value, external=['hiden'])."
    )


def test_a_key_that_both_heads_misspell_is_said_once_each():
    with pytest.raises(ContractError) as error:
        ActorValueOperator(TRUNK, Actor(nn.Linear(8, 1), ["hiden"]), ValueOperator(nn.Linear(8, 1), ["hiden"]))
    assert "cannot be built: 2 findings." in str(error.value)
    assert "external=" not in str(error.value)  # which an operator does not take


def test_what_heads_may_read_besides():
    trunk = TensorDictModule(nn.Linear(3, 8), ["observation"], ["observation_"])
    critic = ValueOperator(nn.Linear(3, 1), ["observation"])
    both = ActorValueOperator(trunk, Actor(nn.Linear(8, 1), ["observation_"]), critic)
    assert both.in_keys == ["observation"]
    judging = ValueOperator(MLP(8 + 1, 1), ["hidden", "action"])
    assert ActorCriticOperator(TRUNK, Actor(nn.Linear(8, 1), ["hidden"]), judging).in_keys == ["observation"]


def test_side_by_side_takes_no_external_either():
    actor = Actor(nn.Linear(3, 1), ["observation"], ["action"])
    with pytest.raises(ContractError) as error:
        ActorCriticWrapper(actor, ValueOperator(nn.Linear(3, 1), ["acton"]))
    assert str(error.value).endswith("did you mean 'action'? Rename one of the two.")
