from __future__ import annotations

from dataclasses import fields

import gymnasium
import pytest

from keywork._errors import UsageError
from keywork.train import PRESETS, RECIPES, PPOConfig, RunSettings, preset_of

EVERY = [(algorithm, env) for algorithm, there in PRESETS.items() for env in there]


@pytest.mark.parametrize(("algorithm", "env"), EVERY)
def test_every_preset_is_of_settings_that_there_are(algorithm, env):
    settings, config = preset_of(algorithm, env)
    assert settings.env == env
    assert type(config) is RECIPES[algorithm].config
    for name, value in PRESETS[algorithm][env].items():
        assert getattr(settings if hasattr(settings, name) else config, name) == value
    assert env in gymnasium.registry


def test_no_setting_of_an_algorithm_is_one_of_the_run():
    # or a preset, and the options of the command line, would not say which of the two is meant
    of_run = {field.name for field in fields(RunSettings)}
    for recipe in RECIPES.values():
        assert not of_run & {field.name for field in fields(recipe.config)}


def test_what_a_preset_does_not_name_is_as_usual():
    settings, config = preset_of("ppo", "HalfCheetah-v5")
    assert settings == RunSettings(env="HalfCheetah-v5", total_steps=1_000_000, num_envs=1)
    # CleanRL's: 32 minibatches of a batch of 2,048 are 64 frames each.
    assert (config.num_steps, config.minibatch_size, config.clip_value) == (2048, 64, 0.2)
    assert config.entropy_coeff == PPOConfig().entropy_coeff


def test_an_environment_without_one_is_refused_with_those_there_are():
    with pytest.raises(UsageError) as raised:
        preset_of("a2c", "CartPole-v0")
    assert str(raised.value) == (
        "There is no preset of a2c for the environment 'CartPole-v0'.\n"
        "  where: --preset\n"
        "  expected: an environment whose settings are known\n"
        "  got: presets of a2c for 'CartPole-v1', 'Acrobot-v1', 'MountainCar-v0'\n"
        "  fix: did you mean 'CartPole-v1'? leave --preset out, and give the settings yourself"
    )
