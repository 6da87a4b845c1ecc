"""Networks that remember, in PPO: a GRU goes into a policy, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from keywork._errors import ContractError, UsageError
from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.modules import (
    ActorValueOperator,
    FrameStack,
    GRUModule,
    LSTMModule,
    ProbabilisticActor,
    ValueOperator,
    gSDEModule,
)
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictSequential
from keywork.specs import Unbounded
from keywork.train import PPO, PPOConfig, evaluate
from keywork.train._memory import acting, remembers, rows_in_minibatch

WIDTH = 16
SMALL = PPOConfig(num_steps=6, num_epochs=3, minibatch_size=1000)
LEARNING = PPOConfig(num_steps=16, num_epochs=8, minibatch_size=128, learning_rate=1e-2, anneal=False, gamma=1.0)


class Recall(gymnasium.Env):
    """Shows one of two cues in the first of four steps, and pays for the action of its name in the last one."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.cue = 0, int(self.np_random.integers(2))
        return np.array([2.0 * self.cue - 1.0, 0.0], np.float32), {}

    def step(self, action):
        self.at += 1
        over = self.at == 4
        return np.array([0.0, self.at == 3], np.float32), float(over and action == self.cue), over, False, {}


def plain():
    return TensorDictModule(nn.Sequential(nn.Linear(2, WIDTH), nn.Tanh()), ["observation"], ["features"])


def gru(state="recurrent_state"):
    return GRUModule(2, WIDTH, in_keys=["observation", state], out_key="features")


def lstm():
    return LSTMModule(2, WIDTH, in_key="observation", out_key="features")


def actor_on(*body):
    head = TensorDictModule(nn.Linear(WIDTH, 2), ["features"], ["logits"])
    return ProbabilisticActor([*body, head], ["logits"], distribution_class=Categorical, return_log_prob=True)


def critic_on(*body):
    return TensorDictSequential(*body, ValueOperator(nn.Linear(WIDTH, 1), ["features"]))


def on_one_trunk(trunk):
    head = TensorDictModule(nn.Linear(WIDTH, 2), ["features"], ["logits"])
    actor = ProbabilisticActor(head, ["logits"], distribution_class=Categorical, return_log_prob=True)
    both = ActorValueOperator(trunk, actor, ValueOperator(nn.Linear(WIDTH, 1), ["features"]))
    return both.get_policy_operator(), both.get_value_operator()


NETWORKS = {
    "memoryless": lambda: (actor_on(plain()), critic_on(plain())),
    "critic": lambda: (actor_on(plain()), critic_on(gru())),
    "actor": lambda: (actor_on(gru()), critic_on(plain())),
    "both": lambda: (actor_on(gru()), critic_on(gru("critic_state"))),
    "trunk": lambda: on_one_trunk(gru()),
    "lstm": lambda: on_one_trunk(lstm()),
}
RECURRENT = [name for name in NETWORKS if name != "memoryless"]


@pytest.fixture
def env():
    with GymEnv(Recall, num_envs=5, seed=0) as made:
        yield made


def ppo_of(env, name, config=SMALL, seed=0):
    torch.manual_seed(seed)
    actor, critic = NETWORKS[name]()
    return PPO(env, config, actor=actor, critic=critic, seed=seed)


class TestLearning:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_what_a_memory_is_needed_for_is_learnt_with_one_and_only_with_one(self, name):
        with GymEnv(Recall, num_envs=16, seed=0) as env:
            ppo = ppo_of(env, name, LEARNING)
            for _ in range(25):
                ppo.update(ppo.collector.collect(), progress=0.0)
            returns = evaluate(ppo.policy, env, episodes=320, seed=7).returns
        mean = sum(returns) / len(returns)
        # An actor without a memory guesses: right half of the time, of 320 times give or take 0.03.
        assert (0.35 < mean < 0.65) if name in ("memoryless", "critic") else mean > 0.95


