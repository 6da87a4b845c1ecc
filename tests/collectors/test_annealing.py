"""Exploration that fades with the frames that are collected."""

import pytest
import torch
from torch import nn

from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.modules import (
    Actor,
    ActorValueOperator,
    AdditiveGaussianModule,
    EGreedyModule,
    EnsembleModule,
    OrnsteinUhlenbeckProcessModule,
    QValueActor,
    TanhModule,
    ValueOperator,
)
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.train import evaluate


def greedy(**options):
    torch.manual_seed(0)
    explore = EGreedyModule(eps_init=1.0, eps_end=0.2, annealing_num_steps=80, **options)
    return TensorDictSequential(QValueActor(nn.Linear(4, 2), action_space="categorical"), explore)


@pytest.fixture
def env():
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as made:
        yield made


def test_frames_of_all_environments_count_once_after_each_batch(env):
    policy = greedy()
    collector = Collector(env, policy, frames_per_batch=20)
    strengths = []
    for _ in range(6):
        strengths.append(policy[1].eps.item())
        collector.collect()
    # 1 - t * 0.8 / 80 after t = 0, 20, 40, 60, 80 and 100 frames, and never below 0.2
    assert strengths == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2])
    assert policy[1].annealing.frames.item() == collector.frames == 120


def test_every_module_of_a_policy_fades_wherever_it_is_and_each_once():
    noise = [AdditiveGaussianModule(annealing_num_steps=100) for _ in range(2)]
    trunk = TensorDictModule(nn.Linear(3, 8), ["observation"], ["hidden"])
    actor = TensorDictSequential(Actor(nn.Linear(8, 1), ["hidden"]), TensorDictSequential(noise[0]))
    both = ActorValueOperator(trunk, actor, ValueOperator(nn.Linear(8, 1), ["hidden"]))
    policy = TensorDictSequential(both.get_policy_operator(), noise[1], TensorDictModule(noise[1], "action", "again"))
    with GymEnv("Pendulum-v1", num_envs=2) as env:
        Collector(env, policy, frames_per_batch=10).collect()
        specs = [module.spec for module in noise]
        assert specs == [env.action_spec] * 2
    assert [module.annealing.frames.item() for module in noise] == [10, 10]


def test_the_members_of_an_ensemble_fade_and_get_their_spec_too(env):
    member = TensorDictSequential(TensorDictModule(nn.Linear(4, 2), ["observation"], ["action_value"]), greedy_head())
    members = EnsembleModule(TensorDictSequential(member, EGreedyModule(annealing_num_steps=90)), num_copies=3, dim=-1)
    first = TensorDictModule(lambda actions: actions[..., 0], ["action"], ["action"])
    policy = TensorDictSequential(members, first)
    batch = Collector(env, policy, frames_per_batch=10).collect()
    explorers = [part for part in policy.modules() if isinstance(part, EGreedyModule)]
    assert [part.spec for part in explorers] == [env.action_spec]
    assert explorers[0].annealing.frames.tolist() == [10, 10, 10]
    torch.testing.assert_close(explorers[0].eps, torch.full((3,), 0.9))
    assert batch["action"].shape == (2, 5)


def greedy_head():
    return TensorDictModule(lambda values: values.argmax(-1), ["action_value"], ["action"])


@pytest.mark.parametrize(
    "options", [{"exploration_type": "deterministic"}, {"exploration_type": "mode"}, {"anneal": False}]
)
def test_what_is_no_exploration_or_is_not_to_count_does_not(env, options):
    policy = greedy()
    Collector(env, policy, frames_per_batch=20, **options).collect()
    assert (policy[1].eps.item(), policy[1].annealing.frames.item()) == (1.0, 0)


@pytest.mark.parametrize("kind", ["random", "deterministic"])
def test_an_evaluation_leaves_the_policy_as_it_is(env, kind):
    policy = greedy()
    Collector(env, policy, frames_per_batch=20).collect()
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    evaluate(policy, env, episodes=2, exploration_type=kind)
    after = policy.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_policy_that_is_saved_and_loaded_goes_on_where_it_was(env):
    whole, first = greedy(), greedy()
    collector = Collector(env, whole, frames_per_batch=20)
    for _ in range(3):
        collector.collect()
    Collector(env, first, frames_per_batch=40).collect()
    second = greedy()
    second.load_state_dict(first.state_dict())
    assert second[1].eps.item() == pytest.approx(0.6)
    Collector(env, second, frames_per_batch=20).collect()
    assert torch.equal(second[1].eps, whole[1].eps)
    assert second[1].annealing.frames.item() == 60


def test_a_batch_that_is_not_finished_does_not_count(env):
    policy = greedy()
    calls = []
    policy[0].register_forward_hook(lambda *_: calls.append(0) if len(calls) < 3 else raise_stop())
    with pytest.raises(KeyboardInterrupt):
        Collector(env, policy, frames_per_batch=20).collect()
    assert policy[1].annealing.frames.item() == 0


def raise_stop():
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [AdditiveGaussianModule, OrnsteinUhlenbeckProcessModule])
def test_the_spec_that_was_left_out_is_the_environments_inside_a_nested_sequential(kind):
    actor = Actor(nn.Linear(3, 1))
    inner = TensorDictSequential(TanhModule(["action"]), kind(annealing_num_steps=100))
    policy = TensorDictSequential(TensorDictSequential(actor), TensorDictSequential(inner))
    with GymEnv("Pendulum-v1", num_envs=3, seed=0) as env:
        batch = Collector(env, policy, frames_per_batch=30).collect()
    assert inner[1].spec == env.action_spec
    assert inner[1].annealing.frames.item() == 30
    assert batch["action"].abs().amax() <= 2.0


def test_a_large_number_of_frames_costs_what_a_small_one_does():
    """A loop over them would take a minute."""
    module = EGreedyModule(annealing_num_steps=10**9)
    module.step(5 * 10**8)
    assert module.eps.item() == pytest.approx(0.55)
