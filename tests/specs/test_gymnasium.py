"""Real Gymnasium spaces: what they contain is what the specs contain."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keywork._errors import SpecError
from keywork.specs import (
    Bounded,
    Categorical,
    Composite,
    MultiBinary,
    MultiDiscrete,
    Unbounded,
    as_spec,
    from_gymnasium,
)

SPACES = [
    (spaces.Box(-1, 1, (3,)), Bounded(-1, 1, 3)),
    (spaces.Box(0, 255, (4, 8, 8), np.uint8), Bounded(0, 255, (4, 8, 8), torch.uint8)),
    (spaces.Box(-1, 1, (), np.float64), Bounded(-1, 1, (), torch.float64)),
    (spaces.Box(-math.inf, math.inf, (2,)), Unbounded(2)),
    (spaces.Box(-math.inf, math.inf, (2,), np.int64), Unbounded(2, torch.int64)),
    (spaces.Box(0, math.inf, (2,), np.float16), Bounded(0, math.inf, 2, torch.float16)),
    (spaces.Box(0, math.inf, (2,), np.int64), Bounded(0, math.inf, 2, torch.int64)),
    (spaces.Box(-5, 5, (2,), np.int16), Bounded(-5, 5, 2, torch.int16)),
    (
        spaces.Box(np.array([0, -math.inf], np.float32), np.array([1, math.inf], np.float32)),
        Bounded([0, -math.inf], [1, math.inf]),
    ),
    (spaces.Box(0, 1, (2,), np.bool_), MultiBinary(2, torch.bool)),
    (spaces.Box(0, 1, (2,), np.int8), Bounded(0, 1, 2, torch.int8)),
    (spaces.Discrete(4), Categorical(4)),
    (spaces.Discrete(4, start=3), Categorical(4, start=3)),
    (spaces.Discrete(4, start=-1), Categorical(4, start=-1)),
    (spaces.MultiBinary(3), MultiBinary(3)),
    (spaces.MultiBinary([2, 3]), MultiBinary((2, 3))),
    (spaces.MultiDiscrete([2, 5]), MultiDiscrete([2, 5])),
    (spaces.MultiDiscrete(np.array([[2, 5], [3, 1]])), MultiDiscrete([[2, 5], [3, 1]])),
    (spaces.MultiDiscrete([2, 5], dtype=np.int32, start=[1, -7]), MultiDiscrete([2, 5], torch.int32, start=[1, -7])),
    (
        spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Dict({"c": spaces.Box(0, 1, (2,))})}),
        Composite({"b": Categorical(2), ("a", "c"): Bounded(0, 1, 2)}),
    ),
    (
        spaces.Tuple((spaces.Discrete(2), spaces.Dict({"x": spaces.Tuple((spaces.MultiBinary(2),))}))),
        Composite([Categorical(2), Composite({"x": [MultiBinary(2)]})]),
    ),
]


def same(ours, theirs) -> bool:
    """Equal in numbers, dtypes, shapes and structure."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, tuple):
        return isinstance(ours, tuple) and all(same(a, b) for a, b in zip(ours, theirs, strict=True))
    return np.asarray(ours).dtype == np.asarray(theirs).dtype and np.array_equal(ours, theirs)


@pytest.mark.parametrize(("space", "spec"), SPACES, ids=[str(space)[:40] for space, _ in SPACES])
class TestSpaces:
    def test_becomes_the_spec_and_comes_back(self, space, spec):
        assert from_gymnasium(space) == spec
        assert as_spec(space) == spec
        assert as_spec(spec) is spec
        assert spec.to_gymnasium() == space

    def test_its_samples_are_members_and_come_back(self, space, spec):
        space.seed(0)
        for _ in range(20):
            sample = space.sample()
            value = spec.encode(sample)
            assert spec.validate(value) is value
            back = spec.to_env(value)
            assert same(back, sample)
            assert space.contains(back)

    def test_contains_what_is_drawn(self, space, spec):
        value = spec.rand(20, generator=torch.Generator().manual_seed(0))
        for one in value:
            assert space.contains(spec.to_env(one))

    def test_its_batches_are_members_and_come_back(self, space, spec):
        # As a vector environment does it: arrays with a dimension for the environments in front.
        space.seed(0)
        sample = concatenate(space, [space.sample() for _ in range(3)], create_empty_array(space, 3))
        value = spec.encode(sample)
        assert spec.is_in(value)
        assert same(spec.to_env(value), sample)


@given(
    hnp.arrays(np.float32, (2, 3), elements=st.floats(-100, 100, width=32)),
    hnp.arrays(np.bool_, (2, 3)),
    st.integers(0, 1000),
)
def test_boxes_of_any_bounds(bounds, infinite, seed):
    bounds = np.sort(bounds + 0.0, axis=0)  # numpy cannot draw from 0.0 to -0.0
    low = np.where(infinite[0], -np.float32(math.inf), bounds[0])
    high = np.where(infinite[1], np.float32(math.inf), bounds[1])
    space = spaces.Box(low, high, seed=seed)
    spec = from_gymnasium(space)
    assert spec.to_gymnasium() == space
    assert spec.is_in(spec.encode(space.sample()))
    assert space.contains(spec.to_env(spec.rand()))


