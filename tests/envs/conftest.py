"""Environments that know what they should have returned, and environments that misbehave."""

import multiprocessing
import os
import signal
import sys
import time

import cloudpickle
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

LENGTH = 4


class Counting(gymnasium.Env):
    """Observes (which episode, which step of it). Action 1 cuts the episode off; after LENGTH steps it terminates."""

    observation_space = spaces.Box(0, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self):
        self.episode, self.t = -1, 0

    def _observe(self):
        return np.array([self.episode, self.t], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action):
        self.t += 1
        terminated = self.t == LENGTH
        return self._observe(), 10.0 * self.episode + self.t, terminated, bool(action == 1) and not terminated, {}


class Reusing(Counting):
    """Returns one and the same array from every reset and step, and writes into it again."""

    def __init__(self):
        super().__init__()
        self.array = np.zeros(2, np.float32)

    def _observe(self):
        self.array[:] = self.episode, self.t
        return self.array


class Nested(gymnasium.Env):
    """Observes a Dict with everything that there is in it; takes any action."""

    observation_space = spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (2, 3, 3), np.uint8),
            "body": spaces.Dict({"joints": spaces.Box(-1, 1, (2,), np.float64), "floor": spaces.Discrete(3, start=5)}),
            "cards": spaces.Tuple((spaces.MultiDiscrete([4, 5]), spaces.MultiBinary(3))),
        }
    )
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, action_space=None):
        self.t = 0
        if action_space is not None:
            self.action_space = action_space

    def _observe(self):
        return {
            "camera": np.full((2, 3, 3), self.t, np.uint8),
            "body": {"joints": np.array([0.5, -0.25]) * self.t, "floor": np.int64(5 + self.t % 3)},
            "cards": (np.array([self.t % 4, 4]), np.array([1, 0, self.t % 2], np.int8)),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action):
        self.taken = action
        self.t += 1
        return self._observe(), -1.0, False, self.t == 3, {}


class Doors(gymnasium.Env):
    """Shows which doors are open, and raises where someone goes through a closed one. At the end all are closed.

    Args:
        action_space: Discrete or MultiDiscrete, a wall of doors for each part.
        flags: the space of the mask.
        where: "observation" or "info"; there as a tuple, one array for each wall, where there are several.
        jammed: at which step of an episode no door opens.
    """

    def __init__(self, action_space=None, flags=None, where="observation", jammed=None):
        self.action_space = spaces.Discrete(4, start=-1) if action_space is None else action_space
        self.walls = np.ravel(getattr(self.action_space, "nvec", getattr(self.action_space, "n", None))).tolist()
        self.flags, self.where, self.jammed = flags or spaces.MultiBinary(sum(self.walls)), where, jammed
        step = spaces.Box(0, LENGTH, (1,), np.float32)
        self.observation_space = step
        if where == "observation":
            self.observation_space = spaces.Dict({"observation": step, "action_mask": self.flags})

    def _shown(self):
        self.open = [np.zeros(n, self.flags.dtype) for n in self.walls]
        for wall in self.open if self.t not in (LENGTH, self.jammed) else ():
            wall[self.np_random.choice(len(wall), self.np_random.integers(1, len(wall) + 1), replace=False)] = 1
        step = np.array([self.t], np.float32)
        if self.where == "observation":
            return {"observation": step, "action_mask": np.concatenate(self.open)}, {}
        return step, {"action_mask": tuple(self.open) if len(self.open) > 1 else self.open[0]}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._shown()

    def step(self, action):
        for wall, door in zip(self.open, np.ravel(action - self.action_space.start), strict=True):
            if not wall[door]:
                raise ValueError(f"door {door} is closed: {wall}")
        self.t += 1
        observation, info = self._shown()
        return observation, 1.0, self.t == LENGTH, False, info


class Faulty(Counting):
    """A Counting in which something goes wrong with one environment: the first whose reset gets to hold the file.

    Args:
        plan: what happens, at which call of step: "raise", "kill", "exit", "hang", "nan", ...
        claim: a path: whoever creates it is the faulty one.
    """

    made = 0

    def __init__(self, plan="raise", at=2, claim=None):
        super().__init__()
        self.plan, self.at, self.claim, self.calls = plan, at, claim, 0
        if plan == "raise in init" and self._claimed():
            raise LookupError("no simulator here")
        if plan == "kill in init" and multiprocessing.parent_process() is not None:
            type(self).made += 1
            if self.made == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    def _claimed(self):
        if self.claim is None:
            return True
        try:
            os.close(os.open(self.claim, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def reset(self, *, seed=None, options=None):
        if self.plan == "raise in reset" and self._claimed():
            raise ArithmeticError("cannot place the robot")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        result = super().step(action)
        self.calls += 1
        if self.calls != self.at or self.plan.startswith("raise in") or not self._claimed():
            return result
        observation, reward, terminated, truncated, info = result
        match self.plan:
            case "raise":
                raise ValueError("the simulator is on fire")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(3)
            case "hang":
                time.sleep(3600)
            case "observation":
                return self.bad, reward, terminated, truncated, info
            case "reward":
                return observation, self.bad, terminated, truncated, info
            case "terminated":
                return observation, reward, self.bad, truncated, info
            case "result":
                return self.bad
        return result

    def close(self):
        if self.plan == "raise in close":
            raise OSError("the port is still open")


gymnasium.register("tests/Counting-v0", entry_point=Counting)
gymnasium.register("tests/Nested-v0", entry_point=Nested)
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker process cannot import this file


def expected_rows(actions, episode=0):
    """What a Counting does: (observation, next observation, reward, terminated, truncated) for each action."""
    rows, t = [], 0
    for action in actions:
        before, t = t, t + 1
        terminated = t == LENGTH
        truncated = action == 1 and not terminated
        rows.append(((episode, before), (episode, t), 10 * episode + t, terminated, truncated))
        if terminated or truncated:
            episode, t = episode + 1, 0
    return rows


@pytest.fixture
def counting():
    return Counting


@pytest.fixture
def reusing():
    return Reusing


@pytest.fixture
def nested():
    return Nested


@pytest.fixture
def doors():
    return Doors


@pytest.fixture
def faulty():
    return Faulty


@pytest.fixture
def expected():
    return expected_rows
