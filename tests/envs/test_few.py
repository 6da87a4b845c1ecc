"""Few numbers are looked at as such; the answer is that of arrays."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from keywork._errors import EnvError
from keywork.envs import GymEnv
from keywork.envs._few import FEW, few_and_finite

numbers = st.one_of(st.floats(width=32), st.sampled_from([np.inf, -np.inf, np.nan, 3e38]))


@given(npst.arrays(np.float32, npst.array_shapes(max_dims=3, max_side=4), elements=numbers))
def test_finite_means_that_all_numbers_are(array):
    finite = bool(np.isfinite(array).all())
    # In float64, of which Python's numbers are, no sum of so few float32 is too large.
    assert few_and_finite(array) is (finite and array.size <= FEW)


class Large(gymnasium.Env):
    """Observes the largest numbers, and then a NaN in the last place."""

    action_space = spaces.Discrete(2)

    def __init__(self, size):
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.t = 0

    def _observe(self):
        shown = np.full(self.observation_space.shape, np.finfo(np.float32).max)
        if self.t == 2:
            shown[-1] = np.nan
        return shown

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self._observe(), {}

    def step(self, action):
        self.t += 1
        return self._observe(), 0.0, False, False, {}


@pytest.mark.parametrize("size", [2, FEW, FEW + 1])
def test_the_largest_numbers_are_finite_and_a_nan_in_the_last_place_is_not(size):
    with GymEnv(lambda: Large(size)) as env:
        env.begin()
        largest = np.finfo(np.float32).max
        assert (env.advance(np.array([0])).next_observation["observation"] == largest).all()
        with pytest.raises(EnvError, match="'observation' is not finite"):
            env.advance(np.array([0]))
