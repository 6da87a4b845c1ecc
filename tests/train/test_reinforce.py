from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from keywork._errors import UsageError
from keywork.envs import GymEnv
from keywork.train import Reinforce, ReinforceConfig

SMALL = ReinforceConfig(num_steps=30, num_cells=(8,), learning_rate=1e-2, anneal=False)


@pytest.fixture
def env():
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as made:
        yield made


def parameters(reinforce):
    modules = [reinforce.policy, *([reinforce.critic] if reinforce.critic is not None else [])]
    return torch.cat([p.detach().flatten() for module in modules for p in module.parameters()])


def network(module):
    return deepcopy(next(m for m in module.modules() if isinstance(m, nn.Sequential)))


def reference(reinforce, batch, config):
    """The paper's update, with torch's own optimiser and clipping, on copies of the parameters."""
    actor, critic = network(reinforce.policy), network(reinforce.critic) if config.baseline else None
    everything = [*actor.parameters(), *(critic.parameters() if critic else [])]
    adam, nxt = torch.optim.Adam(everything, lr=config.learning_rate), batch["next"]
    with torch.no_grad():
        ahead = critic(nxt["observation"]) if critic else torch.zeros_like(nxt["reward"])
        returns = torch.zeros_like(nxt["reward"])
        for row in range(returns.shape[0]):
            following = ahead[row, -1]
            for t in reversed(range(returns.shape[1])):
                if nxt["done"][row, t]:
                    following = 0.0 if nxt["terminated"][row, t] else ahead[row, t]
                following = nxt["reward"][row, t] + config.gamma * following
                returns[row, t] = following
        advantage = returns - critic(batch["observation"]) if critic else returns
        if config.normalize_advantage:
            advantage = (advantage - advantage.mean()) / advantage.std(correction=0)
    log_prob = torch.distributions.Categorical(logits=actor(batch["observation"])).log_prob(batch["action"])
    loss = -(log_prob * advantage.squeeze(-1)).mean()
    if critic:
        loss = loss + config.critic_coeff * (critic(batch["observation"]) - returns).square().mean()
    loss.backward()
    nn.utils.clip_grad_norm_(everything, config.max_grad_norm)
    adam.step()
    return torch.cat([p.detach().flatten() for p in everything])


@pytest.mark.parametrize("baseline", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
def test_equals_the_papers_with_and_without_a_baseline(env, baseline, normalize):
    config = replace(SMALL, baseline=baseline, normalize_advantage=normalize)
    reinforce = Reinforce(env, config)
    batch = reinforce.collector.collect()
    assert batch["next", "done"].any()
    wanted, before = reference(reinforce, batch, config), parameters(reinforce)
    reinforce.update(batch, progress=0.0)
    torch.testing.assert_close(parameters(reinforce), wanted, rtol=1e-4, atol=1e-5)
    assert (parameters(reinforce) - before).abs().max() > 5e-3


def test_says_how_it_went(env):
    of_all = {"loss/objective", "loss/entropy", "reinforce/entropy", "reinforce/grad_norm"}
    for baseline, more in ((True, {"loss/critic", "reinforce/explained_variance"}), (False, set())):
        reinforce = Reinforce(env, replace(SMALL, baseline=baseline))
        metrics = reinforce.update(reinforce.collector.collect(), progress=0.0)
        assert set(metrics) == of_all | more
        assert metrics["reinforce/entropy"] == pytest.approx(0.693, abs=0.01)  # nearly even odds: ln 2


def test_without_a_baseline_there_is_no_critic(env):
    reinforce = Reinforce(env, replace(SMALL, baseline=False))
    assert reinforce.critic is None
    assert "state_value" not in {entry.key for entry in reinforce.flow.entries}
    given = Reinforce(env, SMALL).critic
    assert Reinforce(env, replace(SMALL, baseline=False), critic=given).critic is given


def test_anneals_if_it_is_to(env):
    for anneal, rate in ((True, 0.0025), (False, 0.01)):
        reinforce = Reinforce(env, replace(SMALL, anneal=anneal))
        reinforce.update(reinforce.collector.collect(), progress=0.75)
        assert reinforce.optimizer.lr == pytest.approx(rate)


def test_refuses_what_cannot_be(env):
    with pytest.raises(UsageError) as raised:
        Reinforce(env, replace(SMALL, gamma=2.0))
    assert str(raised.value) == "gamma is 2.0: it has to be in [0, 1], such as --gamma 0.95."
