"""The algorithms by name: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keywork.train._algorithm import Algorithm
from keywork.train._ppo import PPO, PPOConfig


@dataclass(frozen=True, slots=True)
class Recipe:
    """An algorithm as the command line knows it.

    Attributes:
        algorithm: its class, called as ``algorithm(env, config, seed=..., device=..., compile=...)``.
        config: the class of its settings, a frozen dataclass with defaults.
    """

    algorithm: Callable[..., Algorithm]
    config: type[Any]


RECIPES: dict[str, Recipe] = {"ppo": Recipe(PPO, PPOConfig)}  # what the help says of each is in cli/_help.py
