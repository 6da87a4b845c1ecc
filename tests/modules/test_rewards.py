from __future__ import annotations

import copy

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers import NormalizeReward
from tensordict import TensorDict

from keywork._errors import MissingKeyError, NonFiniteError, SpecError, UsageError
from keywork.buffers import ReplayBuffer
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import NetworkConfig, ProbabilisticActor, RewardClip, RewardScaling, ValueOperator
from keywork.nn import TensorDictModule
from keywork.objectives import GAE, ClipPPOLoss


def batch_of(reward, done=None, valid=None):
    """A batch [N, T] of these rewards, in lists."""
    reward = torch.tensor(reward).unsqueeze(-1)
    done = torch.zeros_like(reward, dtype=torch.bool) if done is None else torch.tensor(done).bool().unsqueeze(-1)
    td = TensorDict({"next": {"reward": reward, "done": done}}, batch_size=reward.shape[:2])
    return td if valid is None else td.update({"collector": {"valid": torch.tensor(valid).bool().unsqueeze(-1)}})


def rewards(td):
    return td["next", "reward"].squeeze(-1).tolist()


class TestRewardScaling:
    def test_by_hand(self):
        # Returns with γ = ½: 4 and 2 + ½ · 4 = 4, an end, then 8; and 0, 0, 4. Mean 20 / 6,
        # squares 16 + 16 + 64 + 0 + 0 + 16 = 112, variance 112 / 6 - (20 / 6)² = 18.6667 - 11.1111 = 7.5556.
        scale = RewardScaling(num_envs=2, gamma=0.5)
        batch = batch_of([[4.0, 2.0, 8.0], [0.0, 0.0, 4.0]], [[0, 1, 0], [0, 0, 0]])
        scale.update(batch)
        assert scale.moments.mean.item() == pytest.approx(20 / 6)
        assert scale.moments.var.item() == pytest.approx(112 / 6 - (20 / 6) ** 2)
        assert scale.returns.tolist() == [8.0, 4.0]
        deviation = 7.555556**0.5
        assert rewards(scale(batch))[0] == pytest.approx([4 / deviation, 2 / deviation, 8 / deviation], rel=1e-5)

    def test_a_batch_goes_on_where_the_last_one_ended(self):
        rng = np.random.default_rng(0)
        reward, done = rng.normal(1.0, 2.0, (3, 40)).astype(np.float32), rng.random((3, 40)) < 0.1
        whole, pieces = RewardScaling(3, 0.9), RewardScaling(3, 0.9)
        whole.update(batch_of(reward.tolist(), done.tolist()))
        for cut in (slice(0, 1), slice(1, 17), slice(17, 40)):
            pieces.update(batch_of(reward[:, cut].tolist(), done[:, cut].tolist()))
        for name in ("mean", "var", "count"):
            torch.testing.assert_close(getattr(pieces.moments, name), getattr(whole.moments, name))
        torch.testing.assert_close(pieces.returns, whole.returns)

    def test_step_by_step_as_stable_baselines_does(self):
        # VecNormalize.step_wait, by hand in float64; but from no statistics, where it begins with 1e-4 of a number.
        rng = np.random.default_rng(1)
        scale, returns, mean, var, count = RewardScaling(4, 0.99), np.zeros(4), 0.0, 1.0, 0.0
        for _ in range(60):
            reward, done = rng.normal(3.0, 2.0, 4).astype(np.float32), rng.random(4) < 0.1
            returns = returns * 0.99 + reward
            delta, total = returns.mean() - mean, count + 4
            var = (var * count + returns.var() * 4 + delta**2 * count * 4 / total) / total
            mean, count = mean + delta * 4 / total, total
            expected = np.clip(reward / np.sqrt(var + 1e-8), -10.0, 10.0)
            returns[done] = 0.0
            td = batch_of(reward[:, None].tolist(), done[:, None].tolist())
            scale.update(td)
            np.testing.assert_allclose(np.array(rewards(scale(td)))[:, 0], expected, rtol=1e-5)

    def test_as_gymnasium_does_within_an_episode(self):
        # (Where an episode ends its wrapper forgets the rewards before an end, and keeps those before a truncation.)
        env, bare = NormalizeReward(gymnasium.make("Pendulum-v1"), gamma=0.9), gymnasium.make("Pendulum-v1")
        env.return_rms.count = 0.0
        scale = RewardScaling(1, 0.9, clip=1e9)
        env.reset(seed=5), bare.reset(seed=5)
        for step in range(150):
            action = np.array([np.cos(step)], np.float32)
            theirs, ours = env.step(action)[1], bare.step(action)[1]
            td = batch_of([[float(ours)]])
            scale.update(td)
            assert rewards(scale(td))[0][0] == pytest.approx(float(np.squeeze(theirs)), rel=1e-4)

    def test_a_call_changes_nothing_but_the_reward(self):
        scale, batch = RewardScaling(1), batch_of([[1.0, 30.0]])
        kept = batch["next", "reward"]
        scale(batch)
        assert rewards(batch) == [[1.0, 10.0]]  # no statistics yet, so only the clipping
        assert kept.flatten().tolist() == [1.0, 30.0]  # what others hold of the collected batch stays
        assert scale.moments.count == 0 and scale.returns.tolist() == [0.0]

    def test_steps_that_are_not_valid_neither_count_nor_discount(self):
        # After the end at step 1 comes a step that is none: a reset.
        reward, done, valid = [[1.0, 2.0, float("nan"), 4.0]], [[0, 1, 0, 0]], [[1, 1, 0, 1]]
        gaps, plain = RewardScaling(1, 0.5), RewardScaling(1, 0.5)
        gaps.update(batch_of(reward, done, valid))
        plain.update(batch_of([[1.0, 2.0, 4.0]], [[0, 1, 0]]))
        assert gaps.moments.count == 3 and gaps.returns.tolist() == plain.returns.tolist() == [4.0]
        assert gaps.moments.var == plain.moments.var
        within = RewardScaling(1, 0.5)  # and amid an episode, a pause
        within.update(batch_of([[1.0, 99.0, 2.0]], [[0, 0, 0]], [[1, 0, 1]]))
        assert within.returns.tolist() == [2.5]

    def test_frozen_and_copied(self):
        scale = RewardScaling(1)
        scale.update(batch_of([[1.0, 4.0, 2.0]]))
        twin = copy.deepcopy(scale).freeze()
        fresh = RewardScaling(1)
        fresh.load_state_dict(scale.state_dict())
        before = scale(torch.tensor([[1.0]]))
        twin.update(batch_of([[50.0, 4.0]]))
        assert twin.frozen and not scale.frozen
        assert torch.equal(twin(torch.tensor([[1.0]])), before) and torch.equal(fresh(torch.tensor([[1.0]])), before)
        assert fresh.returns.tolist() == scale.returns.tolist() != twin.returns.tolist()

    @pytest.mark.parametrize("number", [2.5, 2.0, 0, float("nan")])
    def test_rows_are_whole(self, number):
        with pytest.raises(UsageError) as raised:
            RewardScaling(number)
        assert str(raised.value) == (
            "RewardScaling cannot be built: num_envs is out of range.\n"
            "  where: num_envs\n"
            "  expected: a whole number of rows, 1 or more\n"
            f"  got: {number!r}\n"
            "  fix: num_envs=env.num_envs"
        )

    def test_what_is_no_batch_is_refused(self):
        scale = RewardScaling(2)
        with pytest.raises(SpecError) as raised:
            scale.update(batch_of([[1.0, 2.0]]))
        assert str(raised.value) == (
            "RewardScaling cannot be updated: this is no batch of 2 environments.\n"
            "  where: ('next', 'reward')\n"
            "  expected: rewards [2, T, 1], and ends of episodes likewise\n"
            "  got: float32[1, 2, 1]\n"
            "  fix: update(batch) with what a collector gives, before it is flattened; num_envs=env.num_envs"
        )
        with pytest.raises(SpecError):
            scale.update(batch_of([[1.0], [2.0]]).flatten())
        with pytest.raises(MissingKeyError, match="it reads \\('next', 'done'\\)"):
            scale.update(batch_of([[1.0], [2.0]]).exclude(("next", "done")))
        with pytest.raises(NonFiniteError):
            scale.update(batch_of([[1.0], [float("nan")]]))
        assert scale.returns.tolist() == [0.0, 0.0] and scale.moments.count == 0

    @pytest.mark.parametrize("option", [{"gamma": 1.5}, {"clip": 0.0}, {"eps": 0.0}, {"num_envs": 0}])
    def test_numbers_out_of_range(self, option):
        with pytest.raises(UsageError, match=f"RewardScaling cannot be built: {next(iter(option))} is out of range."):
            RewardScaling(**{"num_envs": 2, **option})


