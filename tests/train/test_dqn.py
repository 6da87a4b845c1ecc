"""DQN, Rainbow and QR-DQN: what one update does, what the settings make of them, and that they learn."""

from __future__ import annotations

import copy
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict
from torch import nn
from torch.nn import functional as F

from keywork._errors import ContractError, UsageError
from keywork.envs import GymEnv
from keywork.modules import EGreedyModule, NoisyLinear, QValueActor
from keywork.nets import DuelingMLP
from keywork.specs import Categorical
from keywork.train import DQN, QRDQN, DQNConfig, QRDQNConfig, RainbowConfig, Trainer
from keywork.train._q_policies import explore_less, explorer

SMALL = {
    "learning_starts": 32,
    "batch_size": 16,
    "buffer_size": 1_000,
    "train_freq": 8,
    "gradient_steps": 2,
    "log_every": 16,
    "num_cells": (16,),
    "target_update_interval": 32,
}
DQN_SMALL, RAINBOW_SMALL = DQNConfig(**SMALL), RainbowConfig(**SMALL)
QRDQN_SMALL = QRDQNConfig(**SMALL, num_quantiles=8)


@pytest.fixture
def env():
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as made:
        yield made


def rounds(algorithm, count):
    return [algorithm.update(algorithm.collector.collect(), n / count) for n in range(count)]


def weights(module):
    return torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])


