import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from keywork._errors import SpecError
from keywork.specs import Bounded


def drawn(spec, number=20_000):
    return spec.rand(number, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-1.0, 2.0),
        (-1, 2),
        ([-1.0, -1.0], 2.0),
        (np.array([-1.0, -1.0]), np.float32(2)),
        (torch.tensor([-1.0, -1.0]), torch.tensor(2)),
        (-torch.ones(2, dtype=torch.bfloat16), [2, 2]),
    ],
)
def test_bounds_come_as_anything_and_are_broadcast(low, high):
    spec = Bounded(low, high, (2,))
    assert spec == Bounded(-1.0, 2.0, 2)
    assert spec.low.tolist() == [-1.0, -1.0]
    assert spec.high.tolist() == [2.0, 2.0]
    assert spec.low.dtype == torch.float32


def test_without_a_shape_it_is_that_of_the_bounds():
    assert Bounded(-1, 1).shape == ()
    assert Bounded([-1, -2], 1).shape == (2,)
    assert Bounded([[0], [1]], [2, 3, 4]).shape == (2, 3)


def test_the_bounds_are_not_the_callers_memory():
    low = np.zeros(2, np.float32)
    spec = Bounded(low, 1.0)
    low[:] = 0.5
    assert spec.low.tolist() == [0.0, 0.0]


@given(st.lists(st.floats(-3, 3, width=32) | st.just(math.inf), min_size=2, max_size=2))
def test_is_in_against_plain_comparison(numbers):
    low, high = [-1.0, 0.0], [1.0, math.inf]
    # By definition: finite, and between the bounds, element by element.
    expected = all(a <= x <= b and math.isfinite(x) for a, x, b in zip(low, numbers, high, strict=True))
    assert Bounded(low, high).is_in(torch.tensor(numbers, dtype=torch.float32)) == expected


def test_project_by_hand():
    spec = Bounded([-1.0, 0.0, -math.inf], [1.0, math.inf, math.inf])
    most = torch.finfo(torch.float32).max
    value = torch.tensor([[2.0, -0.5, 7.0], [-math.inf, math.inf, -math.inf]])
    assert spec.project(value).tolist() == [[1.0, 0.0, 7.0], [-1.0, most, -most]]


def test_project_passes_gradients_inside_only():
    value = torch.tensor([0.5, 3.0], requires_grad=True)
    Bounded(-1, 1, 2).project(value).sum().backward()
    assert value.grad.tolist() == [1.0, 0.0]


def test_project_casts_from_the_wider_dtype_after_clamping():
    # 300 in uint8 is 44, and 1e300 in float32 is inf: neither may come out.
    assert Bounded(0, 255, dtype=torch.uint8).project(torch.tensor([300, -1, 7])).tolist() == [255, 0, 7]
    value = torch.tensor([1e300, -1e300], dtype=torch.float64)
    most = torch.finfo(torch.float32).max
    assert Bounded(-math.inf, math.inf).project(value).tolist() == [most, -most]


def test_zero_is_a_bound_where_the_bounds_exclude_it():
    assert Bounded([1.0, -3.0, -1.0], [2.0, -2.0, 1.0]).zero().tolist() == [1.0, -2.0, 0.0]


@pytest.mark.parametrize(
    ("low", "high", "mean", "std"),
    [
        (-1.0, 3.0, 1.0, 4 / math.sqrt(12)),  # uniform: (a + b) / 2, (b - a) / sqrt(12)
        (2.0, math.inf, 3.0, 1.0),  # a + exponential: a + 1, 1
        (-math.inf, 2.0, 1.0, 1.0),  # b - exponential: b - 1, 1
        (-math.inf, math.inf, 0.0, 1.0),  # normal
    ],
)
def test_the_laws_of_rand(low, high, mean, std):
    value = drawn(Bounded(low, high))
    # The standard error of the mean of 20,000 draws is std / 141: within five of them.
    assert abs(value.mean().item() - mean) < 5 * std / 141
    assert abs(value.std().item() - std) < 0.05
    assert low <= value.min().item() and value.max().item() <= high


def test_every_element_has_its_own_law():
    value = drawn(Bounded([-1.0, 5.0, -math.inf, -math.inf], [1.0, math.inf, -5.0, math.inf]))
    assert value.mean(0).tolist() == pytest.approx([0.0, 6.0, -6.0, 0.0], abs=0.05)


def test_integers_are_drawn_evenly():
    counts = torch.bincount(drawn(Bounded(-2, 2, dtype=torch.int32), 50_000).long() + 2)
    # 10,000 of each on average, with a standard deviation of sqrt(50000 · 0.2 · 0.8) = 89.
    assert counts.shape == (5,)
    assert (counts - 10_000).abs().max() < 5 * 90


