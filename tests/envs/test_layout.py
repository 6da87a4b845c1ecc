"""Observations taken apart and checked, and the lies that are found."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from hypothesis import given
from hypothesis import strategies as st

from keywork._errors import SpecError
from keywork.envs._fault import EnvFault
from keywork.envs._layout import Layout

LEAVES = st.sampled_from(
    [
        spaces.Box(-1, 1, (2,), np.float32),
        spaces.Box(-np.inf, np.inf, (), np.float64),
        spaces.Box(0, 255, (2, 3), np.uint8),
        spaces.Discrete(3),
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([2, 5], start=[1, 0]),
        spaces.MultiBinary((2, 2)),
    ]
)
SPACES = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(spaces.Dict)
        | st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple)
    ),
    max_leaves=5,
)


@given(space=SPACES, seed=st.integers(0, 1000))
def test_gathered_and_batched_observations_are_the_same_and_inside(space, seed):
    space.seed(seed)
    observations = [space.sample() for _ in range(3)]
    layout = Layout(space)
    gathered = layout.gather(observations, range(3), "reset")
    empty = create_empty_array(space, 3)
    split = layout.split(concatenate(space, observations, empty), range(3), "reset")
    assert list(gathered) == list(split) == [leaf.key for leaf in layout.leaves]
    for leaf in layout.leaves:
        assert np.array_equal(gathered[leaf.key], split[leaf.key])
        assert gathered[leaf.key].dtype == leaf.dtype
        for row, observation in zip(gathered[leaf.key], observations, strict=True):
            ours = leaf.spec.encode(leaf.pick(observation))
            assert np.array_equal(row, ours.numpy())
            assert leaf.spec.is_in(ours)
    assert batch_space(space, 3) is not None


def test_what_is_gathered_is_a_copy():
    array = np.zeros(2, np.float32)
    batch = Layout(spaces.Box(-1, 1, (2,))).gather([array], [0], "reset")["observation"]
    array[:] = 1
    assert batch.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("space", "bad", "text"),
    [
        (spaces.Box(-1, 1, (2,)), np.zeros(3, np.float32), r"'observation' has the shape \[3\]; its space says \[2\]"),
        (spaces.Box(-1, 1, (2,)), np.float32(0), r"has the shape \[\]; its space says \[2\]"),
        (spaces.Box(-1, 1, (2,)), np.array([0, np.nan], np.float32), r"is not finite: \[0.0, nan\]"),
        (spaces.Box(-1, 1, (2,)), np.array([-np.inf, 0]), r"is not finite: \[-inf, 0.0\]"),
        (spaces.Box(-1, 1, (2,)), np.array([1e39, 0]), r"is not finite: \[inf, 0.0\]"),  # in float32
        (spaces.Box(-1, 1, (2,)), None, r"has the shape \[\]"),
        (spaces.Box(-1, 1, (2,)), [None, None], "holds object; its space says float32"),
        (spaces.Box(-1, 1, (2,)), ["0", "1"], "holds <U1; its space says float32"),
        (spaces.Box(0, 255, (2,), np.uint8), np.zeros(2), "holds float64; its space says uint8"),
        (spaces.Box(0, 255, (2,), np.uint8), np.zeros(2, np.int64), "holds int64; its space says uint8"),
        (spaces.Discrete(3), 3, "lies outside of its space: 3"),
        (spaces.Discrete(3), -1, "lies outside of its space: -1"),
        (spaces.Discrete(3, start=1), 0, "lies outside of its space: -1"),
        (spaces.Discrete(3), 1.0, "holds float64; its space is discrete"),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 3]), r"lies outside of its space: \[1, 3\]"),
        (spaces.MultiBinary(2), np.array([0, 2]), r"lies outside of its space: \[0, 2\]"),
        (spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(2)}), {"a": 1}, r"'b' is missing or malformed"),
        (spaces.Dict({"a": spaces.Discrete(2)}), np.zeros(2), "'a' is missing or malformed"),
        (spaces.Tuple((spaces.Discrete(2),) * 2), (1,), "'1' is missing or malformed"),
        (spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)})}), {"a": {"b": 2}}, r"\('a', 'b'\) lies outside"),
    ],
)
def test_an_observation_that_breaks_its_space_is_named(space, bad, text):
    layout = Layout(space)
    good = space.sample()
    with pytest.raises(EnvFault) as caught:
        layout.gather([good, good, bad], range(4, 7), "stepped")
    fault = caught.value
    assert fault.index == 6
    assert fault.problem.startswith("broke its observation space: ")
    with pytest.raises(EnvFault, match=text):
        raise EnvFault(fault.doing, fault.problem)


def test_an_observation_is_not_broadcast():
    with pytest.raises(EnvFault, match=r"has the shape \[1\]"):
        Layout(spaces.Box(-1, 1, (4,))).gather([np.zeros(1, np.float32)] * 2, range(2), "stepped")


@pytest.mark.parametrize("name", ["action", "reward", "done", "next", "is_init"])
def test_a_part_of_an_observation_cannot_be_called_like_a_part_of_a_step(name):
    with pytest.raises(SpecError, match=rf"(?s)its '{name}' is the name of another part of a step.*Rename the entry"):
        Layout(spaces.Dict({name: spaces.Discrete(2)}))


def test_a_space_without_a_spec():
    with pytest.raises(SpecError, match="Text cannot become a spec"):
        Layout(spaces.Dict({"mission": spaces.Text(5)}))
