"""A small environment whose returns can be computed by hand."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces


class Walk(gymnasium.Env):
    """Episodes of as many steps as the environment has seen episodes, at most ``longest``; each step pays 1.

    Shows how far the episode has come. Action 1 pays ten times as much.
    """

    observation_space = spaces.Box(0.0, 100.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, longest=3, render_mode=None):
        self.longest, self.episode, self.at = longest, 0, 0

    def _shown(self):
        return np.array([self.at, self.episode], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.at = self.episode + 1, 0
        return self._shown(), {}

    def step(self, action):
        self.at += 1
        return self._shown(), 10.0 if action else 1.0, self.at == min(self.episode, self.longest), False, {}


@pytest.fixture
def walk():
    return Walk