def test_an_update_is_that_of_the_paper(env):
    config = replace(DQN_SMALL, learning_starts=0, gradient_steps=3, max_grad_norm=0.5, learning_rate=1e-2)
    dqn = DQN(env, config, seed=5)
    batch = dqn.collector.collect()
    online = copy.deepcopy(next(m for m in dqn.policy.modules() if isinstance(m, nn.Sequential)))
    target = copy.deepcopy(online)
    adam = torch.optim.Adam(online.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(5)
    rows = batch.permute(1, 0).flatten()  # in the order in which they are stored
    for _ in range(3):
        drawn = rows[torch.randint(16, (16,), generator=generator)]
        with torch.no_grad():
            following = target(drawn["next", "observation"]).amax(1)
            goal = drawn["next", "reward"][:, 0] + 0.99 * following * ~drawn["next", "terminated"][:, 0]
        q = online(drawn["observation"])[torch.arange(16), drawn["action"]]
        adam.zero_grad()
        F.smooth_l1_loss(q, goal).backward()
        nn.utils.clip_grad_norm_(online.parameters(), 0.5)
        adam.step()
    dqn.update(batch, 0.0)
    torch.testing.assert_close(weights(dqn.policy), weights(online), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("make", "config"), [(DQN, DQN_SMALL), (QRDQN, QRDQN_SMALL)])
def test_the_target_network_follows_every_so_many_steps(env, make, config):
    dqn = make(env, replace(config, learning_starts=0))
    for frames in (16, 32, 48, 64):
        batch, learning = dqn.collector.collect(), weights(dqn.policy)
        before = weights(dqn.loss.target_network)
        dqn.update(batch, 0.0)
        expected = learning if frames in (32, 64) else before
        assert torch.equal(weights(dqn.loss.target_network), expected), frames


def test_exploration_fades_over_its_share_of_the_run(env):
    dqn = DQN(env, replace(DQN_SMALL, exploration_fraction=0.5, exploration_final_eps=0.1))
    seen = []
    for progress in (0.0, 0.25, 0.5, 0.9):
        dqn.update(dqn.collector.collect(), progress)
        seen.append(next(m for m in dqn.collector.policy.modules() if isinstance(m, EGreedyModule)).eps.item())
    assert seen == pytest.approx([1.0, 0.55, 0.1, 0.1])


def test_exploration_goes_on_from_where_it_was_saved(env):
    module, other = explorer(env, DQN_SMALL), explorer(env, DQN_SMALL)
    explore_less(module, 0.05)
    other.load_state_dict(module.state_dict())
    explore_less(other, 0.075)
    assert other.eps.item() == pytest.approx(1.0 - 0.95 * 0.75)


def test_the_first_steps_are_random_and_nothing_is_learnt_of_them(env):
    dqn = DQN(env, replace(DQN_SMALL, exploration_initial_eps=0.05, learning_starts=64))
    before = weights(dqn.policy)
    batches = [dqn.collector.collect() for _ in range(3)]
    for batch in batches:
        dqn.update(batch, 0.0)
    assert torch.equal(weights(dqn.policy), before)
    actions = torch.cat([batch["action"].flatten() for batch in batches]).float()
    assert 0.2 < actions.mean() < 0.8
    dqn.update(dqn.collector.collect(), 0.0)
    assert not torch.equal(weights(dqn.policy), before)


def test_the_policy_is_greedy_and_has_no_exploration_of_its_own(env):
    dqn = DQN(env, DQN_SMALL)
    assert not any(isinstance(module, EGreedyModule) for module in dqn.policy.modules())
    assert not any(isinstance(module, EGreedyModule) for module in dqn.loss.target_network.modules())


@pytest.mark.parametrize(
    ("make", "config"),
    [
        (DQN, DQN_SMALL),
        (DQN, replace(DQN_SMALL, double=True)),
        (DQN, replace(DQN_SMALL, dueling=True)),
        (DQN, replace(DQN_SMALL, prioritized=True)),
        (DQN, replace(DQN_SMALL, n_step=3)),
        (DQN, replace(DQN_SMALL, noisy=True)),
        (DQN, replace(DQN_SMALL, distributional=True)),
        (DQN, RAINBOW_SMALL),
        (DQN, replace(DQN_SMALL, policy="gru")),
        (DQN, replace(DQN_SMALL, policy="lstm", dueling=True, distributional=True)),
        (QRDQN, QRDQN_SMALL),
        (QRDQN, replace(QRDQN_SMALL, prioritized=True, n_step=3, double=True, dueling=True, noisy=True)),
        (QRDQN, replace(QRDQN_SMALL, policy="gru")),
    ],
)
def test_every_kind_learns_and_tells_of_it(env, make, config):
    torch.manual_seed(0)
    algorithm = make(env, config)
    before = weights(algorithm.policy)
    told = [row for row in rounds(algorithm, 10) if row]
    assert (weights(algorithm.policy) != before).float().mean() > 0.5
    assert len(told) > 3 and all(len(row) == 5 for row in told)
    assert all(np.isfinite(list(row.values())).all() for row in told)


def test_rainbow_is_all_of_them(env):
    rainbow = DQN(env, RAINBOW_SMALL)
    parts = list(rainbow.policy.modules())
    assert any(isinstance(part, DuelingMLP) for part in parts)
    assert any(isinstance(part, NoisyLinear) for part in parts)
    assert not any(isinstance(part, nn.Linear) for part in parts)
    assert not any(isinstance(part, EGreedyModule) for part in rainbow.collector.policy.modules())
    assert type(rainbow.loss).__name__ == "DistributionalDQNLoss" and rainbow.loss.double_dqn
    assert rainbow.replay.buffer.writes == ("index", "priority_weight", "discount")


def test_nothing_is_told_in_between(env):
    dqn = DQN(env, replace(DQN_SMALL, log_every=64, learning_starts=0))
    assert [bool(row) for row in rounds(dqn, 8)] == [False, False, False, True] * 2


class Dark(gymnasium.Env):
    """Several observations, some actions forbidden; the last allowed one is right."""

    observation_space = spaces.Dict(
        {
            "eyes": spaces.Box(-1.0, 1.0, (3,), np.float32),
            "gear": spaces.Discrete(2),
            "action_mask": spaces.MultiBinary(4),
        }
    )
    action_space = spaces.Discrete(4)

    def _shown(self):
        self.mask = self.np_random.random(4) < 0.5
        self.mask[self.np_random.integers(4)] = True
        eyes = self.np_random.uniform(-1.0, 1.0, 3).astype(np.float32)
        return {"eyes": eyes, "gear": int(self.np_random.integers(2)), "action_mask": self.mask.astype(np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 12
        return self._shown(), {}

    def step(self, action):
        assert self.mask[action], "a forbidden action was taken"
        right = action == np.flatnonzero(self.mask)[-1]
        self.left -= 1
        return self._shown(), float(right), self.left == 0, False, {}


@pytest.mark.parametrize("config", [DQN_SMALL, RAINBOW_SMALL, replace(DQN_SMALL, policy="gru"), QRDQN_SMALL])
def test_masks_and_several_observations(config):
    with GymEnv(Dark, 2, seed=0) as dark:
        algorithm = (QRDQN if isinstance(config, QRDQNConfig) else DQN)(dark, config)
        before = weights(algorithm.policy)
        rounds(algorithm, 12)
        assert not torch.equal(weights(algorithm.policy), before)
        assert ("next", "action_mask") in algorithm.loss.in_keys


class TwoWheels(gymnasium.Env):
    """Two choices at once."""

    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 1.0, False, bool(self.np_random.random() < 0.1), {}


def test_several_choices_have_values_that_add_up_and_no_distribution():
    with GymEnv(TwoWheels, 2, seed=0) as wheels:
        rounds(DQN(wheels, DQN_SMALL), 6)
        with pytest.raises(ValueError, match="one action, Categorical or OneHot"):
            DQN(wheels, RAINBOW_SMALL)


def test_a_policy_of_ones_own(env):
    policy = QValueActor(nn.Linear(4, 2), spec=Categorical(2))
    dqn = DQN(env, DQN_SMALL, policy=policy)
    before = weights(policy)
    rounds(dqn, 4)
    assert dqn.policy is policy and not torch.equal(weights(policy), before)
    with pytest.raises(ContractError, match="computes values of another kind"):
        DQN(env, replace(DQN_SMALL, distributional=True), policy=policy)


def test_continuous_actions_are_refused():
    with GymEnv("Pendulum-v1", 1) as pendulum, pytest.raises(ValueError, match="it does not learn such actions"):
        DQN(pendulum, DQN_SMALL)


def test_the_flow_shows_the_buffer_and_every_loss(env):
    kinds = [part.kind for part in DQN(env, RAINBOW_SMALL).flow.parts]
    assert "buffer" in kinds and "loss" in kinds and "optimiser" in kinds


def test_a_compiled_loss_is_the_same(env):
    batch = DQN(env, DQN_SMALL).collector.collect()
    results = []
    for compiled in (False, True):
        torch.manual_seed(1)
        dqn = DQN(env, replace(DQN_SMALL, learning_starts=0), seed=3)
        if compiled:
            dqn._run_loss = torch.compile(dqn.loss.run, backend="eager", fullgraph=True, dynamic=False)
        dqn.collector.frames = 16
        dqn.update(batch, 0.0)
        results.append(weights(dqn.policy))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    ("make", "config", "message"),
    [
        (
            DQN,
            replace(DQN_SMALL, exploration_final_eps=0.5, exploration_initial_eps=0.1),
            "random actions become rarer",
        ),
        (DQN, replace(DQN_SMALL, exploration_fraction=1.5), "exploration_fraction is 1.5"),
        (DQN, replace(DQN_SMALL, target_update_interval=0), "target_update_interval is 0"),
        (DQN, replace(DQN_SMALL, tau=0.0), "tau is out of range"),
        (DQN, replace(RAINBOW_SMALL, v_min=1.0, v_max=1.0), "51 atoms from 1.0 to 1.0 are no distribution"),
        (DQN, replace(DQN_SMALL, policy="gru", num_cells=()), "num_cells names none"),
        (DQN, replace(DQN_SMALL, policy="transformer"), "policy is 'transformer': it has to be mlp, gru or lstm"),
        (DQN, replace(DQN_SMALL, gradient_steps=1.5), "gradient_steps is 1.5: it has to be a whole number"),
        (QRDQN, replace(QRDQN_SMALL, num_quantiles=0), "num_quantiles is 0"),
        (QRDQN, replace(QRDQN_SMALL, kappa=-1.0), "kappa is -1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(env, make, config, message):
    with pytest.raises(UsageError, match=message):
        make(env, config)


class Switch(gymnasium.Env):
    """One of two lamps is on; its switch brings one."""

    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def _shown(self):
        self.on = int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.on]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 8
        return self._shown(), {}

    def step(self, action):
        reward, self.left = float(action == self.on), self.left - 1
        return self._shown(), reward, self.left == 0, False, {}


@pytest.mark.parametrize(
    "config",
    [
        replace(DQN_SMALL, learning_rate=1e-2, gamma=0.5),
        replace(RAINBOW_SMALL, learning_rate=1e-2, gamma=0.5, v_min=0.0, v_max=3.0),
        replace(QRDQN_SMALL, learning_rate=1e-2, gamma=0.5, exploration_fraction=0.3),
    ],
)
def test_a_simple_task_is_learnt(config):
    torch.manual_seed(0)
    with GymEnv(Switch, 2, seed=0) as switch:
        algorithm = (QRDQN if isinstance(config, QRDQNConfig) else DQN)(switch, config)
        Trainer(algorithm, total_frames=2_000).train()
    shown = TensorDict({"observation": torch.eye(2)}, [2])
    assert algorithm.policy(shown)["action"].tolist() == [0, 1]
