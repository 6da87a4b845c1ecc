"""Batches of one step, which off-policy algorithms take: what larger batches hold, in memory of their own."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import nn

from keywork._errors import NonFiniteError
from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.modules import GRUModule, ProbabilisticActor
from keywork.nn import ExplorationType, TensorDictModule, exploration_type, recurrent_mode, set_exploration_type


def feed_forward():
    net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)


def recurrent():
    memory = GRUModule(4, 8, in_key="observation", out_key="features")
    head = TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    return ProbabilisticActor([memory, head], ["logits"], distribution_class=Categorical)


def sync(mode):
    return lambda num_envs: gymnasium.make_vec(
        "CartPole-v1", num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}
    )


SOURCES = {
    "own": lambda num_envs: GymEnv("CartPole-v1", num_envs, seed=0),
    "processes": lambda num_envs: GymEnv("CartPole-v1", num_envs, seed=0, workers="process"),
    "same step": lambda num_envs: GymEnv(sync(AutoresetMode.SAME_STEP)(num_envs), seed=0),
    "next step": lambda num_envs: GymEnv(sync(AutoresetMode.NEXT_STEP)(num_envs), seed=0),
}


@pytest.mark.parametrize("make_policy", [feed_forward, recurrent])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("num_envs", [1, 3])
def test_they_are_the_steps_of_a_larger_batch_to_the_last_bit(num_envs, source, make_policy):
    def collect(steps):
        torch.manual_seed(0)
        policy = make_policy()
        with SOURCES[source](num_envs) as env:
            collector = Collector(env, policy, frames_per_batch=num_envs * steps)
            batches = [collector.collect() for _ in range(60 // steps)]
            return torch.cat(batches, 1), collector.take_episodes()

    (singles, of_singles), (whole, of_whole) = collect(1), collect(60)
    assert whole["next", "done"].any()
    assert set(singles.keys(True, True)) == set(whole.keys(True, True))
    for key in whole.keys(True, True):
        assert singles[key].dtype is whole[key].dtype, key
        assert torch.equal(singles[key], whole[key]), key
    assert of_singles == of_whole != []


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("steps", [1, 2])
def test_whatever_is_done_to_a_batch_changes_no_other(source, steps):
    def collect(spoil):
        torch.manual_seed(0)
        policy = feed_forward()
        with SOURCES[source](2) as env:
            collector, batches = Collector(env, policy, frames_per_batch=2 * steps), []
            for _ in range(40 // steps):
                batch = collector.collect()
                batches.append(batch.clone())
                if spoil:
                    for key in list(batch.keys(True, True)):
                        before = batch.exclude(key).clone()
                        batch[key].fill_(1)
                        assert (batch.exclude(key) == before).all(), key
        return torch.cat(batches, 1)

    assert (collect(spoil=True) == collect(spoil=False)).all()


def test_a_policy_may_work_in_place_on_what_it_is_shown():
    def run(net):
        torch.manual_seed(0)
        policy = TensorDictModule(net, ["observation"], ["action"])
        with GymEnv("CartPole-v1", 2, seed=0) as env:
            collector = Collector(env, policy, frames_per_batch=2)
            return torch.cat([collector.collect() for _ in range(20)], 1)

    spoils = run(lambda x: (x.fill_(7.0)[:, 0] > 9).long())
    assert (spoils == run(lambda x: torch.zeros(len(x), dtype=torch.int64))).all()


def test_what_a_policy_says_of_the_step_to_come_gives_way_to_what_came():
    class Guesses(nn.Module):
        def forward(self, observation):
            guess = torch.full_like(observation, -1.0, dtype=torch.float64)
            return torch.zeros(len(observation), dtype=torch.int64), guess

    policy = TensorDictModule(Guesses(), ["observation"], ["action", ("next", "observation")])
    for steps in (1, 3):
        with GymEnv("CartPole-v1", 2, seed=0) as env:
            batch = Collector(env, policy, frames_per_batch=2 * steps, check=False).collect()
        assert batch["next", "observation"].dtype is torch.float32
        assert (batch["next", "observation"] != -1.0).all()


def test_modes_and_gradients_are_set_while_a_policy_acts_and_are_as_before_afterwards():
    seen = []

    def act(observation):
        seen.append((exploration_type(), recurrent_mode(), torch.is_grad_enabled()))
        return torch.zeros(len(observation), dtype=torch.int64)

    policy = TensorDictModule(act, ["observation"], ["action"])
    with GymEnv("CartPole-v1", seed=0) as env, set_exploration_type("mean"):
        Collector(env, policy, frames_per_batch=1, check=False).collect()
        assert (exploration_type(), torch.is_grad_enabled()) == (ExplorationType.MEAN, True)
    assert seen == [(ExplorationType.RANDOM, False, False)]


def test_a_nan_is_named_and_the_modes_are_as_before():
    policy = TensorDictModule(
        lambda x: (x[:, :1] * torch.nan, torch.zeros(len(x), dtype=torch.int64)), ["observation"], ["score", "action"]
    )
    with GymEnv("CartPole-v1", 2, seed=0) as env:
        collector = Collector(env, policy, frames_per_batch=2)
        with pytest.raises(NonFiniteError, match="env 0 of 2, step 0 of the batch that follows frame 0"):
            collector.collect()
    assert exploration_type() is None
    assert torch.is_grad_enabled()


class Still(gymnasium.Env):
    """Shows one array that it writes into again with every step."""

    observation_space = gymnasium.spaces.Box(0.0, 100.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self.shown = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        self.shown[:] = 0.0
        return self.shown, {}

    def step(self, action):
        self.shown += 1.0
        return self.shown, 0.0, bool(self.shown[0] == 3.0), False, {}


@pytest.mark.parametrize("steps", [1, 6])
def test_an_environment_that_writes_into_what_it_has_shown(steps):
    with GymEnv(Still, 1) as env:
        collector = Collector(env, None, frames_per_batch=steps)
        batch = torch.cat([collector.collect() for _ in range(6 // steps)], 1)[0]
    assert batch["observation"].flatten().tolist() == [0, 1, 2, 0, 1, 2]
    assert batch["next", "observation"].flatten().tolist() == [1, 2, 3, 1, 2, 3]
