"""Laws that hold for every spec of one tensor, whatever it is."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keywork._errors import SpecError
from keywork.specs import Bounded, Categorical, MultiBinary, MultiDiscrete, OneHot, TensorSpec, Unbounded, as_spec

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)
BATCHES = st.one_of(st.integers(0, 4), st.lists(st.integers(0, 3), max_size=2).map(tuple))


@st.composite
def bounded(draw):
    shape = draw(SHAPES)
    if draw(st.booleans()):
        dtype = draw(st.sampled_from(FLOATS))
        numbers = st.floats(allow_nan=False, allow_infinity=True)
    else:
        dtype = draw(st.sampled_from(INTEGERS))
        info = torch.iinfo(dtype)
        numbers = st.integers(info.min, info.max)
    ends = [draw(hnp.arrays(np.float64 if dtype in FLOATS else np.int64, shape, elements=numbers)) for _ in range(2)]
    try:
        return Bounded(np.minimum(*ends), np.maximum(*ends), shape, dtype)
    except SpecError:  # both ends at one infinity, or so large that they are one in this dtype
        assume(False)


@st.composite
def multi_discrete(draw):
    nvec = draw(hnp.arrays(np.int64, draw(SHAPES), elements=st.integers(1, 40)))
    start = draw(hnp.arrays(np.int64, nvec.shape, elements=st.integers(-40, 40)))
    return MultiDiscrete(nvec, draw(st.sampled_from([torch.int8, torch.int32, torch.int64])), start=start)


DTYPES = st.sampled_from([torch.bool, *FLOATS, *INTEGERS])
SPECS = st.one_of(
    bounded(),
    st.builds(Unbounded, SHAPES, st.sampled_from([*FLOATS, torch.int8, torch.int64])),
    st.builds(
        Categorical, st.integers(1, 100), SHAPES, st.sampled_from([torch.int16, torch.int64]), start=st.integers(-9, 9)
    ),
    st.builds(OneHot, st.integers(1, 9), DTYPES, start=st.integers(-9, 9)),
    st.builds(MultiBinary, st.lists(st.integers(1, 3), max_size=3).map(tuple), DTYPES),
    multi_discrete(),
)


def anything(spec: TensorSpec, data) -> torch.Tensor:
    """Some value that `project` takes: of the shape of the spec, but from anywhere, infinities included."""
    size = (data.draw(st.integers(0, 3)), *spec.shape)
    if spec.dtype.is_floating_point:
        numbers = hnp.arrays(np.float64, size, elements=st.floats(allow_nan=False, allow_infinity=True))
        return torch.from_numpy(data.draw(numbers)).to(data.draw(st.sampled_from([spec.dtype, torch.float64])))
    return torch.from_numpy(data.draw(hnp.arrays(np.int64, size, elements=st.integers(-(2**63), 2**63 - 1))))


@given(SPECS, BATCHES)
def test_a_random_value_is_a_member_of_the_shape_and_dtype_and_is_finite(spec, batch):
    value = spec.rand(batch)
    assert value.shape == (torch.Size((batch,)) if isinstance(batch, int) else torch.Size(batch)) + spec.shape
    assert value.dtype == spec.dtype
    assert bool(value.isfinite().all())
    assert spec.is_in(value)


@given(SPECS, BATCHES)
def test_zero_is_the_projection_of_zero(spec, batch):
    value = spec.zero(batch)
    assert spec.is_in(value)
    assert value.dtype == spec.dtype
    assert torch.equal(value, spec.project(torch.zeros_like(value)))


@given(SPECS, st.data())
def test_project_lands_inside_and_is_idempotent(spec, data):
    value = anything(spec, data)
    inside = spec.project(value)
    assert spec.is_in(inside)
    assert inside.dtype == spec.dtype
    assert torch.equal(spec.project(inside), inside)


@given(SPECS, BATCHES)
def test_project_leaves_members_alone(spec, batch):
    value = spec.rand(batch)
    assert torch.equal(spec.project(value), value)


@given(SPECS, st.data())
def test_validate_refuses_just_what_is_not_in(spec, data):
    value = data.draw(st.sampled_from([anything(spec, data), spec.rand(2), torch.full((2, *spec.shape), math.nan)]))
    if spec.is_in(value):
        assert spec.validate(value) is value
    else:
        with pytest.raises(SpecError, match="value"):
            spec.validate(value)


@given(SPECS, st.integers(0, 2**31))
def test_a_generator_repeats_itself_and_leaves_the_global_one_alone(spec, seed):
    before = torch.get_rng_state()
    first = spec.rand((3, 5), generator=torch.Generator().manual_seed(seed))
    second = spec.rand((3, 5), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


@given(SPECS)
def test_a_spec_is_a_value(spec):
    for twin in (pickle.loads(pickle.dumps(spec)), copy.deepcopy(spec), copy.copy(spec), spec.to("cpu")):
        assert twin == spec
        assert hash(twin) == hash(spec)
        assert repr(twin) == repr(spec)


@given(SPECS, BATCHES)
def test_to_env_and_encode_are_inverse(spec, batch):
    value = spec.rand(batch)
    assert torch.equal(spec.encode(spec.to_env(value)), value)


@given(SPECS)
@settings(deadline=None)
def test_the_gymnasium_space_contains_just_what_to_env_makes(spec):
    space = spec.to_gymnasium()
    assert space.contains(spec.to_env(spec.rand()))
    assert space.contains(spec.to_env(spec.zero()))


@given(SPECS)
def test_a_spec_comes_back_from_gymnasium(spec):
    back = as_spec(spec.to_gymnasium())
    stored = torch.float32 if spec.dtype is torch.bfloat16 else spec.dtype  # numpy has no bfloat16
    if isinstance(spec, OneHot):  # an environment knows only the index
        assert back == Categorical(spec.n, start=spec.start)
    elif isinstance(spec, Categorical) and spec.shape:
        assert isinstance(back, MultiDiscrete)
        assert back.nvec.tolist() == torch.full(spec.shape, spec.n).tolist()
        assert back.dtype == spec.dtype
    elif isinstance(spec, MultiBinary):  # whose space is int8, or bool
        assert back == MultiBinary(spec.shape, torch.bool if spec.dtype is torch.bool else torch.int8)
    elif isinstance(spec, Bounded) and isinstance(back, Unbounded):  # no end is a bound
        info = torch.iinfo(spec.dtype) if spec.dtype in INTEGERS else None
        assert set(spec.low.flatten().tolist()) <= {info.min if info else -math.inf}
        assert set(spec.high.flatten().tolist()) <= {info.max if info else math.inf}
        assert (back.shape, back.dtype) == (spec.shape, stored)
    else:
        assert back == (spec.to(stored) if stored.is_floating_point else spec)


@given(SPECS)
def test_to_a_floating_dtype_moves_floating_specs_only(spec):
    moved = spec.to(torch.float64)
    assert moved.dtype == (torch.float64 if spec.dtype.is_floating_point else spec.dtype)
    assert moved.shape == spec.shape
    assert type(moved) is type(spec)


@pytest.mark.parametrize(
    "spec",
    [Bounded(-1, 1, 2), Unbounded(2), OneHot(2), MultiBinary(2), MultiBinary(2, torch.bool)],
    ids=lambda spec: type(spec).__name__,
)
def test_a_nan_is_never_in_and_is_not_projected(spec):
    value = torch.tensor([0.0, math.nan])
    assert not spec.is_in(value)
    for refuse in (spec.validate, spec.project):
        with pytest.raises(SpecError, match="fix: a NaN is in no spec"):
            refuse(value)


@pytest.mark.parametrize("spec", [Bounded(-1, 1, 2), Unbounded(2)])
def test_a_nan_stays_one_where_it_cannot_be_looked_at(spec):
    value = torch.tensor([[0.0, math.nan], [1.0, 0.0]])
    expected = [[0.0, "nan"], [1.0, 0.0]]
    for project in (torch.vmap(spec.project), torch.compile(spec.project, fullgraph=True, backend="eager")):
        assert [[x if x == x else "nan" for x in row] for row in project(value).tolist()] == expected


VALUES = {
    Bounded([-1.0, -2.0], [1.0, 2.0]): torch.tensor([[3.0, -1.5], [0.25, -9.0]]),
    Bounded([0.0, -2.0], [math.inf, 2.0]): torch.tensor([[3.0, -1.5], [-0.25, -9.0]]),
    Bounded(0, 255, (2,), torch.uint8): torch.tensor([[300, 7], [-3, 0]]),
    Unbounded(2): torch.tensor([[3.0, math.inf], [-math.inf, 0.0]]),
    Categorical(3, (2,)): torch.tensor([[3, -1], [0, 2]]),
    OneHot(2): torch.tensor([[0.5, 0.5], [-1.0, 2.0]]),
    MultiBinary(2): torch.tensor([[0.5, 0.6], [-1.0, 2.0]]),
    MultiDiscrete([2, 3]): torch.tensor([[2, 2], [-1, 3]]),
}


@pytest.mark.parametrize(("spec", "value"), VALUES.items(), ids=[type(spec).__name__ for spec in VALUES])
class TestTransforms:
    def test_project_and_rand_compile_to_one_graph(self, spec, value):
        project = torch.compile(spec.project, fullgraph=True, backend="eager")
        assert torch.equal(project(value), spec.project(value))
        assert spec.is_in(torch.compile(lambda: spec.rand(3), fullgraph=True, backend="eager")())

    def test_project_and_rand_under_vmap(self, spec, value):
        assert torch.equal(torch.vmap(spec.project)(value), spec.project(value))
        drawn = torch.vmap(lambda _: spec.rand(3), randomness="different")(torch.zeros(2))
        assert drawn.shape == (2, 3, *spec.shape)
        assert spec.is_in(drawn)

    def test_project_needs_no_numbers(self, spec, value):
        shadow = spec.project(value.to("meta"))
        assert (shadow.shape, shadow.dtype) == (value.shape, spec.dtype)


def test_a_spec_cannot_be_changed():
    spec = Bounded(-1.0, 1.0)
    for name in ("low", "shape", "dtype", "device", "something"):
        with pytest.raises(AttributeError):
            setattr(spec, name, 0)


def test_specs_of_another_kind_shape_dtype_or_domain_differ():
    specs = [
        Unbounded(2),
        Unbounded(3),
        Unbounded((1, 2)),
        Unbounded(2, torch.float64),
        Bounded(-1, 1, 2),
        Bounded(-1, 2, 2),
        Bounded([-1, -1], [1, 2]),
        Bounded(-math.inf, math.inf, 2),
        Categorical(2),
        Categorical(3),
        Categorical(2, (2,)),
        Categorical(2, start=1),
        OneHot(2),
        OneHot(2, torch.float32),
        OneHot(2, start=1),
        MultiBinary(2),
        MultiBinary(2, torch.bool),
        MultiDiscrete([2, 2]),
        MultiDiscrete([2, 3]),
        MultiDiscrete([2, 2], start=1),
    ]
    assert len(set(specs)) == len(specs)
    assert sum(a == b for a in specs for b in specs) == len(specs)
    assert Unbounded(2) != "Unbounded"


def test_the_default_device_is_torchs():
    with torch.device("meta"):
        assert Unbounded(2).device == torch.device("meta")
    assert Unbounded(2).device == torch.device("cpu")
    assert Unbounded(2).to("meta").zero(3).device == torch.device("meta")


@pytest.mark.parametrize("value", [1.0, [0.0, 0.0], np.zeros(2, np.float32), None, "action"])
def test_only_a_tensor_is_in(value):
    assert not Bounded(-1, 1, 2).is_in(value)


@pytest.mark.parametrize("size", [(), (3,), (2, 3), (1,)])
def test_another_shape_is_not_in(size):
    assert not Unbounded(2).is_in(torch.zeros(size))
    assert Unbounded(2).is_in(torch.zeros(*size, 2))


@pytest.mark.parametrize("spec", VALUES, ids=lambda spec: type(spec).__name__)
def test_a_spec_lives_where_its_numbers_cannot_be_seen(spec):
    # The meta device stands for an accelerator here: whoever looks at a number there gets an error.
    moved = spec.to("meta")
    assert moved.device == torch.device("meta")
    assert moved != spec
    assert moved.to("cpu") == spec
    assert (hash(moved), repr(moved)) == (hash(copy.copy(moved)), repr(pickle.loads(pickle.dumps(moved))))
    assert (moved.domain, moved.shape, moved.dtype) == (spec.domain, spec.shape, spec.dtype)
    assert moved.rand(3).device == moved.zero(3).device == torch.device("meta")
    value = spec.rand(3, generator=torch.Generator().manual_seed(0))
    assert moved.rand(3, generator=torch.Generator().manual_seed(0)).device == torch.device("meta")
    assert value.device == torch.device("cpu")
