"""Settings that are known to work: by algorithm and environment, each with where it is published.

A preset names settings of the run and of the algorithm, whichever has a field of that name; all others keep their
defaults. Zoo is https://github.com/DLR-RM/rl-baselines3-zoo, hyperparams/ALGORITHM.yml; CleanRL is
https://github.com/vwxyzjn/cleanrl.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from keywork._errors import UsageError, refusal
from keywork._keys import listed, meant
from keywork.train._recipes import RECIPES
from keywork.train._settings import RunSettings

Preset = Mapping[str, Any]

_NORMALIZED: Preset = {"normalize": True, "scale_rewards": True}  # Zoo's `normalize: true`, in `VecNormalize`

# CleanRL, ppo_continuous_action.py. Its loss of the critic has a factor of one half, so its 0.5 is 0.25 here.
_PPO_MUJOCO: Preset = {
    **_NORMALIZED,
    "total_steps": 1_000_000,
    "num_envs": 1,
    "num_steps": 2048,
    "minibatch_size": 64,
    "num_epochs": 10,
    "learning_rate": 3e-4,
    "anneal_clip": False,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_epsilon": 0.2,
    "clip_value": 0.2,
    "critic_coeff": 0.25,
}

# Zoo, ppo.yml. What it leaves out are stable-baselines3's defaults: batches of 64, a constant learning rate of 3e-4.
_PPO_CLASSIC: Preset = {
    **_NORMALIZED,
    "total_steps": 1_000_000,
    "num_envs": 16,
    "minibatch_size": 64,
    "num_epochs": 4,
    "learning_rate": 3e-4,
    "anneal": False,
    "gamma": 0.99,
}

_A2C_CLASSIC: Preset = {**_NORMALIZED, "num_envs": 16}  # Zoo, a2c.yml; the rest are defaults

# Zoo, dqn.yml and qrdqn.yml: what they have in common. Their gradient_steps of -1 are 0 here.
_DQN: Preset = {"num_envs": 1, "num_cells": (256, 256), "gamma": 0.99}
# Zoo, but for learning_rate, n_step, double, and what paces learning and target: with its 2.3e-3, one step, and 128
# gradient steps and a new target after every 256 steps, one seed of five does not solve it, and two of
# stable-baselines3's five. Without double, one of ten forgets a little at the end.
_DQN_CART_POLE: Preset = {
    **_DQN,
    "total_steps": 50_000,
    "learning_rate": 5e-4,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "n_step": 3,
    "double": True,
    "target_update_interval": 8,
    "tau": 0.05,
    "train_freq": 8,
    "gradient_steps": 4,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
}
_DQN_ACROBOT: Preset = {
    **_DQN,
    "total_steps": 100_000,
    "learning_rate": 6.3e-4,
    "batch_size": 128,
    "buffer_size": 50_000,
    "learning_starts": 0,
    "target_update_interval": 250,
    "train_freq": 4,
    "gradient_steps": 0,
    "exploration_fraction": 0.12,
    "exploration_final_eps": 0.1,
}
_DQN_MOUNTAIN_CAR: Preset = {
    **_DQN,
    "total_steps": 120_000,
    "learning_rate": 4e-3,
    "batch_size": 128,
    "buffer_size": 10_000,
    "learning_starts": 1_000,
    "gamma": 0.98,
    "target_update_interval": 600,
    "train_freq": 16,
    "gradient_steps": 8,
    "exploration_fraction": 0.2,
    "exploration_final_eps": 0.07,
}

_MUJOCO = [f"{name}-{version}" for name in ("HalfCheetah", "Hopper", "Walker2d") for version in ("v4", "v5")]
# Zoo, sac.yml. Its gradient_steps of 1 for one environment are 0 here: as many as steps were taken.
_SAC_MUJOCO: Preset = {"total_steps": 1_000_000, "num_envs": 1, "learning_starts": 10_000}
# Zoo, td3.yml and ddpg.yml: what they have in common; they learn at the end of each episode, these with every step.
_POINTING_PENDULUM: Preset = {
    "total_steps": 20_000,
    "num_envs": 1,
    "gamma": 0.98,
    "buffer_size": 200_000,
    "learning_starts": 10_000,
    "learning_rate": 1e-3,
    "exploration_noise": 0.1,
    "num_cells": (400, 300),
}
# CleanRL, td3_continuous_action.py; ddpg_continuous_action.py has the same, and delays its actor, unlike DDPG here.
_POINTING_MUJOCO: Preset = {
    "total_steps": 1_000_000,
    "num_envs": 1,
    "learning_starts": 25_000,
    "learning_rate": 3e-4,
    "exploration_noise": 0.1,
}

PRESETS: dict[str, dict[str, Preset]] = {
    "a2c": {
        "CartPole-v1": {"total_steps": 500_000, "num_envs": 8},  # Zoo
        "Acrobot-v1": {**_A2C_CLASSIC, "total_steps": 500_000},  # Zoo
        "MountainCar-v0": {**_A2C_CLASSIC, "total_steps": 1_000_000},  # Zoo
    },
    "ddpg": {"Pendulum-v1": _POINTING_PENDULUM, **dict.fromkeys(_MUJOCO, _POINTING_MUJOCO)},
    "sac": {
        "Pendulum-v1": {"total_steps": 20_000, "num_envs": 1, "learning_rate": 1e-3},  # Zoo
        **dict.fromkeys(_MUJOCO, _SAC_MUJOCO),
    },
    "td3": {"Pendulum-v1": _POINTING_PENDULUM, **dict.fromkeys(_MUJOCO, _POINTING_MUJOCO)},
    "dqn": {
        "CartPole-v1": _DQN_CART_POLE,
        "Acrobot-v1": _DQN_ACROBOT,
        "MountainCar-v0": _DQN_MOUNTAIN_CAR,
        "LunarLander-v3": _DQN_ACROBOT,
    },
    "qrdqn": {
        # With 4 gradient steps, as DQN's, it is not quite done by then; with double it is no better.
        "CartPole-v1": {**_DQN_CART_POLE, "double": False, "gradient_steps": 8, "num_quantiles": 10},
        "Acrobot-v1": {**_DQN_ACROBOT, "num_quantiles": 25},
        # Zoo, but for the buffer: with its 10,000 steps one seed of two does not keep what it has found.
        "MountainCar-v0": {**_DQN_MOUNTAIN_CAR, "buffer_size": 100_000, "num_quantiles": 25},
    },
    "ppo": {
        # Zoo, but for gamma 0.98 and gae_lambda 0.8: with the longer horizon more seeds solve it.
        "CartPole-v1": {"total_steps": 100_000, "num_envs": 8, "gamma": 0.99, "gae_lambda": 0.9},
        "Acrobot-v1": {**_PPO_CLASSIC, "num_steps": 256, "gae_lambda": 0.94},  # Zoo
        "MountainCar-v0": {**_PPO_CLASSIC, "num_steps": 16, "gae_lambda": 0.98},  # Zoo
        # Zoo, without its gSDE, for which it is given twice the steps.
        "Pendulum-v1": {
            "total_steps": 200_000,
            "num_envs": 4,
            "num_steps": 1024,
            "num_epochs": 10,
            "minibatch_size": 64,
            "learning_rate": 1e-3,
            "gamma": 0.9,
            "gae_lambda": 0.95,
        },
        **{
            f"{name}-{version}": _PPO_MUJOCO
            for name in ("HalfCheetah", "Hopper", "Walker2d")
            for version in ("v4", "v5")
        },
    },
    # Our own: none are published. In Acrobot-v1 the critic needs many updates, so batches are short.
    "reinforce": {
        "CartPole-v1": {"total_steps": 200_000},
        "Acrobot-v1": {"total_steps": 500_000, "num_envs": 16, "num_steps": 32, "normalize": True},
    },
    # Our own: none are published. With gamma 0.98 no return is above 50, and an atom is one reward wide.
    "rainbow": {
        "CartPole-v1": {
            "total_steps": 50_000,
            "num_envs": 1,
            "num_cells": (128, 128),
            "learning_rate": 1e-3,
            "batch_size": 64,
            "buffer_size": 50_000,
            "learning_starts": 1_000,
            "gamma": 0.98,
            "v_min": 0.0,
            "v_max": 50.0,
            "target_update_interval": 500,
            "train_freq": 8,
            "gradient_steps": 3,
        }
    },
    # Our own: none are published.
    "sacd": {
        "CartPole-v1": {
            "total_steps": 50_000,
            "num_envs": 1,
            "num_cells": (128, 128),
            "learning_rate": 5e-4,
            "batch_size": 64,
            "learning_starts": 1_000,
            "n_step": 3,
            "tau": 0.01,
            "alpha_init": 0.2,
            "fixed_alpha": True,
            "train_freq": 8,
            "gradient_steps": 4,
        }
    },
}


def preset_of(algorithm: str, env: str) -> tuple[RunSettings, Any]:
    """The settings of a run and of its algorithm that are known to work on an environment.

    Args:
        algorithm: its name, one of ``RECIPES``.
        env: a Gymnasium id.

    Raises:
        UsageError: there is no preset for it.

    >>> settings, config = preset_of("ppo", "CartPole-v1")
    >>> settings.total_steps, config.gamma
    (100000, 0.99)
    """
    there = PRESETS.get(algorithm, {})
    if env not in there:
        raise refusal(
            UsageError,
            f"There is no preset of {algorithm} for the environment {env!r}.",
            where="--preset",
            expected="an environment whose settings are known",
            got=f"presets of {algorithm} for {listed(there)}" if there else f"no preset of {algorithm}",
            fix=f"{meant(env, there)}leave --preset out, and give the settings yourself",
        )
    of_run = {field.name for field in fields(RunSettings)}
    settings = {name: value for name, value in there[env].items() if name in of_run}
    config = {name: value for name, value in there[env].items() if name not in of_run}
    return replace(RunSettings(env=env), **settings), RECIPES[algorithm].config(**config)
