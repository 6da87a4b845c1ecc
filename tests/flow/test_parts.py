"""What a pipeline's parts are called, what they are for, and in which order they act."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork import distributions as d
from keywork._errors import ContractError
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.flow._describe import description_of, unique_names
from keywork.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
    TensorDictSequential,
)
from keywork.specs import Composite, Unbounded


@pytest.fixture
def env():
    with GymEnv("CartPole-v1", num_envs=2) as env:
        yield env


def net(reads, writes, width=(4, 2)):
    return TensorDictModule(nn.Linear(*width), [reads], [writes])


def actor(return_log_prob=True):
    options = {"distribution_class": d.Categorical, "return_log_prob": return_log_prob}
    return ProbabilisticTensorDictSequential(
        net("observation", "logits"), ProbabilisticTensorDictModule(["logits"], ["action"], **options)
    )


class Noise(TensorDictModuleBase):
    """Reads the action and writes another one."""

    def compute(self, action):
        return (action,)


class Estimator(TensorDictModuleBase):
    """Reads what follows."""

    def compute(self, reward):
        return (reward,)


def names(flow):
    return [part.name for part in flow.parts]


def kinds(flow):
    return [part.kind for part in flow.parts]


def test_the_env_acts_after_the_last_part_that_writes_the_action(env):
    noise = Noise(["action"], ["action"])
    loss = Estimator([("next", "reward")], ["loss_value"])
    flow = Flow(env, actor(return_log_prob=False), noise, loss)
    assert names(flow) == ["CartPole-v1", "Linear", "Categorical", "Noise", "CartPole-v1 step", "Estimator"]
    assert kinds(flow) == ["env", "policy", "policy", "exploration", "env", "loss"]
    assert flow.parts[0].description == "2 environments"


def test_a_step_of_the_policy_after_the_action_still_comes_before_the_env_acts(env):
    policy = TensorDictSequential(actor(), net("observation", "state_value", (4, 1)))
    assert names(Flow(env, policy)) == ["CartPole-v1", "Linear", "Categorical", "Linear 2", "CartPole-v1 step"]
    assert kinds(Flow(env, policy))[3] == "value"


def test_without_an_actor_the_env_acts_before_the_first_look_ahead(env):
    flow = Flow(
        env, net("observation", "state_value", (4, 1)), Estimator([("next", "reward")], ["advantage"]), check=False
    )
    assert names(flow) == ["CartPole-v1", "Linear", "CartPole-v1 step", "Estimator"]
    assert kinds(flow) == ["env", "value", "env", "estimator"]


def test_nested_sequentials_are_their_steps_and_given_names_are_kept():
    inner = TensorDictSequential(
        {"encoder": net("observation", "hidden", (4, 8)), "head": net("hidden", "logits", (8, 2))}
    )
    flow = Flow(TensorDictSequential(inner, net("logits", "scores", (2, 2)), net("scores", "more", (2, 2))))
    assert names(flow) == ["inputs", "encoder", "head", "Linear", "Linear 2"]


def test_a_sequential_that_hides_outputs_is_one_part():
    policy = TensorDictSequential(net("observation", "hidden", (4, 8)), net("hidden", "logits", (8, 2)))
    policy.select_out_keys("logits")
    flow = Flow(policy)
    assert names(flow) == ["inputs", "TensorDictSequential"]
    assert flow.parts[1].writes == ("logits",)


def test_functions_wrappers_and_distributions_go_by_what_they_wrap():
    def double(x):
        return 2 * x

    flow = Flow(TensorDictModule(double, ["a"], ["b"]), TensorDictModule(lambda x: x, ["b"], ["c"]))
    assert names(flow) == ["inputs", "double", "function"]


def test_an_optimiser_reads_the_losses_before_it():
    loss = Estimator([("next", "reward")], ["loss_value"])
    weight = nn.Parameter(torch.zeros(1))
    flow = Flow(loss, torch.optim.Adam([weight], lr=3e-4))
    assert flow.parts[-1] == Part("Adam", "optimiser", reads=("loss_value",), description="learning rate 0.0003")


def test_specs_of_what_comes_from_outside_are_inputs():
    given = {"observation": Unbounded(4)}
    for source in (given, Composite(given)):
        assert Flow(source, net("observation", "logits")).parts[0] == Part("inputs", "input", writes=("observation",))


def test_what_nobody_writes_comes_from_outside_where_there_is_no_source():
    flow = Flow(
        net("observation", "hidden"), net("hidden", "logits", (2, 2)), Estimator([("next", "reward")], ["loss_v"])
    )
    assert flow.parts[0] == Part("inputs", "input", writes=("observation", ("next", "reward")))
    assert flow["observation"].holds.shape_text == "?"


def test_anything_else_is_described_by_a_part():
    buffer = Part("ReplayBuffer", "buffer", reads=("a",), writes=("index",))
    assert Flow(Part("source", writes=("a",)), buffer).parts[-1] == buffer


def test_things_that_are_no_parts_are_refused_all_at_once(env):
    with pytest.raises(ContractError) as caught:
        Flow(env, nn.Linear(4, 2), 3)
    assert str(caught.value) == (
        "Flow cannot be built: 2 findings.\n"
        "1. part 1 is Linear, which says nothing of what it reads and writes.\n"
        "   provided: parts are environments, key modules (with in_keys and out_keys), optimisers, dicts of specs, and "
        "Part\n"
        "   wrap a network: TensorDictModule(net, in_keys=[...], out_keys=[...]), an environment: GymEnv(env); "
        "describe anything else: Part(name, kind, reads=..., writes=...).\n"
        "2. part 2 is int, which says nothing of what it reads and writes.\n"
        "   provided: parts are environments, key modules (with in_keys and out_keys), optimisers, dicts of specs, and "
        "Part\n"
        "   wrap a network: TensorDictModule(net, in_keys=[...], out_keys=[...]), an environment: GymEnv(env); "
        "describe anything else: Part(name, kind, reads=..., writes=...)."
    )


def test_two_environments_are_one_too_many(env):
    with pytest.raises(ContractError, match="there are 2 environments"):
        Flow(env, env)


def test_names_are_numbered_until_they_are_unique():
    assert unique_names(["a", "a 2", "a", "a"]) == ["a", "a 2", "a 3", "a 4"]


def test_descriptions_count_parameters_and_show_a_chain_of_widths():
    # 4*64+64 + 64*2+2 = 450
    assert description_of(nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))) == "4 → 64 → 2, 450 parameters"
    # two heads are no chain: 2 * (4*3+3) = 30
    assert description_of(nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])) == "30 parameters"
    assert description_of(nn.Tanh()) == ""
    assert description_of(nn.LazyLinear(3)) == ""
    assert description_of(nn.Linear(999, 1)) == "999 → 1, 1k parameters"
