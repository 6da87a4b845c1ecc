"""Every on-policy algorithm with every kind of policy: it learns, it fits together, and a saved run plays again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from keywork.envs import GymEnv
from keywork.modules import RunningNorm
from keywork.train import RECIPES, RunSettings, evaluate_policy, flow_of, load_policy, run_experiment

ALGORITHMS = ["a2c", "ppo", "reinforce"]
POLICIES = {
    "mlp": {},
    "normalised": {"normalize": True},
    "trunk": {"share_trunk": True},
    "gru": {"policy": "gru"},
    "lstm": {"policy": "lstm", "normalize": True},
    "gru trunk": {"policy": "gru", "share_trunk": True},
    "lstm trunk": {"policy": "lstm", "share_trunk": True, "normalize": True},
}


def config_of(algorithm, policy, **more):
    more |= {"num_epochs": 1} if algorithm == "ppo" else {}
    return RECIPES[algorithm].config(num_steps=8, num_cells=(6,), activation="relu", **POLICIES[policy], **more)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_statistics_count_each_step_once(algorithm):
    with GymEnv("CartPole-v1", num_envs=3, seed=0) as env:
        learner = RECIPES[algorithm].algorithm(env, config_of(algorithm, "normalised"))
        learner.update(learner.collector.collect(), progress=0.0)
    norms = [part for part in learner.loss.modules() if isinstance(part, RunningNorm)]
    assert norms and all(norm.moments[0].count == 24 for norm in norms)  # 3 environments, 8 steps each


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestEvery:
    @pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
    def test_update_moves_every_parameter(self, algorithm, policy, env):
        with GymEnv(env, num_envs=3, seed=0, clip_actions=True) as made:
            learner = RECIPES[algorithm].algorithm(made, config_of(algorithm, policy), seed=0, device="cpu")
            before = [parameter.detach().clone() for parameter in learner.loss.parameters()]
            learner.update(learner.collector.collect(), progress=0.0)
            learner.update(learner.collector.collect(), progress=0.0)
        assert learner.flow.findings == ()
        assert all((old != new).any() for old, new in zip(before, learner.loss.parameters(), strict=True))

    def test_learning_brings_its_loss_down_on_one_batch(self, algorithm, policy):
        # The same batch again and again, of which the critic learns the rewards: without later ones, 1 at every step.
        config = config_of(algorithm, policy, learning_rate=1e-2, anneal=False, gamma=0.0)
        torch.manual_seed(0)
        with GymEnv("CartPole-v1", num_envs=3, seed=0) as made:
            learner = RECIPES[algorithm].algorithm(made, config)
            batch = learner.collector.collect()

            def critic_loss():
                estimate = learner.returns if algorithm == "reinforce" else learner.gae
                return learner.loss(estimate(batch.clone()))["loss_critic"].item()

            before = critic_loss()
            for _ in range(12):
                learner.update(batch.clone(), progress=0.0)
        assert critic_loss() < 0.9 * before

    def test_a_saved_run_plays_as_it_did(self, algorithm, policy, tmp_path):
        settings = RunSettings(total_steps=48, num_envs=3, eval_episodes=6, name="a", runs=tmp_path)
        run = run_experiment(algorithm, settings, config_of(algorithm, policy))
        loaded, read = load_policy(run.path)
        written = json.loads((run.path / "evaluation.json").read_text())
        assert list(evaluate_policy(loaded, read).returns) == written["returns"]
        if POLICIES[policy].get("normalize"):
            (moments,) = {part.moments for part in loaded.modules() if hasattr(part, "moments")}
            assert moments[0].count == 48

    def test_its_flow_can_be_seen_before(self, algorithm, policy):
        flow = flow_of(algorithm, RunSettings(env="Pendulum-v1"), config_of(algorithm, policy))
        assert flow.findings == ()
        assert [part.kind for part in flow.parts][-1] == "optimiser"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_gives_the_same_run(algorithm, tmp_path):
    settings = RunSettings(total_steps=48, num_envs=3, eval_episodes=0, name="a", runs=tmp_path)
    one, other, again = (
        run_experiment(algorithm, replace(settings, name=name, seed=seed), config_of(algorithm, "gru trunk")).policy()
        for name, seed in (("a", 0), ("b", 1), ("c", 0))
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
