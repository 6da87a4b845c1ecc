"""Random actions to begin with."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.envs.native import CartPole, Pendulum
from keywork.modules import EGreedyModule, GRUModule, ProbabilisticActor, QValueActor
from keywork.nn import TensorDictModule, TensorDictSequential


class Always(nn.Module):
    """Scores that are best for action 0."""

    def forward(self, observation):
        return torch.tensor([1.0, 0.0]).expand(*observation.shape[:-1], 2)


class Masked(gymnasium.Env):
    """Allows action 2 alone, of three."""

    observation_space = spaces.Dict(
        {"observation": spaces.Box(0.0, 1.0, (2,), np.float32), "action_mask": spaces.MultiBinary(3)}
    )
    action_space = spaces.Discrete(3)

    def _shown(self):
        return {"observation": np.zeros(2, np.float32), "action_mask": np.array([0, 0, 1], np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._shown(), {}

    def step(self, action):
        return self._shown(), 0.0, False, False, {}


def greedy(**options):
    return TensorDictSequential(
        QValueActor(Always(), action_space="categorical"), EGreedyModule(eps_init=0.0, eps_end=0.0, **options)
    )


def leaves(batch):
    return {key: value.dtype for key, value in batch.items(include_nested=True, leaves_only=True)}


@pytest.mark.parametrize("make", [lambda: GymEnv("CartPole-v1", 4, seed=0), lambda: CartPole(4, seed=0)])
def test_the_first_frames_are_random_and_all_have_the_same_keys(make):
    with make() as env:
        collector = Collector(env, greedy(), frames_per_batch=40, init_random_frames=60)
        first, second, third = (collector.collect() for _ in range(3))
    # 40 frames, then 20 more: five of the second batch's ten steps of four environments.
    assert 0 < first["action"].sum() < 40
    assert 0 < second["action"][:, :5].sum() < 20
    assert not second["action"][:, 5:].any()
    assert not third["action"].any()
    assert leaves(first) == leaves(second) == leaves(third)
    assert {"action_value", "chosen_action_value"} <= first.keys()


def test_random_actions_have_the_dtype_of_the_policys_own():
    best = TensorDictModule(lambda x: torch.eye(2)[(x[:, 0] > 0).long()], ["observation"], ["action"])
    with GymEnv("CartPole-v1", 3, seed=0, one_hot=True) as env:
        assert env.random_action().dtype is not torch.float32
        collector = Collector(env, best, frames_per_batch=6, init_random_frames=6)
        dtypes = [collector.collect()["action"].dtype for _ in range(2)]
    assert dtypes == [torch.float32] * 2


def test_the_environment_has_taken_what_is_stored():
    env, again = Pendulum(3, seed=0), Pendulum(3, seed=0)
    policy = TensorDictModule(nn.Linear(3, 1), ["observation"], ["action"])
    batch = Collector(env, policy, frames_per_batch=30, init_random_frames=30).collect()
    shown = again.begin()["observation"]
    for t in range(10):
        action = again.random_action()
        assert torch.equal(batch["action"][:, t], action)
        assert torch.equal(batch["observation"][:, t], shown)
        shown = again.advance(action).observation["observation"]


def test_a_step_that_begins_within_the_first_frames_is_random_as_a_whole():
    env = CartPole(4, seed=0)
    batch = Collector(env, greedy(), frames_per_batch=400, init_random_frames=393).collect()
    # 393 frames end within step 98 (4 * 98 = 392), of which all four rows are random.
    again = CartPole(4, seed=0)
    again.begin()
    drawn = torch.stack([again.random_action() for _ in range(99)], 1)
    assert torch.equal(batch["action"][:, :99], drawn)
    assert not batch["action"][:, 99:].any()


def test_masks_are_kept_to():
    net = TensorDictModule(nn.Linear(2, 3), ["observation"], ["logits"])
    policy = ProbabilisticActor(net, ["logits"], distribution_class=Categorical)
    with GymEnv(Masked, num_envs=2, seed=0) as env:
        batch = Collector(env, policy, frames_per_batch=40, init_random_frames=40).collect()
    assert (batch["action"] == 2).all()


def test_a_carried_state_is_the_policys_own():
    torch.manual_seed(0)
    memory = GRUModule(4, 8, in_key="observation", out_key="features")
    policy = TensorDictSequential(
        memory, QValueActor(nn.Linear(8, 2), in_keys=["features"], action_space="categorical")
    )
    env = CartPole(4, seed=0)
    collector = Collector(env, policy, frames_per_batch=80, init_random_frames=80)
    random, own = collector.collect(), collector.collect()
    for batch in (random, own):
        td = batch.select("observation", "recurrent_state", "is_init").reshape(-1)
        with torch.no_grad():
            torch.testing.assert_close(
                policy(td)["next", "recurrent_state"], batch["next", "recurrent_state"].flatten(0, 1)
            )
    assert own["recurrent_state"][:, 0].any()


def test_random_frames_count_for_the_total_and_the_episodes_and_for_no_annealing():
    policy = greedy(annealing_num_steps=100)
    collector = Collector(CartPole(4, seed=0), policy, frames_per_batch=200, total_frames=400, init_random_frames=300)
    batches = list(collector)
    assert collector.frames == 400
    assert policy[1].annealing.frames.item() == 100
    episodes = collector.take_episodes()
    assert len(episodes) == sum(batch["next", "done"].sum().item() for batch in batches)
    assert sum(e.return_ for e in episodes) == sum(e.length for e in episodes)  # a reward of 1 for each step


def test_a_policy_that_stores_log_probabilities_is_refused():
    net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    policy = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    with pytest.raises(ValueError) as error:
        Collector(CartPole(2), policy, frames_per_batch=4, init_random_frames=4)
    assert str(error.value) == (
        "Collector cannot begin with random actions: its policy (ProbabilisticActor) writes log-probabilities.\n"
        "  where: init_random_frames\n"
        "  expected: a policy that stores none, as those of off-policy algorithms: random actions are not drawn from "
        "it, and the score of its own action would be stored beside them\n"
        "  got: init_random_frames=4, and 'sample_log_prob' in the policy's out_keys\n"
        "  fix: return_log_prob=False in the actor, or init_random_frames=0"
    )
    unscored = ProbabilisticActor(net, ["logits"], distribution_class=Categorical)
    assert Collector(CartPole(2), unscored, frames_per_batch=4, init_random_frames=4).collect().numel() == 4


def test_less_than_no_frames_are_refused():
    with pytest.raises(ValueError, match="init_random_frames=-1 is no number of frames: give 0 or more"):
        Collector(CartPole(2), None, frames_per_batch=4, init_random_frames=-1)


def test_a_collector_that_goes_on_does_not_warm_up_again():
    collector = Collector(CartPole(4, seed=0), greedy(), frames_per_batch=80, init_random_frames=80)
    assert collector.collect()["action"].any()
    following = Collector(CartPole(4, seed=1), greedy(), frames_per_batch=80, init_random_frames=80, total_frames=200)
    following.load_state_dict(collector.state_dict())
    batches = list(following)
    assert [batch["action"].any().item() for batch in batches] == [False, False]  # 160 frames, then 240
    assert following.state_dict() == {"frames": 240}
