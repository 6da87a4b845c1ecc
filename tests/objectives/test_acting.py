"""Policies made of policies: what draws is the last step of the last step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork.modules import ProbabilisticActor, ValueOperator
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule
from keywork.objectives import CQLLoss, DiscreteSACLoss, SACLoss
from keywork.objectives._acting import Drawing, last_step
from keywork.specs import Bounded, Categorical, Composite, Unbounded

SEEN = Unbounded((3,))
FEATURES = Composite({"features": Unbounded((4,))})
NUMBERS, CHOICES = Bounded(-1.0, 1.0, (2,)), Categorical(3)


def policy(action, nested):
    head = ProbabilisticActor.from_spec(FEATURES, action)
    trunk = TensorDictModule(nn.Linear(3, 4), ["observation"], ["features"])
    inner = ProbabilisticTensorDictSequential(trunk, head)
    return ProbabilisticTensorDictSequential(inner) if nested else inner


@pytest.mark.parametrize("nested", [False, True])
def test_a_policy_in_a_policy_draws_as_its_last_step_does(nested):
    actor = policy(NUMBERS, nested)
    assert hasattr(last_step(actor), "generator")
    held = {"observation": torch.randn(5, 3)}
    torch.manual_seed(1)
    drawn = Drawing(actor).now(held)
    torch.manual_seed(1)
    dist = actor.dist_of(held["observation"])
    sample = dist.rsample()
    torch.testing.assert_close(drawn.actions["action"], sample)
    torch.testing.assert_close(drawn.log_prob, dist.log_prob(sample))


@pytest.mark.parametrize("nested", [False, True])
def test_the_losses_that_draw_take_one(nested):
    judge = ValueOperator.from_spec(SEEN, NUMBERS)
    assert "loss_actor" in SACLoss(policy(NUMBERS, nested), judge).out_keys
    assert "penalty" in CQLLoss(policy(NUMBERS, nested), judge, action_spec=NUMBERS).out_keys
    choosing = TensorDictModule(nn.Linear(3, 3), ["observation"], ["action_value"])
    assert "loss_actor" in DiscreteSACLoss(policy(CHOICES, nested), choosing).out_keys
