from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from keywork._errors import UsageError
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.modules import NetworkConfig, QValueActor, RunningNorm
from keywork.objectives import DQNLoss
from keywork.specs import Categorical
from keywork.train import DQN, DQNConfig
from keywork.train._off_policy import OffPolicySettings, Replay, require_off_policy

SMALL = OffPolicySettings(buffer_size=500, learning_starts=20, batch_size=16, gradient_steps=2)
CPU = torch.device("cpu")


@pytest.fixture
def env():
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as made:
        yield made


def replay_of(env, config, recurrent=False):
    loss = DQNLoss(QValueActor(nn.Linear(4, 2), spec=Categorical(2)))
    return Replay(config, env, loss, recurrent=recurrent, device=CPU, seed=0), Collector(env, None, frames_per_batch=10)


def test_nothing_is_learnt_before_the_random_steps_are_over(env):
    replay, collector = replay_of(env, SMALL)
    assert not list(replay.batches(collector.collect(), 0.0))  # 10 steps
    drawn = list(replay.batches(collector.collect(), 0.0))  # 20
    assert [batch.batch_size for batch in drawn] == [torch.Size([16])] * 2


def test_as_many_gradient_steps_as_steps(env):
    replay, collector = replay_of(env, replace(SMALL, gradient_steps=0, learning_starts=0))
    assert len(list(replay.batches(collector.collect(), 0.0))) == 10


def test_it_keeps_what_the_loss_reads_and_no_more(env):
    replay, collector = replay_of(env, replace(SMALL, learning_starts=0))
    (batch, _) = replay.batches(collector.collect(), 0.0)
    kept = {"observation", "action", *[("next", key) for key in ("observation", "reward", "done", "terminated")]}
    assert set(batch.keys(include_nested=True, leaves_only=True)) == kept


def test_n_steps_come_with_their_discount(env):
    replay, collector = replay_of(env, replace(SMALL, learning_starts=0, n_step=3, gamma=0.5))
    (batch, _) = replay.batches(collector.collect(), 0.0)
    assert set(batch["discount"].flatten().tolist()) == {0.5, 0.25, 0.125}
    # Rewards of one: 1, 1 + 0.5 and 1 + 0.5 + 0.25 go with these.
    torch.testing.assert_close(batch["next", "reward"], 2.0 - 2.0 * batch["discount"])


def test_errors_become_priorities_and_the_weights_grow_true(env):
    replay, collector = replay_of(env, replace(SMALL, learning_starts=0, prioritized=True, priority_beta=0.4))
    (batch, _) = replay.batches(collector.collect(), 0.5)
    assert replay.buffer.sampler.beta == pytest.approx(0.7)  # 0.4 + 0.6 * 0.5
    replay.weigh(batch, torch.where(batch["index"] == 3, 1e6, 0.0))
    later = next(iter(replay.batches(collector.collect(), 1.0)))
    assert replay.buffer.sampler.beta == 1.0
    # What is new gets the largest priority that there has been.
    assert set(later["index"].tolist()) <= {3, *range(10, 20)}


def test_without_priorities_errors_are_let_go(env):
    replay, collector = replay_of(env, replace(SMALL, learning_starts=0))
    (batch, _) = replay.batches(collector.collect(), 0.0)
    replay.weigh(batch, torch.ones(16))
    assert "index" not in batch


def test_slices_hold_as_many_steps_as_a_batch(env):
    replay, collector = replay_of(env, replace(SMALL, learning_starts=0, slice_len=4), recurrent=True)
    (batch, _) = replay.batches(collector.collect(), 0.0)
    assert batch.batch_size == torch.Size([4, 4])