@pytest.mark.parametrize(("dtype", "unbounded"), [(torch.int16, False), (torch.int32, True), (torch.int64, True)])
def test_a_wide_integer_limit_counts_as_no_bound(dtype, unbounded):
    info = torch.iinfo(dtype)
    above, below = drawn(Bounded(3, info.max, dtype=dtype)), drawn(Bounded(info.min, 3, dtype=dtype))
    assert above.min() >= 3
    assert below.min() < 0 and below.max() <= 3
    assert (above.max() < 50) == (below.min() > -50) == unbounded


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_ends_of_a_floating_dtype(dtype):
    most = torch.finfo(dtype).max
    for high in (most, math.inf):
        value = drawn(Bounded([-most, most, 0.1, 0.0], [most, most, 0.1, high], dtype=dtype), 1000)
        assert bool(value.isfinite().all())
        assert value[:, 1].unique().tolist() == [most]
        assert value[:, 2].unique().tolist() == [torch.tensor(0.1, dtype=dtype).item()]
        # The width of the first interval is no number of the dtype.
        assert abs((value[:, 0] / most).mean().item()) < 0.1


def test_the_ends_of_int64():
    low, high = -(2**63), 2**63 - 1
    spec = Bounded([low, low, high, low + 1], [high, low, high, high - 1], dtype=torch.int64)
    assert spec.is_in(spec.rand(1000))
    # Float64 has four numbers in the last 4096 before 2**63. What is drawn beyond them belongs to the last.
    value = Bounded(high - 4095, high - 1, dtype=torch.int64).rand(10_000, generator=torch.Generator().manual_seed(0))
    assert (value >= high - 1023).float().mean() > 0.3


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_bounds_of_float64_survive_the_rounding_to_float32(a, b):
    low, high = sorted([a, b])
    spec = Bounded(low, high)
    assert spec.is_in(spec.rand(50))
    # A bound itself, cast the usual way, is a member: 0.1 is no float32, and the float32 next to it is above.
    assert spec.is_in(torch.tensor([low, high], dtype=torch.float64).to(torch.float32))
    assert spec.is_in(spec.encode(np.array([low, high])))


@pytest.mark.parametrize(
    ("spec", "domain"),
    [
        (Bounded(-1, 1, 3), "[-1, 1]"),
        (Bounded(0, 255, (3, 4), torch.uint8), "{0..255}"),
        (Bounded(0, math.inf), "[0, inf)"),
        (Bounded(-math.inf, 0.5), "(-inf, 0.5]"),
        (Bounded(-math.inf, math.inf), "(-inf, inf)"),
        (Bounded([-1, -2], [1, 2]), "within [-2, 2]"),
        (Bounded([0, 1], [3, 3], dtype=torch.int64), "within {0..3}"),
        (Bounded(0, 1, (0,)), "empty"),
        (Bounded(-4.8, 4.8), "[-4.8, 4.8]"),
    ],
)
def test_domain(spec, domain):
    assert spec.domain == domain


def test_images_stay_bytes():
    spec = Bounded(0, 255, (2, 2), torch.uint8)
    image = np.array([[0, 255], [7, 9]], np.uint8)
    assert spec.encode(image).dtype == torch.uint8
    assert spec.rand(3).dtype == torch.uint8
    assert spec.is_in(spec.encode(image))
    assert spec.to_env(spec.encode(image)).dtype == np.uint8
    assert not spec.is_in(torch.zeros(2, 2))


def test_membership_is_of_the_very_dtype():
    assert not Bounded(-1, 1).is_in(torch.zeros(3, dtype=torch.float64))
    assert Bounded(-1, 1).project(torch.zeros(3, dtype=torch.float64)).dtype == torch.float32


def test_integers_without_a_bound_are_told_so_to_gymnasium():
    space = Bounded(0, 2**63 - 1, (2,), torch.int64).to_gymnasium()
    assert space.bounded_below.all() and not space.bounded_above.any()
    assert Bounded(0, 2**63 - 1, (2,), torch.int64) == Bounded(0, math.inf, (2,), torch.int64)


def test_a_whole_spec_says_what_it_is():
    assert repr(Bounded(-1, 1, 2)) == "Bounded(low=-1.0, high=1.0, shape=(2,), dtype=torch.float32)"
    spec = Bounded(np.arange(9.0), 9.0)
    assert repr(spec) == ("Bounded(low=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, ...), high=9.0, shape=(9,), dtype=torch.float32)")


