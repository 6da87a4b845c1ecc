import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict

from keywork._errors import SpecError
from keywork.modules import TanhModule
from keywork.specs import Bounded, Categorical, Composite

finite = st.floats(-1e3, 1e3, allow_subnormal=False)


@given(finite, st.floats(1e-2, 1e6), st.floats(-60.0, 60.0))
def test_is_the_formula_for_any_bounds_and_never_outside(low, width, x):
    high = low + width
    y = TanhModule("x", low=low, high=high)(torch.tensor([x], dtype=torch.float64))
    expected = (low + high) / 2 + (high - low) / 2 * math.tanh(x)
    # The bounds are stored in float32.
    assert y.item() == pytest.approx(expected, abs=1e-6 * (abs(low) + abs(high)))
    assert np.float32(low) <= y.item() <= np.float32(high)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 10.0), (-3.0, 1.0), (-1.0, 1.0), (5.0, 6.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_zero_goes_to_the_centre_and_the_far_ends_to_the_bounds(low, high, dtype):
    y = TanhModule("x", low=low, high=high)(torch.tensor([-60.0, 0.0, 60.0], dtype=dtype))
    assert y.dtype is dtype
    assert y.tolist() == pytest.approx([low, (low + high) / 2, high], rel=0.0, abs=1e-50)
    assert low <= y.min().item()


def test_bounds_differ_by_element():
    y = TanhModule("x", low=[0.0, -1.0], high=np.array([10.0, 1.0]))(torch.tensor([[0.0, 0.0], [60.0, -60.0]]))
    assert y.tolist() == [[5.0, 0.0], [10.0, -1.0]]


def test_small_inputs_keep_their_digits_around_a_centre_of_zero():
    assert TanhModule("x")(torch.tensor([1e-6])).item() == pytest.approx(1e-6, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clamped_it_stays_off_the_bounds(dtype):
    y = TanhModule("x", low=-2.0, high=6.0, clamp=True)(torch.tensor([-60.0, 0.0, 60.0], dtype=dtype))
    assert -2.0 < y[0].item() < -1.9
    assert y[1].item() == 2.0
    assert 5.9 < y[2].item() < 6.0


@pytest.mark.parametrize("form", [Bounded(-2.0, 6.0, (2,)), spaces.Box(-2.0, 6.0, (2,))])
def test_takes_the_bounds_of_a_spec(form):
    module = TanhModule(["action"], spec=form)
    assert module.spec == Bounded(-2.0, 6.0, (2,))
    assert module(torch.zeros(3, 2)).tolist() == [[2.0, 2.0]] * 3


def test_several_entries_have_bounds_of_their_own():
    spec = Composite({"a": Bounded(0.0, 1.0), ("b", "c"): Bounded(0.0, 4.0)})
    module = TanhModule(["x", "y"], ["a", ("b", "c")], spec=spec)
    td = module(TensorDict(x=torch.zeros(3), y=torch.zeros(3), batch_size=[3]))
    assert td["a"].tolist() == [0.5] * 3
    assert td["b", "c"].tolist() == [2.0] * 3


def test_changes_the_entry_in_place_unless_told_otherwise():
    assert (TanhModule("action").in_keys, TanhModule("action").out_keys) == (["action"], ["action"])


def test_gradients_are_those_of_the_formula():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TanhModule("x", low=-1.0, high=3.0), (x,))


NO_ROOM = "its bounds leave no room between them"


@pytest.mark.parametrize(
    ("arguments", "problem", "where", "expected"),
    [
        ({"low": 1.0, "high": 1.0}, NO_ROOM, "low, high", "low below high everywhere"),
        ({"low": [0.0, 2.0], "high": 1.0}, NO_ROOM, "low, high", "low below high everywhere"),
        ({"high": math.inf}, "a bound is not finite", "high", "finite numbers"),
        ({"low": math.nan}, "a bound is not finite", "low", "finite numbers"),
        ({"spec": Categorical(3)}, "its spec has no bounds", "spec", "one with bounds: Bounded, or a Box"),
        ({"spec": Bounded(-math.inf, 1.0)}, "a bound is not finite", "low", "finite numbers"),
        (
            {"spec": Bounded(-1.0, 1.0), "low": -1.0},
            "its bounds are given twice",
            "spec, low, high",
            "a spec, or low and high",
        ),
        ({"out_keys": ["a", "b"]}, "there are not as many out_keys as in_keys", "out_keys", "as many as in_keys, 1"),
    ],
)
def test_what_cannot_be_is_refused(arguments, problem, where, expected):
    with pytest.raises(SpecError) as error:
        TanhModule("x", **arguments)
    first, *rest = str(error.value).split("\n")
    assert first == f"TanhModule cannot be built: {problem}."
    assert rest[:2] == [f"  where: {where}", f"  expected: {expected}"]
    assert len(rest) == 4