class TestUpdate:
    @pytest.mark.parametrize("name", RECURRENT)
    def test_of_fresh_data_all_ratios_are_one_also_where_rows_begin_and_end_inside_of_episodes(self, env, name):
        # Rows of 6 steps, episodes of 4: in a later batch rows begin after 0 or 2 steps of one, and resets are inside.
        ppo = ppo_of(env, name, replace(SMALL, num_epochs=1, clip_epsilon=1e-5, anneal=False))
        ppo.collector.collect()
        batch = ppo.collector.collect()
        assert not batch["is_init"][:, 0].any()
        assert batch["is_init"][:, 1:].any(1).all()
        metrics = ppo.update(batch, progress=0.0)
        assert metrics["ppo/clip_fraction"] == 0.0
        assert metrics["ppo/kl"] == pytest.approx(0.0, abs=1e-8)
        assert metrics["loss/objective"] == pytest.approx(0.0, abs=1e-5)

    @pytest.mark.parametrize("name", RECURRENT)
    def test_every_parameter_learns(self, env, name):
        ppo = ppo_of(env, name)
        before = [parameter.detach().clone() for parameter in ppo.loss.parameters()]
        ppo.collector.collect()
        ppo.update(ppo.collector.collect(), progress=0.0)
        assert all((old != new).any() for old, new in zip(before, ppo.loss.parameters(), strict=True))

    def test_minibatches_are_whole_rows_in_the_order_of_time_each_once_an_epoch(self, env):
        # Five rows of 6 frames in pieces of 15 frames, into which two rows go: 2 + 2 + 1, in another order each epoch.
        ppo = ppo_of(env, "actor", replace(SMALL, minibatch_size=15, num_epochs=2))
        batch = ppo.collector.collect()
        batch["advantage"] = torch.arange(30.0).view(5, 6, 1)
        batch["value_target"] = torch.zeros(5, 6, 1)
        at = ppo.loss.in_keys.index("advantage")
        drawn = [inputs[at].squeeze(-1) for inputs in ppo._minibatches(batch)]
        assert [len(rows) for rows in drawn] == [2, 2, 1, 2, 2, 1]
        first, second = torch.cat(drawn[:3]), torch.cat(drawn[3:])
        assert not torch.equal(first, second)
        for rows in (first, second):
            assert torch.equal(rows[rows[:, 0].argsort()], batch["advantage"].squeeze(-1))

    def test_a_shared_trunk_that_runs_for_both_losses_has_the_gradient_of_one_that_runs_once(self, env):
        ppo = ppo_of(env, "trunk")
        batch = ppo.gae(ppo.collector.collect())
        terms = ppo.loss(batch)
        ours = ppo.optimizer.flat.gradient(terms["loss_objective"] + terms["loss_critic"])
        trunk, (actor_head, critic_head) = ppo.policy[0], (ppo.policy[1], ppo.critic[1])
        features = [torch.zeros(5, 0, WIDTH)]
        state = batch["recurrent_state"][:, 0]
        for t in range(6):
            out, state = trunk(batch["observation"][:, t], state, batch["is_init"][:, t])
            features.append(out.unsqueeze(1))
        once = torch.cat(features, 1)
        ratio = (actor_head.dist_of(once).log_prob(batch["action"]) - batch["sample_log_prob"]).exp()
        advantage = batch["advantage"].squeeze(-1)
        advantage = (advantage - advantage.mean()) / advantage.std(unbiased=False)
        value = critic_head(once)
        error = (value - batch["value_target"]).square().mean()
        theirs = ppo.optimizer.flat.gradient(-(ratio * advantage).mean() + ppo.config.critic_coeff * error)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


class TestActing:
    def test_a_critics_own_memory_sees_every_step_and_stores_its_state_alone(self, env):
        ppo = ppo_of(env, "both")
        batch = ppo.collector.collect()
        expected = {"critic_state", "recurrent_state", "features", "logits", "action", "sample_log_prob"}
        assert expected <= set(batch.keys())
        assert "state_value" not in set(batch.keys())
        memory, state = ppo.critic[0], torch.zeros(5, 1, WIDTH)
        for t in range(6):
            assert torch.equal(batch["critic_state"][:, t], torch.where(batch["is_init"][:, t, :, None], 0.0, state))
            with torch.no_grad():
                _, state = memory(batch["observation"][:, t], state, batch["is_init"][:, t])

    def test_the_actor_acts_by_itself_where_the_critic_carries_nothing_of_its_own(self, env):
        for name in ("memoryless", "actor", "trunk", "lstm"):
            ppo = ppo_of(env, name)
            assert ppo.collector.policy is ppo.policy

    def test_a_memory_on_a_trunk_that_both_share_goes_along_without_the_trunk(self):
        trunk = TensorDictModule(nn.Linear(2, WIDTH), ["observation"], ["features"])
        memory = GRUModule(WIDTH, WIDTH, in_key="features", out_key="remembered")
        critic = TensorDictSequential(trunk, memory, ValueOperator(nn.Linear(WIDTH, 1), ["remembered"]))
        together = acting("PPO", actor_on(trunk), critic)
        assert list(together[1]) == [memory]
        assert together.in_keys == ["observation", "recurrent_state", "is_init"]

    def test_two_memories_under_one_key_are_refused(self, env):
        with pytest.raises(ContractError) as caught:
            PPO(env, SMALL, actor=actor_on(gru()), critic=critic_on(gru()))
        assert str(caught.value) == (
            "PPO cannot be built: 1 finding.\n"
            "1. the actor and the critic each carry a state of their own under 'recurrent_state'.\n"
            "   give the critic's another key, such as GRUModule(..., in_keys=['observation', 'critic_state']), or "
            "share one memory: ActorValueOperator(memory, actor, critic)."
        )

    def test_the_flow_shows_who_carries_what(self, env):
        flow = ppo_of(env, "both").flow
        assert flow.findings == flow.graph.notes == ()
        assert flow["critic_state"].written_by == ("critic memory (step before)",)
        assert flow["critic_state"].read_by == ("critic memory", "GAE", "ClipPPOLoss")
        assert flow["critic_state"].holds.shape == (1, WIDTH)


