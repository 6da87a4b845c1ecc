"""Carried states in a flow: whose specs are known, and which of them nobody would feed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import ContractError
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import GRUModule, OrnsteinUhlenbeckProcessModule, ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Composite, Unbounded


class Counter(TensorDictModuleBase):
    """Carries a count, of which it says nothing."""

    def __init__(self):
        super().__init__(["observation", "count"], ["action", ("next", "count")], carries=["count"])

    def compute(self, observation, count):
        return observation[..., 0].long(), count + 1


class Counting(Counter):
    carried_specs = Composite({"count": Unbounded(1)})


def memory(state="recurrent_state"):
    return GRUModule(4, 8, in_keys=["observation", state], out_key="features")


def actor(body):
    head = TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    return ProbabilisticActor([body, head], ["logits"], distribution_class=Categorical, return_log_prob=True)


def test_a_state_of_which_nobody_says_what_it_is_is_refused():
    with GymEnv("CartPole-v1") as env, pytest.raises(ContractError) as caught:
        Flow(env, Counter())
    assert str(caught.value) == (
        "Flow cannot be built: 1 finding.\n"
        "1. Counter (policy) carries 'count' from step to step, and none of its modules says what it is: an episode's "
        "first step would have none.\n"
        "   give the module a property carried_specs: Composite({'count': Unbounded(shape)})."
    )


def test_it_is_no_finding_if_it_is_said_or_if_there_is_no_environment():
    with GymEnv("CartPole-v1") as env:
        flow = Flow(env, Counting())
    assert flow["count"].holds.shape == (1,)
    assert flow["action"].holds.dtype == "int64"
    assert Flow(Counter()).findings == ()


class Best(nn.Module):
    def forward(self, scores):
        return scores.argmax(-1)


def test_a_state_inside_a_sequential_that_hides_other_outputs_is_known_too():
    act = nn.Sequential(nn.Linear(8, 2), Best())
    policy = TensorDictSequential(memory(), TensorDictModule(act, ["features"], ["action"]))
    with GymEnv("CartPole-v1") as env:
        flow = Flow(env, policy.select_out_keys("action", ("next", "recurrent_state")))
    assert flow["recurrent_state"].holds.shape == flow["next", "recurrent_state"].holds.shape == (1, 8)
    assert flow.graph.notes == ()


def test_noise_that_waits_for_its_spec_is_no_finding():
    policy = TensorDictSequential(
        TensorDictModule(nn.Linear(3, 1), ["observation"], ["action"]), OrnsteinUhlenbeckProcessModule()
    )
    with GymEnv("Pendulum-v1") as env:
        flow = Flow(env, policy)
    assert flow.findings == ()
    assert flow["_ou_action_noise"].written_by == ("OrnsteinUhlenbeckProcessModule (step before)",)


def test_a_critics_memory_that_nobody_runs_while_data_is_collected_is_missing():
    """Of the actor the environment's steps are seen; the critic's state is read by estimator and loss alone."""
    policy = actor(TensorDictModule(nn.Linear(4, 8), ["observation"], ["features"]))
    critic = TensorDictSequential(memory("critic_state"), ValueOperator(nn.Linear(8, 1), ["features"]))
    with GymEnv("CartPole-v1") as env, pytest.raises(ContractError) as caught:
        Flow(env, policy, GAE(0.99, 0.95, critic), ClipPPOLoss(policy, critic))
    problems = [finding.problem for finding in caught.value.findings]
    assert problems == [
        "GAE (estimator) reads 'critic_state', which nothing before it writes.",
        "ClipPPOLoss (loss) reads 'critic_state', which nothing before it writes.",
    ]


@pytest.mark.parametrize("reader", ["loss", "estimator"])
def test_a_batch_without_the_state_is_refused_by_name(reader):
    policy = actor(memory())
    critic = TensorDictSequential(policy[0], ValueOperator(nn.Linear(8, 1), ["features"]))
    with GymEnv("CartPole-v1") as env:
        batch = env.rollout(3).set("sample_log_prob", torch.zeros(1, 3))
    part = ClipPPOLoss(policy, critic) if reader == "loss" else GAE(0.99, 0.95, critic)
    with pytest.raises(KeyError, match=r"reads 'recurrent_state', which the TensorDict does not hold"):
        part(batch)


def test_a_rollout_without_a_collector_says_so_at_its_first_step():
    policy = TensorDictSequential(memory(), TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"]))
    with GymEnv("CartPole-v1") as env, pytest.raises(KeyError, match="reads 'recurrent_state', which the TensorDict"):
        env.rollout(3, policy)
