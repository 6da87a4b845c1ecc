from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import chain

import pytest
import torch
from torch import nn

from keywork._errors import NonFiniteError, UsageError
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.modules import ProbabilisticActor, RunningNorm, ValueOperator
from keywork.nn import TensorDictModule
from keywork.train import PPO, PPOConfig

SMALL = PPOConfig(num_steps=6, num_epochs=3, minibatch_size=1000, num_cells=(8,))


@pytest.fixture
def env():
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as made:
        yield made


def parameters(ppo):
    return torch.cat([p.detach().flatten() for module in (ppo.policy, ppo.critic) for p in module.parameters()])


def reference(ppo, batch, config, progress, minibatches):
    """The update as the paper has it, with torch's own optimiser and clipping, on copies of the parameters."""
    nets = [next(m for m in module.modules() if isinstance(m, nn.Sequential)) for module in (ppo.policy, ppo.critic)]
    actor, critic = map(deepcopy, nets)
    everything = [*actor.parameters(), *critic.parameters()]
    remaining = 1 - progress
    adam = torch.optim.Adam(everything, lr=config.learning_rate * remaining, eps=1e-5)
    epsilon = config.clip_epsilon * remaining

    nxt = batch["next"]
    with torch.no_grad():
        value, next_value = critic(batch["observation"]), critic(nxt["observation"])
        advantage = torch.zeros_like(value)
        for row in range(value.shape[0]):
            following = 0.0
            for t in reversed(range(value.shape[1])):
                bootstrap = 0.0 if nxt["terminated"][row, t] else next_value[row, t]
                delta = nxt["reward"][row, t] + config.gamma * bootstrap - value[row, t]
                following = delta + config.gamma * config.gae_lambda * following * (not nxt["done"][row, t])
                advantage[row, t] = following
        target = (advantage + value).flatten()
    flat = batch.flatten()
    for rows in minibatches:
        logits = actor(flat["observation"][rows])
        dist = torch.distributions.Categorical(logits=logits)
        a = advantage.flatten()[rows]
        a = (a - a.mean()) / a.std(unbiased=False)
        ratio = (dist.log_prob(flat["action"][rows]) - flat["sample_log_prob"][rows]).exp()
        objective = torch.minimum(ratio * a, ratio.clamp(1 - epsilon, 1 + epsilon) * a).mean()
        error = (critic(flat["observation"][rows]).squeeze(-1) - target[rows]).square().mean()
        loss = -objective + config.critic_coeff * error - config.entropy_coeff * dist.entropy().mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(everything, config.max_grad_norm)
        adam.step()
    return torch.cat([p.detach().flatten() for p in everything])


