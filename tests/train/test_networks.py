from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from keywork._errors import SpecError, UsageError
from keywork.envs import GymEnv
from keywork.nn import ExplorationType, set_exploration_type
from keywork.train import NetworkSettings, networks_of, state_critic, stochastic_actor
from keywork.train._ppo import PPO, PPOConfig


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
    return GymEnv(
        lambda: Shapes(observation_space, spaces.Discrete(2) if action_space is None else action_space),
        num_envs=2,
        seed=0,
    )


SPACES = [
    BOX,
    spaces.Box(0, 255, (4, 4), np.uint8),
    spaces.Box(0, 255, (7, 7, 3), np.uint8),
    spaces.Box(-1, 1, (3,), np.float64),
    spaces.Discrete(5, start=2),
    spaces.Dict({"a": BOX, "b": spaces.Dict({"c": spaces.Discrete(3), "d": spaces.MultiBinary(2)})}),
    spaces.Tuple((spaces.Discrete(3), spaces.MultiDiscrete([2, 3]))),
]


ACTIONS = [
    spaces.Discrete(3, start=1),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete([[2, 2], [3, 4]]),
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
]
SEEDED = [
    ("CartPole-v1", [-0.195643, -0.00144896], [0.0813701, -0.119844]),
    ("Pendulum-v1", [0.301876, -0.00104144], [0.0455193, -0.0812528]),
]
"""The first weight and the last one of actor and critic, after torch.manual_seed(3)."""


class TestActorAndCritic:
    @pytest.mark.parametrize("space", SPACES, ids=str)
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

    def test_the_scale_of_numbers_is_that_of_ppo_for_every_shape(self):
        with env_of(action_space=spaces.Box(-2, 2, (2, 2), np.float32)) as env:
            td = stochastic_actor(env, (4,))(env.reset(seed=0))
        assert td["action"].shape == td["loc"].shape == (2, 2, 2)
        assert torch.equal(td["scale"], torch.ones(2, 2, 2))
        assert td["sample_log_prob"].shape == (2,)

    @pytest.mark.parametrize("space", ACTIONS, ids=str)
    def test_ppo_learns_every_action(self, space):
        with env_of(action_space=space) as env:
            ppo = PPO(env, PPOConfig(num_steps=8, num_epochs=1))
            before = [parameter.detach().clone() for parameter in ppo.policy.parameters()]
            batch = ppo.collector.collect()
            metrics = ppo.update(batch, progress=0.0)
        assert env.action_spec.is_in(batch["action"])
        assert all(math.isfinite(value) for name, value in metrics.items() if name != "ppo/explained_variance")
        after = list(ppo.policy.parameters())
        assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))

    def test_of_whole_numbers_between_bounds_there_is_no_distribution(self):
        with env_of(action_space=spaces.Box(0, 5, (2,), np.int64)) as env, pytest.raises(SpecError) as raised:
            stochastic_actor(env, (4,))
        assert str(raised.value).startswith(
            "ProbabilisticActor cannot be built: there is no distribution for such actions."
        )

    @pytest.mark.parametrize(("name", "actor_ends", "critic_ends"), SEEDED)
    def test_the_networks_of_a_seed_stay_what_they_are(self, name, actor_ends, critic_ends):
        with GymEnv(name, num_envs=1, seed=0) as env:
            torch.manual_seed(3)
            networks = stochastic_actor(env, (64, 64)), state_critic(env, (64, 64))
        for network, ends in zip(networks, (actor_ends, critic_ends), strict=True):
            first, hidden, last = (tensor for tensor in network.state_dict().values() if tensor.ndim == 2)
            assert hidden.shape == (64, 64)
            assert [first[0, 0].item(), last[-1, -1].item()] == pytest.approx(ends, rel=1e-4)