class TestRows:
    @pytest.mark.parametrize(("size", "rows"), [(6, 1), (11, 1), (12, 2), (1000, 166)])
    def test_a_minibatch_holds_as_many_whole_rows_as_fit(self, size, rows):
        assert rows_in_minibatch(size, 6) == rows

    def test_a_minibatch_smaller_than_a_row_is_refused(self, env):
        with pytest.raises(UsageError) as caught:
            ppo_of(env, "actor", replace(SMALL, minibatch_size=5))
        assert str(caught.value) == (
            "minibatch_size is 5, and a recurrent network learns from whole rows, of num_steps=6 frames each: "
            "type --minibatch-size 6 or more, or --num-steps 5."
        )
        ppo_of(env, "memoryless", replace(SMALL, minibatch_size=5))

    def test_noise_that_is_carried_is_no_memory_of_the_loss(self):
        net = TensorDictModule(nn.Linear(3, 1), ["observation"], ["loc"])
        actor = ProbabilisticTensorDictSequential(net, gSDEModule(1, 3, return_log_prob=True))
        assert not remembers(actor)
        with GymEnv("Pendulum-v1", num_envs=2, seed=0, clip_actions=True) as env:
            ppo = PPO(env, replace(SMALL, minibatch_size=5), actor=actor)
            batch = ppo.collector.collect()
            assert [len(inputs[0]) for inputs in ppo._minibatches(ppo.gae(batch))] == [5, 5, 2] * 3
            ppo.update(batch, progress=0.0)

    def test_a_memory_of_ones_own_making_is_one(self):
        assert remembers(critic_on(gru()))
        assert remembers(TensorDictSequential(plain()), actor_on(TensorDictSequential(lstm())))
        assert not remembers(actor_on(plain()), critic_on(plain()))


def test_an_evaluation_carries_the_state_over_steps_and_drops_it_where_an_episode_ends():
    """A policy made by hand: the first cue stays in the cell, so that every episode pays, whatever came before it."""
    actor = actor_on(gru())
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.zero_()
        layers = actor[0].layers
        # z = sigmoid(10 - 20 |cue|) is 1, to keep the state, unless there is a cue; then it is 0, and n = tanh(5 cue)
        # is the state. |cue| is not linear: two gates, one for each sign, each keeping unless its own cue is shown.
        for unit, sign in ((0, 1.0), (1, -1.0)):
            layers.weight_ih_l0[WIDTH + unit, 0] = -20.0 * sign
            layers.bias_ih_l0[WIDTH + unit] = 10.0
            layers.weight_ih_l0[2 * WIDTH + unit, 0] = 5.0 * sign
        head = actor[1].module
        head.weight[1, 0], head.weight[0, 1] = 10.0, 10.0
    with GymEnv(Recall, num_envs=4) as env:
        assert set(evaluate(actor, env, episodes=40, seed=3).returns) == {1.0}
        # From one state to the next nothing is forgotten: without the reset, both units would be on before long.
        batch = Collector(env, actor, frames_per_batch=80, exploration_type="mode", seed=3).collect()
    last = batch["next", "done"].squeeze(-1)
    assert last.sum() == 20
    assert (batch["next", "recurrent_state"][last][:, 0, :2].abs().sum(-1) < 1.01).all()


def test_an_evaluation_says_the_same_again(env):
    actor = actor_on(gru())
    once, again = (evaluate(actor, env, episodes=20, seed=1) for _ in range(2))
    assert once == again


def test_a_critic_with_frames_of_its_own_beside_an_actor_that_writes_a_key_of_nearly_its_observations_name():
    own = FrameStack(2, Unbounded((4,)), out_key="critic_stack", frames_key="critic_frames")
    critic = TensorDictSequential(own, ValueOperator(nn.Sequential(nn.Flatten(-2), nn.Linear(8, 1)), ["critic_stack"]))
    net = TensorDictModule(nn.Sequential(nn.Flatten(-2), nn.Linear(8, 2)), ["observation_stack"], ["logits"])
    actor = ProbabilisticActor([FrameStack(2, Unbounded((4,))), net], ["logits"], distribution_class=Categorical)
    both = acting("PPO", actor, critic)
    assert both.in_keys == ["observation", "observation_frames", "is_init", "critic_frames"]
    assert ("next", "critic_frames") in both.out_keys