class TestUpdate:
    @pytest.mark.parametrize("size", [1000, 5])
    def test_equals_the_papers(self, env, size):
        config = replace(SMALL, num_steps=20, minibatch_size=size, entropy_coeff=0.01, learning_rate=1e-2)
        ppo = PPO(env, config, seed=4)
        batch = ppo.collector.collect()
        assert batch["next", "done"].any()  # an episode's end is in it
        generator = torch.Generator().manual_seed(4)
        minibatches = [slice(None)] * 3
        if size == 5:
            minibatches = [rows for _ in range(3) for rows in torch.randperm(40, generator=generator).split(5)]
        wanted = reference(ppo, batch, config, 0.25, minibatches)
        before = parameters(ppo)
        ppo.update(batch, progress=0.25)
        torch.testing.assert_close(parameters(ppo), wanted, rtol=1e-4, atol=1e-5)
        assert (parameters(ppo) - before).abs().max() > 1e-3

    def test_says_how_it_went(self, env):
        ppo = PPO(env, SMALL)
        metrics = ppo.update(ppo.collector.collect(), progress=0.0)
        assert set(metrics) == {
            *("loss/objective", "loss/critic", "loss/entropy"),
            *("ppo/entropy", "ppo/kl", "ppo/clip_fraction", "ppo/grad_norm", "ppo/explained_variance"),
        }
        assert all(type(value) is float for value in metrics.values())
        # Nearly even odds at first: the entropy is almost ln 2 = 0.693; its bonus has no weight.
        assert metrics["ppo/entropy"] == pytest.approx(0.693, abs=0.01)
        assert metrics["loss/entropy"] == 0.0

    def test_of_one_epoch_on_the_whole_batch_knows_its_numbers(self, env):
        # Before the first step the policy is the one that collected: ratio 1, so KL and clip fraction are 0, and the
        # objective is the mean of standardised advantages: 0.
        ppo = PPO(env, replace(SMALL, num_epochs=1))
        metrics = ppo.update(ppo.collector.collect(), progress=0.0)
        for name in ("ppo/kl", "ppo/clip_fraction", "loss/objective"):
            assert metrics[name] == pytest.approx(0.0, abs=1e-6)

    def test_anneals_to_nothing_at_the_end(self, env):
        ppo = PPO(env, replace(SMALL, learning_rate=0.1))
        ppo.update(ppo.collector.collect(), progress=0.75)
        assert ppo.optimizer.lr == pytest.approx(0.025)
        assert ppo.loss.clip_epsilon == pytest.approx(0.05)

    def test_does_not_anneal_if_it_is_not_to(self, env):
        ppo = PPO(env, replace(SMALL, learning_rate=0.1, anneal=False))
        ppo.update(ppo.collector.collect(), progress=0.75)
        assert (ppo.optimizer.lr, ppo.loss.clip_epsilon) == (0.1, 0.2)

    def test_the_clip_range_stays_if_it_is_to(self, env):
        ppo = PPO(env, replace(SMALL, learning_rate=0.1, anneal_clip=False))
        ppo.update(ppo.collector.collect(), progress=0.75)
        assert (ppo.optimizer.lr, ppo.loss.clip_epsilon) == (0.025, 0.2)

    def test_ends_early_where_the_policy_has_moved_too_far(self, env):
        # Large steps, 10 of them: the second one already finds a policy that is far from the one that acted, and is the
        # last.
        config = replace(SMALL, num_epochs=10, learning_rate=0.1, anneal=False)
        counts = []
        for target in (0.0, 1e6, 1e-9):
            torch.manual_seed(0)
            ppo = PPO(env, replace(config, target_kl=target))
            ppo.update(ppo.collector.collect(), progress=0.0)
            counts.append(ppo.optimizer.state_dict()["count"])
        assert counts == [10, 10, 2]

    def test_clips_the_critic_at_the_distance_asked_for(self, env):
        # After a step or two the critic is further than 1e-6 from what it said: clipped, its loss is that of the old
        # values, the same in every later step; not clipped, it falls.
        config = replace(SMALL, num_epochs=6, learning_rate=1e-2, anneal=False)
        torch.manual_seed(0)
        free = PPO(env, config)
        held = PPO(env, replace(config, clip_value=1e-6), actor=deepcopy(free.policy), critic=deepcopy(free.critic))
        batch = free.collector.collect()
        losses = [ppo.update(batch.clone(), progress=0.0)["loss/critic"] for ppo in (free, held)]
        torch.manual_seed(0)
        before = PPO(env, replace(config, num_epochs=1)).update(batch.clone(), progress=0.0)["loss/critic"]
        assert losses[1] == pytest.approx(before, rel=1e-3)
        assert losses[0] < 0.99 * losses[1]

    def test_normalises_with_statistics_that_only_updates_change(self, env):
        ppo = PPO(env, replace(SMALL, normalize=True))
        (norm,) = {part.moments for part in ppo.policy.modules() if isinstance(part, RunningNorm)}
        batch = ppo.collector.collect()
        assert norm[0].count == 0
        ppo.update(batch, progress=0.0)
        # All 12 frames once, however many epochs there were, and for actor and critic together.
        assert norm[0].count == 12
        torch.testing.assert_close(norm[0].mean.float(), batch["observation"].flatten(0, 1).mean(0))
        judged = [part.moments for part in ppo.critic.modules() if isinstance(part, RunningNorm)]
        assert judged == [norm]

    def test_ratios_of_fresh_data_are_one_also_where_observations_are_normalised(self, env):
        ppo = PPO(env, replace(SMALL, normalize=True, num_epochs=1))
        for _ in range(3):
            metrics = ppo.update(ppo.collector.collect(), progress=0.0)
            assert metrics["ppo/kl"] == pytest.approx(0.0, abs=1e-8)

    def test_scaled_rewards_are_what_is_learnt_from(self, env):
        torch.manual_seed(0)
        plain = PPO(env, SMALL)
        scaled = PPO(env, replace(SMALL, scale_rewards=True), actor=deepcopy(plain.policy))
        batch = plain.collector.collect()
        scaled.update(batch, progress=0.0)
        reward = batch["next", "reward"]
        assert (reward == reward[0, 0]).all()  # of CartPole all are 1, before and after
        assert 0.1 < reward[0, 0].item() < 1.0

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch
    def test_annealing_compiles_nothing_anew(self, env):
        config = replace(SMALL, minibatch_size=8, num_epochs=1)  # pieces of 8 and 4 frames: two shapes
        torch.manual_seed(0)
        plain = PPO(env, config)
        traced = PPO(env, config, actor=deepcopy(plain.policy), critic=deepcopy(plain.critic), compile=True)
        # The compiler's own part of it takes a minute: here what it is given is run as it is.
        of_vector = traced._descend.of_vector
        traced._descend._compiled = torch.compile(of_vector, dynamic=False, fullgraph=True, backend="eager")
        torch._dynamo.utils.counters.clear()
        for progress in (0.0, 0.3, 0.6, 0.9):
            batch = plain.collector.collect()
            ours, theirs = (ppo.update(batch.clone(), progress) for ppo in (traced, plain))
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
        torch.testing.assert_close(parameters(traced), parameters(plain), rtol=1e-4, atol=1e-5)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2

    def test_minibatches_hold_every_frame_once_an_epoch(self, env):
        # 12 frames in pieces of 5: 5 + 5 + 2 rows, in another order each epoch.
        ppo = PPO(env, replace(SMALL, minibatch_size=5, num_epochs=2), seed=1)
        batch = ppo.collector.collect()
        batch["advantage"] = torch.arange(12.0).view(2, 6, 1)
        batch["value_target"] = torch.zeros(2, 6, 1)
        at = ppo.loss.in_keys.index("advantage")
        drawn = [inputs[at].flatten().tolist() for inputs in ppo._minibatches(batch)]
        assert [len(rows) for rows in drawn] == [5, 5, 2, 5, 5, 2]
        first, second = list(chain(*drawn[:3])), list(chain(*drawn[3:]))
        assert sorted(first) == sorted(second) == list(range(12))
        assert first != second

    @pytest.mark.parametrize("size", [11, 1])
    def test_a_minibatch_of_one_frame_does_no_harm(self, env, size):
        ppo = PPO(env, replace(SMALL, minibatch_size=size))
        ppo.update(ppo.collector.collect(), progress=0.0)
        assert parameters(ppo).isfinite().all()

    def test_nan_is_an_error_and_leaves_the_parameters_alone(self, env):
        ppo = PPO(env, SMALL)
        batch = ppo.collector.collect()
        batch["next", "reward"][0, 0] = float("nan")
        before = parameters(ppo)
        with pytest.raises(NonFiniteError):
            ppo.update(batch, progress=0.0)
        assert torch.equal(parameters(ppo), before)


