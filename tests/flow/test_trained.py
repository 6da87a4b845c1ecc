"""Who learns and who does not, word for word."""

from __future__ import annotations

import copy

import pytest
from torch import nn
from torch.optim import SGD, Adam

from keywork._errors import ContractError
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.modules import ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule
from keywork.objectives import GAE, ClipPPOLoss


def net(writes="logits"):
    return TensorDictModule(nn.Linear(4, 2), ["observation"], [writes])


def actor():
    return ProbabilisticActor(net(), ["logits"], distribution_class=Categorical, return_log_prob=True)


@pytest.fixture(scope="module")
def env():
    with GymEnv("CartPole-v1") as env:
        yield env


@pytest.fixture
def policy():
    return actor()


@pytest.fixture
def critic():
    return ValueOperator(nn.Linear(4, 1))


@pytest.fixture
def gae(critic):
    return GAE(0.9, 0.9, critic)


@pytest.fixture
def loss(policy, critic):
    return ClipPPOLoss(policy, critic)


def refusal(*parts):
    with pytest.raises(ContractError) as caught:
        Flow(*parts)
    return str(caught.value)


OTHER = (
    "Flow cannot be built: 1 finding.\n"
    "1. {} has a network like one of ClipPPOLoss, with parameters of its own, which no loss reaches: what acts or "
    "judges there is not what is trained.\n"
    "   provided: {}, 2 parameter tensors\n"
    "   pass one and the same object to both; a copy on purpose is frozen: .requires_grad_(False)."
)


def test_the_policy_that_collects_is_another_one(env, gae, loss):
    assert refusal(env, actor(), gae, loss, Adam(loss.parameters())) == OTHER.format("Linear (policy)", "Linear")


def test_the_critic_of_the_estimator_is_another_one(env, policy, loss):
    gae = GAE(0.9, 0.9, ValueOperator(nn.Linear(4, 1)))
    assert refusal(env, policy, gae, loss) == OTHER.format("GAE (estimator)", "ValueOperator")


def test_a_network_that_leads_nowhere(env, policy, gae, loss):
    assert refusal(env, policy, net("extra"), gae, loss, Adam(loss.parameters())) == (
        "Flow cannot be built: 1 finding.\n"
        "1. Linear 2 (policy) has 2 parameter tensors that no loss reaches.\n"
        "   provided: losses: ClipPPOLoss\n"
        "   pass Linear 2 to a loss, leave it out, or freeze it: .requires_grad_(False)."
    )


def test_an_optimiser_of_the_actor_alone(env, policy, gae, loss):
    assert refusal(env, policy, gae, loss, Adam(policy.parameters())) == (
        "Flow cannot be built: 1 finding.\n"
        "1. ClipPPOLoss (loss) has parameters that Adam (optimiser) does not update: critic.module.weight, "
        "critic.module.bias.\n"
        "   give the optimiser all of them, such as Adam(loss.parameters()), or freeze what is not to learn: "
        ".requires_grad_(False)."
    )


def test_parameters_of_two_optimisers(env, policy, critic, gae, loss):
    assert refusal(env, policy, gae, loss, Adam(loss.parameters()), SGD(critic.parameters(), lr=0.1)) == (
        "Flow cannot be built: 1 finding.\n"
        "1. Adam and SGD (optimiser) both update GAE's value_network.module.weight, GAE's value_network.module.bias.\n"
        "   give each parameter to one of them; what actor and critic share belongs to one optimiser of both losses."
    )


def test_an_optimiser_of_parameters_that_are_nowhere(env, policy, gae, loss):
    assert refusal(env, policy, gae, loss, Adam([*loss.parameters(), *net().parameters()])) == (
        "Flow cannot be built: 1 finding.\n"
        "1. Adam (optimiser) updates 2 parameter tensors of no part, which no loss reaches.\n"
        "   provided: losses: ClipPPOLoss\n"
        "   give it the parameters of the losses: Adam(loss.parameters())."
    )


def test_right_pipelines(env, policy, critic, gae, loss):
    adam = Adam(loss.parameters())
    assert Flow(env, policy, gae, loss, adam).findings == ()
    assert Flow(env, policy, critic, gae, loss, adam).findings == ()
    assert Flow(env, policy, gae, loss, Adam(policy.parameters()), SGD(critic.parameters(), lr=0.1)).findings == ()
    described = Part("Flat", "optimiser", reads=("loss_objective",), trains=tuple(loss.parameters()))
    assert Flow(env, policy, gae, loss, described).findings == ()
    # nothing is known of what trains, or of what is trained
    assert Flow(env, policy, gae, loss, Part("Flat", "optimiser", reads=("loss_objective",))).findings == ()
    assert Flow(env, actor(), Part("loss", "loss", reads=("action",)), Adam(net().parameters())).findings == ()
    assert Flow(policy, net("extra")).findings == ()


def test_frozen_copies_and_frozen_losses_are_right(env, policy, critic, gae, loss):
    target = copy.deepcopy(critic).requires_grad_(False)
    assert Flow(env, policy, GAE(0.9, 0.9, target), loss, Adam(loss.parameters())).findings == ()
    behaviour = copy.deepcopy(policy).requires_grad_(False)
    assert Flow(env, behaviour, gae, loss, Adam(loss.parameters())).findings == ()
    critic.requires_grad_(False)
    assert Flow(env, policy, gae, loss, Adam(policy.parameters())).findings == ()


def test_what_a_loss_reads_is_reached_through_the_pipeline(env):
    critic = ValueOperator(nn.Linear(4, 1))
    scale = TensorDictModule(nn.Linear(1, 1), ["state_value"], ["loss_value"])
    adam = Adam([*critic.parameters(), *scale.parameters()])
    assert Flow(env, critic, scale, adam).findings == ()
