from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import UsageError
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.modules import ProbabilisticActor
from keywork.nn import ExplorationType, TensorDictModule, TensorDictModuleBase, exploration_type
from keywork.specs import Composite, Unbounded
from keywork.train import Evaluation, evaluate, return_goal


def actor(logits):
    """A policy that gives the same probabilities everywhere."""
    net = nn.Linear(2, 2)
    nn.init.zeros_(net.weight)
    net.bias.data = torch.tensor(logits)
    module = TensorDictModule(net, ["observation"], ["logits"])
    return ProbabilisticActor(module, ["logits"], distribution_class=Categorical, return_log_prob=True)


def test_plays_the_same_number_of_episodes_in_every_environment(walk):
    # Each environment's episodes have 1, 2, 3, 3, ... steps; the policy takes action 0, which pays 1 a step.
    with GymEnv(walk, num_envs=2) as env:
        evaluation = evaluate(actor([1.0, 0.0]), env, episodes=8, seed=0)
    assert evaluation == Evaluation((1.0, 2.0, 3.0, 3.0) * 2, (1, 2, 3, 3) * 2)


def test_quick_environments_do_not_crowd_out_slow_ones(walk):
    lengths = iter([1, 100, 1])  # the first one made is looked at, and closed
    made = []

    def make():
        made.append(walk(longest=next(lengths, 1)))
        return made[-1]

    with GymEnv(make, num_envs=2) as env:
        evaluation = evaluate(actor([1.0, 0.0]), env, episodes=10, seed=0)
    longest = sorted(env.longest for env in made)
    assert longest[-1] == 100
    # Whichever of the two is slow has episodes of 1, 2, 3, 4 and 5 steps, the other one five of one step.
    assert sorted(evaluation.lengths) == sorted([1, 2, 3, 4, 5, 1, 1, 1, 1, 1])


def test_does_not_explore_unless_it_is_asked_to(walk):
    nearly_even = actor([0.0, 0.01])  # the more likely action pays 10
    with GymEnv(walk, num_envs=4) as env:
        assert set(evaluate(nearly_even, env, episodes=4, seed=0).returns) == {10.0}
        torch.manual_seed(0)
        explored = evaluate(nearly_even, env, episodes=40, seed=0, exploration_type=ExplorationType.RANDOM)
    assert 10 * sum(explored.lengths) > sum(explored.returns) > sum(explored.lengths)
    assert exploration_type() is not ExplorationType.DETERMINISTIC


def test_is_the_same_again(walk):
    with GymEnv("CartPole-v1", num_envs=2) as env:
        torch.manual_seed(0)
        policy = ProbabilisticActor(
            TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"]), ["logits"], distribution_class=Categorical
        )
        first = evaluate(policy, env, episodes=6, seed=1)
        torch.manual_seed(5)
        assert evaluate(policy, env, episodes=6, seed=1) == first
        assert evaluate(policy, env, episodes=6, seed=2) != first


class FirstStep(TensorDictModuleBase):
    """Takes action 1 in an episode's first step, as a count of its own says, whatever else it is shown."""

    carried_specs = Composite({"count": Unbounded((1,))})

    def __init__(self):
        super().__init__(["count"], ["action", ("next", "count")], carries=["count"])

    def compute(self, count):
        return (count.squeeze(-1) == 0.0).long(), count + 1.0


def test_what_a_policy_carries_goes_on_within_an_episode_and_begins_anew_with_the_next(walk):
    with GymEnv(walk, num_envs=2) as env:
        evaluation = evaluate(FirstStep(), env, episodes=8, seed=0)
    # Episodes of 1, 2, 3 and 3 steps: 10 for the first step, and 1 for each of the others.
    assert evaluation.returns == (10.0, 11.0, 12.0, 12.0) * 2


def test_metrics_by_hand():
    # mean (1 + 3 + 8) / 3 = 4; variance (9 + 1 + 16) / 3 = 26 / 3; mean length (2 + 2 + 5) / 3 = 3
    metrics = Evaluation((1.0, 3.0, 8.0), (2, 2, 5)).metrics
    assert metrics == {
        "eval/return_mean": 4.0,
        "eval/return_std": pytest.approx((26 / 3) ** 0.5),
        "eval/return_min": 1.0,
        "eval/return_max": 8.0,
        "eval/length_mean": 3.0,
        "eval/episodes": 3.0,
    }


@pytest.mark.parametrize(("episodes", "multiple"), [(3, 2), (7, 6), (1, 2), (0, 2), (-2, 2)])
def test_refuses_what_cannot_be_shared_out(walk, episodes, multiple):
    with GymEnv(walk, num_envs=2) as env, pytest.raises(UsageError) as raised:
        evaluate(actor([0.0, 0.0]), env, episodes=episodes)
    assert str(raised.value) == (
        f"{episodes} episodes cannot be evaluated in 2 environments, the same number in each. "
        f"Type a multiple: {multiple}."
    )


def test_the_goal_is_gymnasiums():
    goals = [return_goal(name) for name in ("CartPole-v1", "Pendulum-v1", "no_module:CartPole-v1", "None-v0")]
    assert goals == [475.0, None, 475.0, None]
