from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from keywork._errors import UsageError
from keywork.envs import GymEnv
from keywork.nets import MLP
from keywork.nn import ExplorationType, set_exploration_type
from keywork.specs import Binary, Bounded, Categorical, OneHot, Unbounded
from keywork.train import state_critic, stochastic_actor
from keywork.train._networks import Chain, Features, network


class Shapes(gymnasium.Env):
    """Shows and takes whatever it is made with."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


BOX = spaces.Box(-1, 1, (3,), np.float32)


def env_of(observation_space=BOX, action_space=None):
    return GymEnv(lambda: Shapes(observation_space, action_space or spaces.Discrete(2)), num_envs=2, seed=0)


class TestFeatures:
    def test_by_hand(self):
        features = Features([Unbounded((2, 2)), Categorical(3), Binary(2), Bounded(0, 1, ())])
        values = [
            torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]),
            torch.tensor([2]),
            torch.tensor([[1, 0]], dtype=torch.int8),
            torch.tensor([0.5]),
        ]
        assert features(*values).tolist() == [[1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.5]]
        assert features.size == 10

    def test_indices_of_any_shape_are_one_hot(self):
        features = Features([Categorical(3, shape=(2,)), OneHot(2)])
        got = features(torch.tensor([[1, 0]]), torch.tensor([[0, 1]]))
        assert got.tolist() == [[0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]]
        assert features.size == 8

    @pytest.mark.parametrize("batch", [(), (4,), (4, 5)])
    def test_any_batch(self, batch):
        features = Features([Unbounded((2, 3)), Categorical(4)])
        made = features(torch.zeros(*batch, 2, 3), torch.zeros(batch, dtype=torch.int64))
        assert made.shape == (*batch, features.size)


class TestNetwork:
    def test_numbers_go_straight_in(self):
        with env_of() as env:
            assert isinstance(network(env, 2, (8,), 1.0), MLP)

    def test_its_layers_are_orthogonal_and_the_last_has_its_gain(self):
        with env_of() as env:
            linears = [m for m in network(env, 2, (8, 8), last_gain=0.01).modules() if isinstance(m, nn.Linear)]
        assert [(m.in_features, m.out_features) for m in linears] == [(3, 8), (8, 8), (8, 2)]
        # W Wᵀ = gain² I for a square matrix, with gain √2 for hidden layers
        torch.testing.assert_close(linears[1].weight @ linears[1].weight.T, 2.0 * torch.eye(8), atol=1e-5, rtol=0)
        torch.testing.assert_close(linears[2].weight @ linears[2].weight.T, 1e-4 * torch.eye(2), atol=1e-9, rtol=0)

    def test_a_chain_hands_several_tensors_to_its_first_part(self):
        chain = Chain(nn.Bilinear(2, 3, 4), nn.Tanh(), nn.Linear(4, 1))
        a, b = torch.randn(5, 2), torch.randn(5, 3)
        assert torch.equal(chain(a, b), chain[2](torch.tanh(chain[0](a, b))))


SPACES = [
    BOX,
    spaces.Box(0, 255, (4, 4), np.uint8),
    spaces.Discrete(5, start=2),
    spaces.Dict({"a": BOX, "b": spaces.Dict({"c": spaces.Discrete(3), "d": spaces.MultiBinary(2)})}),
    spaces.Tuple((spaces.Discrete(3), spaces.MultiDiscrete([2, 3]))),
]


class TestActorAndCritic:
    @pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
    def test_take_every_observation(self, space):
        with env_of(space) as env:
            actor, critic = stochastic_actor(env, (4,)), state_critic(env, (4,))
            batch = critic(env.rollout(3, actor, seed=0))
        assert batch["action"].shape == (2, 3)
        assert batch["sample_log_prob"].shape == (2, 3)
        assert batch["state_value"].shape == (2, 3, 1)
        assert batch["state_value"].isfinite().all()

    def test_begin_without_a_preference(self):
        # The last layer's gain of 0.01 leaves all actions about as likely: log ½.
        with env_of() as env:
            batch = env.rollout(50, stochastic_actor(env, (64, 64)), seed=0)
        torch.testing.assert_close(batch["sample_log_prob"], torch.full((2, 50), 0.5).log(), atol=0.05, rtol=0)
        assert set(batch["action"].flatten().tolist()) == {0, 1}

    def test_numbers_are_drawn_around_a_mean_with_a_learned_spread(self):
        with env_of(action_space=spaces.Box(-2, 2, (2,), np.float32)) as env:
            actor = stochastic_actor(env, (4,))
            td = actor(env.reset(seed=0))
            with set_exploration_type(ExplorationType.DETERMINISTIC):
                best = actor(env.reset(seed=0))
        assert td["action"].shape == td["loc"].shape == (2, 2)
        assert torch.equal(best["action"], best["loc"])
        assert td["sample_log_prob"].shape == (2,)
        (name,) = [name for name, _ in actor.named_parameters() if name.split(".")[-1] not in ("weight", "bias")]
        assert actor.get_parameter(name).requires_grad

    @pytest.mark.parametrize(
        ("space", "words"),
        [
            (spaces.MultiDiscrete([2, 3]), "MultiDiscrete"),
            (spaces.MultiBinary(3), "MultiBinary"),
            (spaces.Box(-1, 1, (2, 2), np.float32), r"Bounded \[2, 2\]"),
        ],
    )
    def test_other_actions_are_refused(self, space, words):
        with env_of(action_space=space) as env, pytest.raises(UsageError) as raised:
            stochastic_actor(env, (4,))
        message = str(raised.value)
        assert message.startswith("There is no policy for the actions of ")
        assert message.endswith("There are policies for one index (Discrete) and for a vector of numbers (Box).")
        assert words.replace("\\", "") in message
