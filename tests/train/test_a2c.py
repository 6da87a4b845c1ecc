from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from keywork._errors import UsageError
from keywork.envs import GymEnv
from keywork.train import A2C, A2CConfig, Trainer


@pytest.fixture
def env():
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as made:
        yield made


def parameters(a2c):
    return torch.cat([p.detach().flatten() for module in (a2c.policy, a2c.critic) for p in module.parameters()])


def reference(a2c, batches, config):
    """The paper's update with torch's own clipping, and RMSprop with the bias of its mean corrected, on copies."""
    nets = [next(m for m in module.modules() if isinstance(m, nn.Sequential)) for module in (a2c.policy, a2c.critic)]
    actor, critic = map(deepcopy, nets)
    everything = [*actor.parameters(), *critic.parameters()]
    squares = [torch.zeros_like(p) for p in everything]
    for count, batch in enumerate(batches, 1):
        nxt = batch["next"]
        with torch.no_grad():
            value, next_value = critic(batch["observation"]), critic(nxt["observation"])
            returns = torch.zeros_like(value)
            for row in range(value.shape[0]):
                following = next_value[row, -1]
                for t in reversed(range(value.shape[1])):
                    if nxt["done"][row, t]:
                        following = 0.0 if nxt["terminated"][row, t] else next_value[row, t]
                    following = nxt["reward"][row, t] + config.gamma * following
                    returns[row, t] = following
        dist = torch.distributions.Categorical(logits=actor(batch["observation"]))
        objective = (dist.log_prob(batch["action"]) * (returns - value).squeeze(-1)).mean()
        error = (critic(batch["observation"]) - returns).square().mean()
        loss = -objective + config.critic_coeff * error - config.entropy_coeff * dist.entropy().mean()
        gradients = torch.autograd.grad(loss, everything)
        norm = torch.sqrt(sum(g.square().sum() for g in gradients))
        scale = min(1.0, config.max_grad_norm / norm.item())
        with torch.no_grad():
            for p, g, square in zip(everything, gradients, squares, strict=True):
                square.mul_(0.99).add_(0.01 * (g * scale).square())
                p -= config.learning_rate * g * scale / ((square / (1 - 0.99**count)).sqrt() + 1e-5)
    return torch.cat([p.detach().flatten() for p in everything])


class TestUpdate:
    def test_equals_the_papers(self, env):
        config = A2CConfig(num_steps=20, num_cells=(8,), entropy_coeff=0.01, learning_rate=1e-2)
        a2c = A2C(env, config)
        batches = [a2c.collector.collect() for _ in range(3)]
        assert any(batch["next", "done"].any() for batch in batches)
        wanted = reference(a2c, batches, config)
        before = parameters(a2c)
        for batch in batches:
            a2c.update(batch, progress=0.5)
        torch.testing.assert_close(parameters(a2c), wanted, rtol=1e-4, atol=1e-5)
        assert (parameters(a2c) - before).abs().max() > 1e-2

    def test_says_how_it_went_every_so_many_frames(self, env):
        # Batches of 2 x 5 frames: told with the batch that reaches 25, and 25 frames after that at the earliest.
        a2c = A2C(env, A2CConfig(log_every=25))
        told = [bool(a2c.update(a2c.collector.collect(), progress=0.0)) for _ in range(7)]
        assert told == [False, False, True, False, False, True, False]

    def test_the_trainer_tells_of_all_episodes_between(self, env):
        rows = []

        class Notes:
            on_metrics = staticmethod(rows.append)

        Trainer(A2C(env, A2CConfig(log_every=400)), total_frames=1000, observers=[Notes]).train()
        assert [row["step"] for row in rows] == [400, 800, 1000]
        # An episode of CartPole with a poor policy lasts 10 to 40 steps or so.
        assert all(row["episode/count"] > 4 for row in rows[:2])
        assert set(rows[0]) >= {
            "loss/objective",
            "loss/critic",
            "loss/entropy",
            "a2c/entropy",
            "a2c/explained_variance",
        }

    def test_anneals_if_it_is_to(self, env):
        for anneal, rate in ((True, 0.025), (False, 0.1)):
            a2c = A2C(env, A2CConfig(learning_rate=0.1, anneal=anneal))
            a2c.update(a2c.collector.collect(), progress=0.75)
            assert a2c.optimizer.lr == pytest.approx(rate)

    def test_scales_rewards_by_the_deviation_of_returns(self, env):
        a2c = A2C(env, A2CConfig(num_steps=50, scale_rewards=True, gamma=1.0))
        batch = a2c.collector.collect()
        # Rewards of 1 make returns of 1, 2, ... up to the end of each episode.
        returns = []
        for row in range(2):
            following = 0.0
            for t in range(50):
                following += 1.0
                returns.append(following)
                following *= not batch["next", "done"][row, t]
        deviation = torch.tensor(returns).std(correction=0)
        a2c.update(batch, progress=0.0)
        torch.testing.assert_close(batch["next", "reward"], torch.full((2, 50, 1), 1.0) / deviation)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_steps": 0}, "num_steps is 0: it has to be above 0, such as --num-steps 5."),
        ({"log_every": 0}, "log_every is 0: it has to be above 0, such as --log-every 1000."),
        ({"gae_lambda": 1.5}, "gae_lambda is 1.5: it has to be in [0, 1], such as --gae-lambda 0.95."),
    ],
)
def test_refuses_what_cannot_be(env, wrong, message):
    with pytest.raises(UsageError) as raised:
        A2C(env, A2CConfig(**wrong))
    assert str(raised.value) == message