class TestParts:
    def test_ones_own_networks_are_taken(self, env):
        net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
        actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
        critic = ValueOperator(nn.Linear(4, 1), ["observation"])
        ppo = PPO(env, SMALL, actor=actor, critic=critic)
        assert (ppo.policy, ppo.critic) == (actor, critic)
        before = parameters(ppo)
        ppo.update(ppo.collector.collect(), progress=0.0)
        # 4·2 + 2 and 4·1 + 1 numbers, all of them moved (the gradient of no weight is exactly zero here)
        assert len(before) == 15
        assert (parameters(ppo) != before).all()

    def test_the_flow_is_that_of_the_whole_pipeline(self, env):
        ppo = PPO(env, SMALL)
        assert [part.name for part in ppo.flow.parts if part.kind == "optimiser"] == ["FlatAdam"]
        assert "ClipPPOLoss" in ppo.flow["advantage"].read_by
        assert ppo.flow.findings == ()

    def test_a_batch_is_of_num_steps_of_every_environment(self, env):
        assert PPO(env, SMALL).collector.collect().batch_size == torch.Size([2, 6])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_steps": 0}, "num_steps is 0: it has to be above 0, such as --num-steps 32."),
        ({"num_epochs": -1}, "num_epochs is -1: it has to be above 0, such as --num-epochs 20."),
        ({"minibatch_size": 0}, "minibatch_size is 0: it has to be above 0, such as --minibatch-size 256."),
        ({"learning_rate": 0.0}, "learning_rate is 0.0: it has to be above 0, such as --learning-rate 0.001."),
        ({"learning_rate": float("nan")}, "learning_rate is nan: it has to be above 0, such as --learning-rate 0.001."),
        ({"clip_epsilon": -0.1}, "clip_epsilon is -0.1: it has to be above 0, such as --clip-epsilon 0.2."),
        ({"max_grad_norm": 0.0}, "max_grad_norm is 0.0: it has to be above 0, such as --max-grad-norm 0.5."),
        ({"gamma": 1.1}, "gamma is 1.1: it has to be in [0, 1], such as --gamma 0.95."),
        ({"gae_lambda": float("nan")}, "gae_lambda is nan: it has to be in [0, 1], such as --gae-lambda 0.95."),
    ],
)
def test_settings_that_cannot_be_are_refused(env, wrong, message):
    with pytest.raises(UsageError) as raised:
        PPO(env, PPOConfig(**wrong))
    assert str(raised.value) == message


def test_learns(env):
    """A few thousand steps are enough to balance longer than at random (about 20 steps)."""
    torch.manual_seed(0)
    ppo = PPO(env, PPOConfig(num_steps=128, num_epochs=10, num_cells=(32,), anneal=False))
    lengths = []
    for _ in range(24):
        ppo.update(ppo.collector.collect(), progress=0.0)
        lengths.append([episode.length for episode in ppo.collector.take_episodes()])
    first, last = list(chain(*lengths[:4])), list(chain(*lengths[-4:]))
    assert sum(last) / len(last) > 3 * sum(first) / len(first)


def test_check_false_builds_with_a_word_in_the_log(caplog):
    with GymEnv("CartPole-v1", num_envs=2) as env:
        net = TensorDictModule(lambda x: x.sum(-1, keepdim=True), ["observation"], ["state_value"])
        actor = ProbabilisticActor(
            TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"]),
            ["logits"],
            distribution_class=Categorical,
            return_log_prob=True,
        )
        flow = PPO(env, PPOConfig(num_steps=8), actor=actor, critic=net, check=False).flow
    assert flow.findings == ()
    assert [record.getMessage() for record in caplog.records] == [
        "Collector(check=False): CartPole-v1 and its policy are not checked."
    ]
