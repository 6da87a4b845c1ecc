"""The algorithms by name: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keywork.train._a2c import A2C, A2CConfig
from keywork.train._algorithm import Algorithm
from keywork.train._ddpg import DDPG, DDPGConfig
from keywork.train._discrete_sac import DiscreteSAC, DiscreteSACConfig
from keywork.train._dqn import DQN, DQNConfig, RainbowConfig
from keywork.train._ppo import PPO, PPOConfig
from keywork.train._qr_dqn import QRDQN, QRDQNConfig
from keywork.train._reinforce import Reinforce, ReinforceConfig
from keywork.train._sac import SAC, SACConfig
from keywork.train._td3 import TD3, TD3Config


@dataclass(frozen=True, slots=True)
class Recipe:
    """An algorithm as the command line knows it.

    Attributes:
        algorithm: its class, called as ``algorithm(env, config, seed=..., device=..., compile=...)``.
        config: the class of its settings, a frozen dataclass with defaults.
    """

    algorithm: Callable[..., Algorithm]
    config: type[Any]


# What the help says of each is in cli/_help.py.
RECIPES: dict[str, Recipe] = {
    "a2c": Recipe(A2C, A2CConfig),
    "ddpg": Recipe(DDPG, DDPGConfig),
    "dqn": Recipe(DQN, DQNConfig),
    "ppo": Recipe(PPO, PPOConfig),
    "qrdqn": Recipe(QRDQN, QRDQNConfig),
    "rainbow": Recipe(DQN, RainbowConfig),
    "reinforce": Recipe(Reinforce, ReinforceConfig),
    "sac": Recipe(SAC, SACConfig),
    "sacd": Recipe(DiscreteSAC, DiscreteSACConfig),
    "td3": Recipe(TD3, TD3Config),
}
