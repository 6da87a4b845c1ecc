"""What a policy carries from step to step: a state of one's own making, which can be followed by eye."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.nn import TensorDictModuleBase
from keywork.specs import Composite, Unbounded


class ThreeSteps(gymnasium.Env):
    """Episodes of three steps in which nothing happens."""

    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.at += 1
        return np.zeros(2, np.float32), 0.0, self.at == 3, False, {}


class Showing(ThreeSteps):
    """The same, which shows a count of its own."""

    observation_space = spaces.Dict({"count": ThreeSteps.observation_space})

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed)
        return {"count": observation}, info

    def step(self, action):
        observation, *others = super().step(action)
        return {"count": observation}, *others


class Counter(TensorDictModuleBase):
    """Counts the steps of an episode, from wherever it is told to begin."""

    def __init__(self, key="count", dtype=torch.float32):
        self.key, self.dtype = key, dtype
        following = ("next", key) if isinstance(key, str) else ("next", *key)
        super().__init__([key], ["action", following], carries=[key])

    @property
    def carried_specs(self):
        return Composite({self.key: Unbounded((1,), self.dtype)})

    def compute(self, count):
        return torch.zeros(len(count), dtype=torch.int64), count + 1


class Opaque(Counter):
    def forward(self, tensordict):
        tensordict["next", "count"] = tensordict["count"] + 1
        return tensordict.set("action", torch.zeros(tensordict.batch_size, dtype=torch.int64))


class Silent(Counter):
    carried_specs = Composite({})


def collected(policy, batches=1, frames=16):
    with GymEnv(ThreeSteps, num_envs=2) as env:
        collector = Collector(env, policy, frames_per_batch=frames)
        return [collector.collect() for _ in range(batches)]


@pytest.mark.parametrize(
    "policy", [Counter(), Opaque(), Counter(dtype=torch.bfloat16)], ids=["plain", "opaque", "half"]
)
def test_a_state_goes_on_within_an_episode_and_begins_anew_with_the_next(policy):
    (batch,) = collected(policy)
    for row in batch:
        assert row["count"].flatten().tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
        assert row["next", "count"].flatten().tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert batch["count"].dtype is policy.dtype


def test_it_goes_on_over_batches_of_their_own_memory():
    first, second = collected(Counter(), batches=2, frames=4)
    assert first["count"][0].flatten().tolist() == [0, 1]
    assert second["count"][0].flatten().tolist() == [2, 0]


def test_a_key_may_be_nested():
    (batch,) = collected(Counter(("memory", "count")))
    assert batch["memory", "count"][0].flatten().tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert batch["next", "memory", "count"][0].flatten().tolist() == [1, 2, 3, 1, 2, 3, 1, 2]


class Outer(Counter):
    """Carries more than the module inside it says."""

    def __init__(self):
        super().__init__()
        self.inner = Counter()

    @property
    def carried_specs(self):
        return Composite({"count": Unbounded((4,))})


def test_what_the_outer_module_says_prevails():
    (batch,) = collected(Outer())
    assert batch["count"].shape == (2, 8, 4)


def test_a_state_of_which_nobody_says_what_it_is_is_refused():
    with GymEnv(ThreeSteps) as env, pytest.raises(ValueError) as error:
        Collector(env, Silent(), frames_per_batch=4)
    assert str(error.value) == (
        "Collector cannot be built: 1 finding.\n"
        "1. the policy (Silent) carries 'count' from step to step, and none of its modules says what it is.\n"
        "   provided: ThreeSteps shows 'observation', 'done', 'terminated', 'truncated', 'is_init'\n"
        "   give the module that carries it a property carried_specs: Composite({'count': Unbounded(shape)})."
    )


def test_a_state_that_the_environment_shows_too_is_refused():
    with GymEnv(Showing) as env, pytest.raises(ValueError) as error:
        Collector(env, Counter(), frames_per_batch=4)
    assert str(error.value) == (
        "Collector cannot be built: 1 finding.\n"
        "1. the policy (Counter) carries 'count' from step to step, and the environment 'Showing' shows it.\n"
        "   give the state another key, such as in_keys=[..., 'memory']."
    )


def test_a_state_that_is_not_written_back_is_not_fed():
    policy = Counter().select_out_keys("action")
    with GymEnv(ThreeSteps) as env, pytest.raises(ValueError, match="reads 'count', which the environment"):
        Collector(env, policy, frames_per_batch=4)