EXAMPLE = "  fix: Bounded(-1.0, 1.0, shape=(3,)), or Bounded([-1.0, 0.0], [1.0, inf]) for bounds by element"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (2, 1),
            "Bounded cannot be built: no float32 lies between its bounds.\n  where: index ()\n"
            "  expected: low <= high\n  got: low 2.0, high 1.0\n",
        ),
        (
            ([0, 2], [1, 1.0]),
            "Bounded cannot be built: no float32 lies between its bounds.\n  where: index (1,)\n"
            "  expected: low <= high\n  got: low 2.0, high 1.0\n",
        ),
        (
            (1e39, math.inf),
            "Bounded cannot be built: no float32 lies between its bounds.\n  where: index ()\n"
            "  expected: low <= high\n  got: low 1e+39, high inf\n",
        ),
        (
            (-1.0, math.nan),
            "Bounded cannot be built: a bound is NaN.\n  where: high\n"
            "  expected: numbers; -inf or inf where there is no bound\n  got: nan of type float\n",
        ),
        (
            ("low", 1.0),
            "Bounded cannot be built: a bound is no number.\n  where: low\n"
            "  expected: a number, or an array of numbers\n  got: 'low' of type str\n",
        ),
        (
            (0, 256, None, torch.uint8),
            "Bounded cannot be built: uint8 has no such number.\n  where: high\n"
            "  expected: whole numbers from 0 to 255\n  got: 256 of type int\n",
        ),
        (
            (0.5, 3, None, torch.int8),
            "Bounded cannot be built: int8 has no such number.\n  where: low\n"
            "  expected: whole numbers from -128 to 127\n  got: 0.5 of type float\n",
        ),
        (
            ([0, 0], 1, (3,)),
            "Bounded cannot be built: the bounds do not fit.\n  where: shape\n"
            "  expected: numbers, or arrays broadcastable to (3,)\n  got: low (2,), high ()\n",
        ),
        (
            ([0, 0], [1, 1, 1]),
            "Bounded cannot be built: the bounds do not fit.\n  where: shape\n"
            "  expected: one shape\n  got: low (2,), high (3,)\n",
        ),
    ],
)
def test_what_cannot_be_built_is_said(arguments, message):
    with pytest.raises(SpecError) as error:
        Bounded(*arguments)
    assert str(error.value) == message + EXAMPLE


def test_a_bool_is_no_number():
    with pytest.raises(SpecError) as error:
        Bounded(0, 1, dtype=torch.bool)
    assert str(error.value) == (
        "Bounded cannot be built: its dtype does not suit it.\n  where: dtype\n"
        "  expected: uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64\n  got: bool\n"
        "  fix: Binary(n, dtype=torch.bool)"
    )


def test_2_to_the_63_does_not_become_a_negative_bound():
    with pytest.raises(SpecError, match="int64 has no such number"):
        Bounded(0, 2.0**63, dtype=torch.int64)


def test_the_messages_of_values():
    spec = Bounded([-1.0, -2.0], [1.0, 2.0])
    name = "Bounded(low=(-1.0, -2.0), high=(1.0, 2.0), shape=(2,), dtype=torch.float32)"
    cases = {
        f"action is not in {name}: 2 of 6 elements are outside.\n  where: first at index (1, 1)\n"
        "  expected: [-2, 2]\n  got: 2.5, in a float32 tensor of shape (3, 2)\n"
        "  fix: spec.project(value) takes the nearest member": torch.tensor([[0, 0], [0, 2.5], [-3, 0]]),
        f"action is not in {name}: 1 of 2 elements are outside.\n  where: first at index (0,)\n"
        "  expected: [-1, 1]\n  got: nan, in a float32 tensor of shape (2,)\n"
        "  fix: a NaN is in no spec: look for where it arises; torch.autograd.detect_anomaly() helps": torch.tensor(
            [math.nan, 0.0]
        ),
        f"action does not fit {name}: it has another shape.\n  where: shape\n"
        "  expected: (*batch, 2)\n  got: a float32 tensor of shape (8, 3)\n"
        "  fix: its last dimensions have to be (2); batch dimensions go before them": torch.zeros(8, 3),
        f"action does not fit {name}: it has another dtype.\n  where: dtype\n"
        "  expected: float32\n  got: an int64 tensor of shape (8, 2)\n"
        "  fix: value.to(torch.float32) casts it": torch.zeros(8, 2, dtype=torch.int64),
        f"action does not fit {name}: it is no tensor.\n  where: the whole value\n"
        "  expected: a tensor\n  got: a numpy array of dtype float64 and shape (2,)\n"
        "  fix: spec.encode(value) makes one": np.zeros(2),
    }
    for message, value in cases.items():
        with pytest.raises(SpecError) as error:
            spec.validate(value, "action")
        assert str(error.value) == message


def test_a_missing_last_dimension_is_told_how_to_come():
    with pytest.raises(SpecError) as error:
        Bounded(0, 1, 1).validate(torch.zeros(8), "reward")
    assert str(error.value).endswith("fix: value.unsqueeze(-1) adds the last dimension")


def test_a_space_of_the_same_bounds():
    assert Bounded([-1, 0], [1, math.inf]).to_gymnasium() == spaces.Box(
        np.array([-1, 0], np.float32), np.array([1, math.inf], np.float32)
    )
