"""DDPG, TD3, SAC and SAC for choices: what one update does, and what they are made of."""

from __future__ import annotations

import copy
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from keywork._errors import SpecError, UsageError
from keywork.distributions import NormalParamExtractor, TanhNormal
from keywork.envs import GymEnv
from keywork.modules import AdditiveGaussianModule, GRUModule, ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule, set_exploration_type
from keywork.train import DDPG, SAC, TD3, DDPGConfig, DiscreteSAC, DiscreteSACConfig, SACConfig, TD3Config
from keywork.train._actor_critic import noise_of, scale_of

SMALL = {"learning_starts": 16, "batch_size": 8, "buffer_size": 500, "num_cells": (8,), "log_every": 16}
KINDS = {DDPG: DDPGConfig(**SMALL), TD3: TD3Config(**SMALL), SAC: SACConfig(**SMALL)}


def env_of(algorithm, **options):
    name = "CartPole-v1" if algorithm is DiscreteSAC else "Pendulum-v1"
    return GymEnv(name, **{"num_envs": 2, "seed": 0, **options})


def rounds(algorithm, count):
    return [algorithm.update(algorithm.collector.collect(), n / count) for n in range(count)]


def weights(module):
    return torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])


ALL = {**KINDS, DiscreteSAC: DiscreteSACConfig(**SMALL)}