class Masked(gymnasium.Env):
    """Four choices, of which two are allowed at a time, in turn."""

    observation_space = spaces.Dict({"at": spaces.Box(-9, 9, (2,), np.float32), "action_mask": spaces.MultiBinary(4)})
    action_space = spaces.Discrete(4)

    def _shown(self):
        allowed = (np.arange(4) + self.at) % 4 < 2
        return {"at": np.full(2, self.at, np.float32), "action_mask": allowed.astype(np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self._shown(), {}

    def step(self, action):
        assert self._shown()["action_mask"][action], "a choice that is not allowed"
        self.at += 1
        return self._shown(), 0.0, False, self.at == 5, {}


WAYS = [
    (policy, shared, norm) for policy in ("mlp", "gru", "lstm") for shared in (False, True) for norm in (False, True)
]


class TestSettings:
    @pytest.mark.parametrize(("policy", "shared", "norm"), WAYS)
    def test_every_way_is_a_policy_and_a_critic(self, policy, shared, norm):
        settings = NetworkSettings(policy=policy, share_trunk=shared, num_cells=(8, 6), normalize=norm)
        with env_of() as env:
            actor, critic = networks_of(env, settings)
            own, judging = ({id(p) for p in network.parameters()} for network in (actor, critic))
            # What is shared is every layer but the last: 2 layers of a weight and a bias, and the 4 of a memory.
            hidden = 4 if policy == "mlp" else 8
            assert len(own & judging) == (hidden if shared else 0)
            assert len(judging) == hidden + 2
            norms = {id(part.moments) for net in (actor, critic) for part in net.modules() if hasattr(part, "moments")}
            assert len(norms) == norm
            states = actor.contract.carries
            assert len(states) == {"mlp": 0, "gru": 1, "lstm": 2}[policy]
            assert (critic.contract.carries == states) == (shared or policy == "mlp")
            ppo = PPO(env, PPOConfig(num_steps=4, num_epochs=1), actor=actor, critic=critic)
            assert ppo.flow.findings == ()
            batch = ppo.collector.collect()
        assert batch["sample_log_prob"].shape == (2, 4)
        for state in (*states, *critic.contract.carries):
            assert batch[state].shape == (2, 4, 1, 6)

    def test_layers_are_as_wide_and_active_as_asked(self):
        with env_of() as env:
            actor, _ = networks_of(env, NetworkSettings(num_cells=(5,), activation="relu"))
            trunk, _ = networks_of(env, NetworkSettings(num_cells=(5, 7), activation="silu", share_trunk=True))
        assert [type(part) for part in actor.modules() if type(part).__module__.endswith("activation")] == [nn.ReLU]
        assert [type(part) for part in trunk.modules() if type(part).__module__.endswith("activation")] == [nn.SiLU] * 2
        assert [tuple(p.shape) for p in trunk.parameters() if p.ndim == 2] == [(5, 3), (7, 5), (2, 7)]

    def test_a_trunk_is_orthogonal_and_the_policy_begins_without_a_preference(self):
        with env_of() as env:
            actor, critic = networks_of(env, NetworkSettings(num_cells=(8, 8), share_trunk=True))
            batch = env.rollout(20, actor, seed=0)
        inner = next(p for p in actor.parameters() if tuple(p.shape) == (8, 8))
        torch.testing.assert_close(inner @ inner.T, 2.0 * torch.eye(8), atol=1e-5, rtol=0)  # a gain of √2
        torch.testing.assert_close(batch["sample_log_prob"], torch.full((2, 20), 0.5).log(), atol=0.05, rtol=0)
        assert critic(batch)["state_value"].shape == (2, 20, 1)

    @pytest.mark.parametrize("space", SPACES, ids=str)
    def test_a_shared_memory_takes_every_observation(self, space):
        with env_of(space) as env:
            settings = NetworkSettings(policy="gru", share_trunk=True, num_cells=(4,))
            ppo = PPO(env, PPOConfig(**vars(settings), num_steps=3, num_epochs=1))
            metrics = ppo.update(ppo.collector.collect(), progress=0.0)
        assert math.isfinite(metrics["loss/objective"])

    def test_a_memory_needs_a_width(self):
        with env_of() as env, pytest.raises(UsageError) as raised:
            networks_of(env, NetworkSettings(policy="lstm", num_cells=()))
        assert str(raised.value) == (
            "policy is 'lstm', whose recurrent layer is as wide as the last hidden one, and num_cells names none: type "
            "--num-cells 64, or --policy mlp."
        )

    def test_without_hidden_layers_there_is_no_trunk_to_share(self):
        with env_of() as env:
            actor, critic = networks_of(env, NetworkSettings(share_trunk=True, num_cells=()))
        assert not {id(p) for p in actor.parameters()} & {id(p) for p in critic.parameters()}

    @pytest.mark.parametrize(("policy", "shared", "norm"), WAYS)
    def test_a_mask_is_kept_to(self, policy, shared, norm):
        # The environment itself objects to what is not allowed: of 2 x 40 random choices half would not be.
        settings = NetworkSettings(policy=policy, share_trunk=shared, num_cells=(4,), normalize=norm)
        with GymEnv(Masked, num_envs=2, seed=0) as env:
            ppo = PPO(env, PPOConfig(**vars(settings), num_steps=40, num_epochs=1))
            metrics = ppo.update(ppo.collector.collect(), progress=0.0)
            ppo.collector.collect()
        # Two choices are left, nearly even: ln 2, and not ln 4.
        assert metrics["ppo/entropy"] == pytest.approx(math.log(2), abs=0.02)

    def test_a_mask_beside_numbers_is_an_observation_like_any_other(self):
        space = spaces.Dict({"at": BOX, "action_mask": spaces.MultiBinary(2)})
        with env_of(space, spaces.Box(-1, 1, (2,), np.float32)) as env:
            actor, _ = networks_of(env, NetworkSettings(num_cells=(4,)))
        assert "action_mask" in actor.in_keys
