"""Which algorithm learns which actions: the others are named where one does not."""

from __future__ import annotations

import pytest

from keywork._errors import SpecError
from keywork.envs import GymEnv
from keywork.train import RECIPES


@pytest.mark.parametrize("name", ["dqn", "rainbow", "qrdqn", "sacd"])
def test_what_learns_choices_refuses_numbers(name):
    recipe = RECIPES[name]
    with GymEnv("Pendulum-v1") as env, pytest.raises(SpecError) as raised:
        recipe.algorithm(env, recipe.config())
    assert str(raised.value) == (
        f"{recipe.algorithm.name} cannot learn in Pendulum-v1: it does not learn such actions.\n"
        "  where: the action\n"
        "  expected: discrete actions\n"
        "  got: Bounded(low=-2.0, high=2.0, shape=(1,), dtype=torch.float32)\n"
        "  fix: train sac, td3 or ddpg; or ppo, a2c or reinforce, which take any actions"
    )


@pytest.mark.parametrize("name", ["sac", "td3", "ddpg"])
def test_what_learns_numbers_refuses_choices(name):
    recipe = RECIPES[name]
    with GymEnv("CartPole-v1") as env, pytest.raises(SpecError) as raised:
        recipe.algorithm(env, recipe.config())
    assert str(raised.value) == (
        f"{name} cannot learn in CartPole-v1: it does not learn such actions.\n"
        "  where: the action\n"
        "  expected: actions of numbers\n"
        "  got: Categorical(n=2, shape=(), dtype=torch.int64)\n"
        "  fix: train dqn, qrdqn, rainbow or sacd; or ppo, a2c or reinforce, which take any actions"
    )