@pytest.mark.parametrize("kind", ALL)
def test_it_learns_after_its_random_steps_and_says_so_now_and_then(kind):
    with env_of(kind) as env:
        algorithm = kind(env, ALL[kind])
        before = [weights(part) for part in (algorithm.policy, algorithm.loss.qvalue_network)]
        rows = rounds(algorithm, 7)  # 14 steps
        assert not any(rows) and torch.equal(before[0], weights(algorithm.policy))
        rows = rounds(algorithm, 9)
        after = [weights(part) for part in (algorithm.policy, algorithm.loss.qvalue_network)]
        assert all(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
        told = [row for row in rows if row]
        assert len(told) == 2 and all("loss/q" in row and "loss/actor" in row for row in told)


@pytest.mark.parametrize("kind", ALL)
def test_as_many_gradient_steps_as_steps_were_taken(kind, monkeypatch):
    with env_of(kind) as env:
        algorithm = kind(env, replace(ALL[kind], learning_starts=0, train_freq=3))
        taken = []
        descend = algorithm.critic_optimizer.descend
        monkeypatch.setattr(algorithm.critic_optimizer, "descend", lambda *given: taken.append(descend(*given)))
        rounds(algorithm, 1)
        assert len(taken) == 6


@pytest.mark.parametrize("kind", ALL)
def test_targets_move_a_little_with_each_gradient_step(kind):
    delay = {"policy_delay": 1} if kind is TD3 else {}
    with env_of(kind) as env:
        algorithm = kind(env, replace(ALL[kind], learning_starts=0, gradient_steps=1, tau=0.25, **delay))
        before = [weights(target) for _, target in algorithm.loss.targets]
        rounds(algorithm, 1)
        pairs = [(weights(network), weights(target)) for network, target in algorithm.loss.targets]
        for old, (network, target) in zip(before, pairs, strict=True):
            assert not torch.equal(old, network)
            torch.testing.assert_close(target, 0.25 * network + 0.75 * old)


def test_an_update_of_td3_is_that_of_the_paper():
    with env_of(TD3) as env:
        config = replace(KINDS[TD3], learning_starts=0, gradient_steps=2, train_freq=8, policy_noise=0.0)
        td3 = TD3(env, config, seed=5)
        batch = td3.collector.collect()
        loss = copy.deepcopy(td3.loss)
        q = torch.optim.Adam(loss.qvalue_network.parameters(), lr=1e-3)
        mu = torch.optim.Adam(loss.actor.parameters(), lr=1e-3)
        generator, rows = torch.Generator().manual_seed(5), batch.permute(1, 0).flatten()
        for number in range(2):
            drawn = rows[torch.randint(16, (8,), generator=generator)]
            q.zero_grad()
            loss(drawn)["loss_qvalue"].backward()
            q.step()
            if number == 0:  # the actor is delayed
                continue
            mu.zero_grad()
            loss(drawn)["loss_actor"].backward()
            mu.step()
            for network, target in loss.targets:
                for now, then in zip(network.parameters(), target.parameters(), strict=True):
                    then.data.copy_(0.005 * now.data + 0.995 * then.data)
        td3.update(batch, 0.0)
        torch.testing.assert_close(weights(td3.loss), weights(loss), rtol=1e-5, atol=1e-6)


def test_td3_explores_around_what_it_would_do_and_the_policy_itself_has_no_noise():
    with env_of(TD3, num_envs=100) as env:
        td3 = TD3(env, replace(KINDS[TD3], learning_starts=0, exploration_noise=0.25))
        assert not any(isinstance(part, AdditiveGaussianModule) for part in td3.policy.modules())
        batch = td3.collector.collect()
        with torch.no_grad(), set_exploration_type("random"):
            meant = td3.policy(batch.clone())["action"]
        spread = (batch["action"] - meant).std().item()  # 0.25 of the half range of 2
        assert spread == pytest.approx(0.5, rel=0.2) and batch["action"].abs().amax() <= 2.0


class Uneven(gymnasium.Env):
    """Two numbers to act with, of which the second may be a hundred times as large."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Box(np.array([-1, -100], np.float32), np.array([1, 100], np.float32))


def test_noise_is_in_units_of_the_range_of_each_element():
    with GymEnv(Uneven) as env:
        explore = noise_of(env, 0.1)
        spread = explore(torch.zeros(10_000, 2)).std(0)
    assert spread.tolist() == pytest.approx([0.1, 10.0], rel=0.05)


def test_the_first_steps_are_random():
    with env_of(SAC, num_envs=50) as env:
        sac = SAC(env, replace(KINDS[SAC], learning_starts=100))
        actions = torch.cat([sac.collector.collect()["action"].flatten() for _ in range(2)])
        assert actions.abs().amax() > 1.9 and actions.std().item() == pytest.approx(2 / 3**0.5, rel=0.2)  # uniform


def test_the_spread_of_sac_depends_on_the_state_and_is_bounded():
    assert scale_of(torch.tensor([-99.0, 0.0, 99.0])).tolist() == pytest.approx([np.exp(-20.0), 1.0, np.exp(2.0)])
    with env_of(SAC) as env:
        sac = SAC(env, KINDS[SAC])
        batch = sac.collector.collect()
        assert sac.policy(batch.clone())["scale"].flatten().unique().numel() > 1
        assert any(isinstance(part, NormalParamExtractor) for part in sac.policy.modules())


def test_the_temperature_of_sac_is_learned_or_fixed():
    with env_of(SAC) as env:
        learned = SAC(env, replace(KINDS[SAC], learning_starts=0, alpha_init=0.5))
        fixed = SAC(env, replace(KINDS[SAC], learning_starts=0, alpha_init=0.5, fixed_alpha=True))
        for algorithm in (learned, fixed):
            rounds(algorithm, 2)
        assert fixed.loss.temperature().item() == pytest.approx(0.5)
        assert learned.loss.temperature().item() != pytest.approx(0.5, abs=1e-6)


class Masked(gymnasium.Env):
    """Three choices, of which the first is never allowed."""

    observation_space = spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "action_mask": spaces.MultiBinary(3)})
    action_space = spaces.Discrete(3)

    def __init__(self, render_mode=None):
        self.at = 0

    def _shown(self):
        return {"x": np.full(2, self.at / 10, np.float32), "action_mask": np.array([0, 1, 1], np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self._shown(), {}

    def step(self, action):
        assert action != 0
        self.at += 1
        return self._shown(), float(action == 2), self.at == 5, False, {}


def test_sac_for_choices_keeps_to_a_mask():
    with GymEnv(Masked, num_envs=2, seed=0) as env:
        sac = DiscreteSAC(env, replace(ALL[DiscreteSAC], learning_starts=8))
        assert "action_mask" in sac.loss.in_keys and ("next", "action_mask") in sac.loss.in_keys
        rounds(sac, 12)


def remembering_actor():
    memory = GRUModule(3, 8, in_key="observation", out_key="features")
    net = nn.Sequential(nn.Linear(8, 2), NormalParamExtractor())
    head = TensorDictModule(net, ["features"], ["loc", "scale"])
    return ProbabilisticActor([memory, head], ["loc", "scale"], distribution_class=TanhNormal)


def test_a_recurrent_policy_learns_from_slices():
    with env_of(SAC) as env:
        sac = SAC(env, replace(KINDS[SAC], slice_len=4), actor=remembering_actor())
        rounds(sac, 16)
        assert sac.replay.buffer.sample().shape == (2, 4)  # 8 steps are 2 slices of 4


@pytest.mark.parametrize("policy", ["gru", "lstm"])
@pytest.mark.parametrize("kind", ALL)
def test_its_own_actor_may_remember_too(kind, policy):
    with env_of(kind) as env:
        algorithm = kind(env, replace(ALL[kind], policy=policy, slice_len=4))
        states = ["recurrent_state"] if policy == "gru" else ["recurrent_state_h", "recurrent_state_c"]
        assert list(algorithm.policy.contract.carries) == states
        before = weights(algorithm.policy[0])
        rounds(algorithm, 16)
        assert algorithm.replay.buffer.sample().shape == (2, 4)
        assert not torch.equal(weights(algorithm.policy[0]), before)  # of the memory and what is before it


def test_an_actor_that_remembers_keeps_to_a_mask():
    with GymEnv(Masked, num_envs=2, seed=0) as env:
        sac = DiscreteSAC(env, replace(ALL[DiscreteSAC], policy="gru", slice_len=4))
        rounds(sac, 12)
        assert (sac.collector.collect()["action"] != 0).all()


@pytest.mark.parametrize("change", [{"prioritized": True}, {"n_step": 3}])
@pytest.mark.parametrize("kind", ALL)
def test_it_goes_with_priorities_and_n_steps(kind, change):
    with env_of(kind) as env:
        algorithm = kind(env, replace(ALL[kind], **change))
        rounds(algorithm, 20)
        sample = algorithm.replay.buffer.sample()
        assert ("priority_weight" in sample) == ("prioritized" in change)
        assert ("discount" in sample) == ("n_step" in change)


def test_a_critic_can_be_given():
    with env_of(TD3) as env:
        judge = ValueOperator(MLP(4, 1, num_cells=[4]), ["observation", "action"])
        td3 = TD3(env, KINDS[TD3], critic=judge)
        assert td3.loss.qvalue_network[0] is judge
        rounds(td3, 12)


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (TD3, {"policy_delay": 0}, "policy_delay is 0"),
        (TD3, {"exploration_noise": -0.1}, "exploration_noise is -0.1"),
        (SAC, {"alpha_init": 0.0}, "alpha_init is 0.0"),
        (SAC, {"tau": 1.5}, "tau is 1.5"),
        (SAC, {"policy": "transformer"}, "policy is 'transformer': it has to be mlp, gru or lstm"),
        (TD3, {"policy": "gru", "num_cells": ()}, "num_cells names none: type --num-cells 64, or --policy mlp"),
        (DDPG, {"batch_size": 1_000}, "batch_size is 1000, and the buffer keeps 500 steps"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, changes, said):
    with env_of(kind) as env, pytest.raises(UsageError, match=said):
        kind(env, replace(ALL[kind], **changes))


@pytest.mark.parametrize("kind", [TD3, DDPG])
def test_choices_are_refused_by_what_learns_numbers(kind):
    with GymEnv("CartPole-v1") as env, pytest.raises(SpecError):
        kind(env, ALL[kind])