def test_a_missing_bound_of_integers_is_one_whatever_stands_for_it():
    # Some versions of Gymnasium leave a distance of 2 to the end of the dtype.
    space = spaces.Box(-math.inf, 0, (2,), np.int64)
    space.low = space.low + 2
    assert from_gymnasium(space) == Bounded(-math.inf, 0, 2, torch.int64)
    space = spaces.Box(0, math.inf, (2,), np.int64)
    space.high = space.high - 2
    assert from_gymnasium(space) == Bounded(0, math.inf, 2, torch.int64)


def test_a_discrete_of_another_dtype_keeps_it():
    space = spaces.Discrete(4, start=3, dtype=np.int32)
    spec = from_gymnasium(space)
    assert spec == Categorical(4, dtype=torch.int32, start=3)
    assert spec.to_gymnasium() == space
    # A policy chooses in int64, all the same.
    action = spec.to_env(torch.tensor([0, 3]))
    assert action.dtype == np.int32
    assert action.tolist() == [3, 6]


def test_the_spaces_of_an_environment():
    env = gymnasium.make("CartPole-v1")
    observation, action = as_spec(env.observation_space), as_spec(env.action_space)
    assert action == Categorical(2)
    assert observation.shape == (4,)
    assert observation.domain == "within (-inf, inf)"
    seen, _ = env.reset(seed=0)
    assert observation.is_in(observation.encode(seen))
    env.step(action.to_env(action.rand()))
    env.close()


def test_the_order_of_a_dict_is_kept():
    space = spaces.Dict([("b", spaces.Discrete(2)), ("a", spaces.Discrete(3))])
    assert from_gymnasium(space).keys() == ("b", "a")
    assert list(from_gymnasium(space).to_gymnasium()) == ["b", "a"]


UNSUPPORTED = [
    spaces.Text(3, charset="ab"),
    spaces.Sequence(spaces.Discrete(2)),
    spaces.Graph(spaces.Discrete(3), None),
    spaces.OneOf((spaces.Discrete(2), spaces.Discrete(3))),
]


@pytest.mark.parametrize("space", UNSUPPORTED, ids=lambda space: type(space).__name__)
def test_a_space_without_a_spec_is_refused(space):
    name = type(space).__name__
    message = (
        f"{name} cannot become a spec: its values have no fixed number of numbers.\n  where: {space!r}\n"
        f"  expected: Box, Discrete, MultiBinary, MultiDiscrete, or Dict and Tuple of these\n  got: {name}\n"
        "  fix: wrap the environment so that its values are arrays of one shape: gymnasium.wrappers."
        "TransformObservation or TransformAction, with a Box padded to the longest value"
    )
    for given_space in (space, spaces.Dict({"x": space})):
        with pytest.raises(SpecError) as error:
            from_gymnasium(given_space)
        assert str(error.value) == message


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
def test_a_dtype_without_arithmetic_in_torch_is_refused(dtype):
    name = np.dtype(dtype).name
    with pytest.raises(SpecError) as error:
        from_gymnasium(spaces.Box(0, 9, (2,), dtype))
    assert str(error.value) == (
        f"Box(0, 9, (2,), {name}) cannot become a spec: torch does not compute in {name}.\n  where: its dtype\n"
        "  expected: one of bool, uint8, int8, int16, int32, int64, float16, float32, float64\n"
        f"  got: {name}\n"
        "  fix: convert it in the environment, as gymnasium.wrappers.DtypeObservation(env, np.int32) does"
    )


def test_flags_that_are_fixed_are_refused():
    space = spaces.Box(np.array([False, True]), np.array([True, True]), dtype=np.bool_)
    with pytest.raises(SpecError) as error:
        from_gymnasium(space)
    assert str(error.value) == (
        f"{space} cannot become a spec: some of its flags can have one value only.\n  where: its bounds\n"
        "  expected: False and True everywhere\n  got: low [False, True], high [True, True]\n"
        "  fix: gymnasium.spaces.Box(0, 1, (2,), numpy.bool_)"
    )


@pytest.mark.parametrize("thing", ["CartPole-v1", 3, None, np.zeros(3)])
def test_what_is_neither_spec_nor_space_is_refused(thing):
    with pytest.raises(SpecError) as error:
        as_spec(thing)
    first, where, expected, got, fix = str(error.value).split("\n")
    assert first == "A spec cannot be made of this."
    assert where == "  where: the spec that was given"
    assert expected == "  expected: a keywork spec, a Gymnasium space, or a mapping of keys to these"
    assert got.startswith("  got: ")
    assert fix == "  fix: Bounded(-1.0, 1.0, shape=(3,)), env.action_space, or {'observation': env.observation_space}"


def test_from_gymnasium_takes_spaces_only():
    with pytest.raises(SpecError) as error:
        from_gymnasium({"a": spaces.Discrete(2)})
    assert str(error.value) == (
        "from_gymnasium takes a Gymnasium space.\n  where: space\n  expected: an instance of gymnasium.Space\n"
        "  got: {'a': Discrete(2)} of type dict\n"
        "  fix: env.observation_space, or as_spec(...) for specs and mappings as well"
    )