def test_the_same_seed_draws_the_same(env):
    one, other = (replay_of(env, replace(SMALL, learning_starts=0))[0] for _ in range(2))
    batch = Collector(env, None, frames_per_batch=10).collect()
    for ours, theirs in zip(one.batches(batch, 0.0), other.batches(batch, 0.0), strict=True):
        assert torch.equal(ours["observation"], theirs["observation"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prioritized": True}, "which go without --prioritized: leave it out"),
        ({"n_step": 3}, "which go without --n-step 3: leave it out"),
        ({"slice_len": 32}, "batch_size is 16, and a recurrent network learns from slices of slice_len=32 steps"),
    ],
)
def test_what_slices_cannot_be_is_refused(env, change, message):
    with pytest.raises(UsageError, match=message):
        replay_of(env, replace(SMALL, **change), recurrent=True)


def test_a_length_of_slices_is_refused_where_none_are_drawn(env):
    with pytest.raises(UsageError) as raised:
        replay_of(env, replace(SMALL, slice_len=4))
    assert str(raised.value) == (
        "The buffer cannot draw slices: no network has a memory, and steps are drawn one by one.\n"
        "  where: slice_len\n"
        "  expected: a network with a memory, or slice_len left out\n"
        "  got: slice_len=4, and no network that carries a state\n"
        "  fix: leave --slice-len 4 out, or add --policy gru; from Python, give a recurrent network"
    )
    with pytest.raises(UsageError, match="leave --slice-len 16 out"):
        DQN(env, DQNConfig(slice_len=16))
    DQN(env, DQNConfig(slice_len=16, policy="gru"))
    DQN(env, DQNConfig(slice_len=8))  # the usual one


def test_slices_are_drawn_as_soon_as_there_can_be_one(env):
    replay, collector = replay_of(env, replace(SMALL, learning_starts=0, slice_len=6, batch_size=6), recurrent=True)
    assert not list(replay.batches(collector.collect(), 0.0))  # 5 steps of each environment
    assert len(list(replay.batches(collector.collect(), 0.0))) == 2


@pytest.mark.parametrize(
    ("recurrent", "size", "message"),
    [
        (False, 1, "buffer_size is 1, too small for a step of each of 2 environments: type --buffer-size 2 or more"),
        (True, 15, "too small for a slice of slice_len=8 steps of each of 2 environments: type --buffer-size 16"),
    ],
)
def test_a_buffer_in_which_there_is_never_anything_to_draw_is_refused(env, recurrent, size, message):
    with pytest.raises(UsageError, match=message):
        replay_of(env, replace(SMALL, buffer_size=size), recurrent=recurrent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0: it has to be above 0, such as --batch-size 32."),
        ({"learning_starts": -1}, "learning_starts is -1: it has to be 0 or above"),
        ({"gamma": 1.5}, r"gamma is 1.5: it has to be in \[0, 1\]"),
        ({"batch_size": 512}, "batch_size is 512, and the buffer keeps 500 steps: type --buffer-size 5120 or more."),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        require_off_policy(replace(SMALL, **change))


def test_where_there_are_gaps_the_loss_is_told_which_steps_are_none():
    with GymEnv("CartPole-v1", 2, workers="vector", seed=0) as vector:
        replay, collector = replay_of(vector, replace(SMALL, learning_starts=0))
        (batch, _) = replay.batches(collector.collect(), 0.0)
    assert batch["collector", "valid"].shape == (16, 1)


def test_running_statistics_take_in_what_is_collected_and_targets_have_the_same():
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
        network = NetworkConfig(num_cells=(8,), observation_norm=RunningNorm(env.observation_spec))
        policy = QValueActor.from_spec(env.observation_spec, env.action_spec, config=network)
        dqn = DQN(env, DQNConfig(learning_starts=8, train_freq=4, batch_size=4), policy=policy)
        batches = [dqn.collector.collect() for _ in range(3)]
        for batch in batches:
            dqn.update(batch, progress=0.0)
    norms = [part for part in dqn.loss.modules() if isinstance(part, RunningNorm)]
    assert len(norms) == 2  # of the network and of its target
    seen = torch.cat([batch["observation"].flatten(0, 1) for batch in batches]).double()
    for norm in norms:
        assert norm.moments[0].count == 3 * 2 * 4
        torch.testing.assert_close(norm.moments[0].mean, seen.mean(0))
