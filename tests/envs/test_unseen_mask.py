"""What is said of masks that are in the info of an environment, and nowhere else."""

from __future__ import annotations

import logging
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from keywork.envs import GymEnv, MaskFromInfo

SAID = (
    "GymEnv: Taxi-v4 says in its info which actions are allowed ('action_mask'), and no policy sees it. Make it a part "
    "of the observation: GymEnv(lambda: MaskFromInfo(gymnasium.make('Taxi-v4')))."
)

WORKERS = """
from keywork.envs import GymEnv
if __name__ == "__main__":
    with GymEnv("Taxi-v4", num_envs=2, workers="process", seed=0) as env:
        env.begin()
"""


class Telling(gymnasium.Env):
    observation_space = spaces.Box(0.0, 1.0, (1,))
    action_space = spaces.Discrete(2)
    told = {"action_mask": np.array([1, 0], np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), self.told

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, self.told


def said(caplog, env):
    with caplog.at_level(logging.INFO, "keywork"), env:
        for _ in range(2):
            env.begin()
            for _ in range(3):
                env.advance(env.random_action())
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_it_is_said_once_at_the_first_reset(caplog):
    env = GymEnv("Taxi-v4", num_envs=3, seed=0)
    assert not caplog.records
    assert said(caplog, env) == [SAID]


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_vector_environment_as_well(mode, caplog):
    vector = SyncVectorEnv([lambda: gymnasium.make("Taxi-v4")] * 2, autoreset_mode=mode)
    told = SAID.replace("'Taxi-v4'", "...").replace("Taxi-v4", "SyncVectorEnv")
    assert said(caplog, GymEnv(vector, seed=0)) == [told]


def test_of_workers_the_first_one_says_it():
    # In a process of its own: the server from which workers are forked may be an earlier test's, and write elsewhere.
    result = subprocess.run([sys.executable, "-c", WORKERS], capture_output=True, text=True, timeout=120, check=True)
    assert result.stderr.count(SAID) == 1


def test_an_environment_without_an_id_goes_by_its_class(caplog):
    (text,) = said(caplog, GymEnv(Telling))
    assert text.startswith("GymEnv: Telling says in its info")
    assert text.endswith("GymEnv(lambda: MaskFromInfo(Telling())).")


def test_nothing_is_said_where_the_mask_is_seen_or_there_is_none(caplog):
    class Silent(Telling):
        told = {"mask": 1}

    class Nothing(Telling):
        told = None

    class OfNumbers(Telling):
        action_space = spaces.Box(0.0, 1.0, (1,))

    wrapped = GymEnv(lambda: MaskFromInfo(gymnasium.make("Taxi-v4")), num_envs=2, seed=0)
    assert said(caplog, wrapped) == []
    for kind in (Silent, Nothing, OfNumbers):
        assert said(caplog, GymEnv(kind)) == []