class TestRewardClip:
    def test_by_hand(self):
        assert rewards(RewardClip()(batch_of([[-3.0, 0.25, 1.5]]))) == [[-1.0, 0.25, 1.0]]
        assert RewardClip(0.0, 5.0)(torch.tensor([-1.0, 7.0])).tolist() == [0.0, 5.0]

    def test_the_sign_is_a_key_module_of_a_function(self):
        sign = TensorDictModule(torch.sign, [("next", "reward")], [("next", "reward")])
        assert rewards(sign(batch_of([[-3.0, 0.0, 0.5]]))) == [[-1.0, 0.0, 1.0]]

    @pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
    def test_bounds_without_a_number_between(self, bounds):
        with pytest.raises(UsageError) as raised:
            RewardClip(*bounds)
        assert str(raised.value) == (
            "RewardClip cannot be built: no numbers lie between low and high.\n"
            "  where: low, high\n"
            "  expected: low < high\n"
            f"  got: {bounds[0]!r}, {bounds[1]!r}\n"
            "  fix: low=-1.0, high=1.0"
        )


@pytest.mark.parametrize("part", [RewardScaling(2), RewardClip(-0.5, 0.5)])
def test_between_collecting_and_the_advantage(part):
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
        config = NetworkConfig(num_cells=(8,))
        actor = ProbabilisticActor.from_spec(env.observation_spec, env.action_spec, config=config)
        critic = ValueOperator.from_spec(env.observation_spec, config=config)
        gae, loss = GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic)
        flow = Flow(env, actor, part, gae, loss, torch.optim.Adam(loss.parameters()))
        assert flow.findings == ()
        collector = Collector(env, actor, frames_per_batch=200)
        batch = collector.collect()
        raw = batch["next", "reward"].clone()
        if isinstance(part, RewardScaling):
            part.update(batch)
        loss(gae(part(batch)))
        assert not torch.equal(batch["next", "reward"], raw)
        # An episode's return is that of the rewards as they were: one for each step.
        episodes = collector.take_episodes()
        assert episodes and all(episode.return_ == episode.length for episode in episodes)


def test_before_a_buffer():
    # Returns of ten rewards of one, with γ = 1: 1, 2, ... 10, of variance (10² - 1) / 12 = 8.25.
    scale, buffer = RewardScaling(1, 1.0), ReplayBuffer(100, seed=0)
    batch = batch_of([[1.0] * 10])
    scale.update(batch)
    buffer.extend(scale(batch))
    torch.testing.assert_close(buffer.sample(4)["next", "reward"], torch.full((4, 1), 8.25**-0.5))
