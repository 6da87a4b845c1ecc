"""Samples that are more than plain steps, and losses that do not know it."""

from __future__ import annotations

import pytest
from torch import nn

from keywork._errors import ContractError
from keywork.buffers import PrioritizedSampler, ReplayBuffer
from keywork.flow import Flow, Part
from keywork.modules import QValueActor
from keywork.objectives import BCLoss, DQNLoss
from keywork.specs import Categorical, Unbounded

BUFFERS = {
    "priority_weight": {"sampler": PrioritizedSampler(alpha=0.6, beta=0.4)},
    "discount": {"n_step": 3, "gamma": 0.9},
}


def flow_of(*parts, **options):
    step = {key: Unbounded((1,)) for key in ["observation", ("next", "observation"), ("next", "reward")]}
    specs = {**step, "action": Categorical(2), ("next", "terminated"): Unbounded((1,))}
    return Flow(specs, ReplayBuffer(8, batch_size=2, **options), *parts, check=True)


def value_loss():
    return DQNLoss(QValueActor(nn.Linear(1, 2), spec=Categorical(2)))


@pytest.mark.parametrize("key", BUFFERS)
def test_a_loss_that_does_not_weigh_its_samples_is_refused(key):
    loss = Part("cloning", "loss", reads=("observation", "action"), writes=("loss_bc",))
    with pytest.raises(ContractError) as raised:
        flow_of(loss, **BUFFERS[key])
    (finding,) = raised.value.findings
    assert finding.kind == "unweighed-samples"
    assert finding.problem.endswith(f"{key!r}, which cloning (loss) does not read.")


@pytest.mark.parametrize("key", BUFFERS)
def test_one_that_does_is_right_and_so_is_one_beside_it(key):
    beside = Part("cloning", "loss", reads=("observation", "action"), writes=("loss_bc",))
    assert flow_of(value_loss(), beside, **BUFFERS[key]).findings == ()


@pytest.mark.parametrize("key", BUFFERS)
def test_where_nothing_learns_nothing_is_asked(key):
    assert flow_of(**BUFFERS[key]).findings == ()


def test_plain_samples_are_for_everybody():
    assert flow_of(BCLoss(QValueActor(nn.Linear(1, 2), spec=Categorical(2)), loss_function="l2")).findings == ()
