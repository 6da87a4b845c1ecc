import math

import pytest
import torch
from gymnasium import spaces

from keywork._errors import SpecError
from keywork.specs import Unbounded


def test_every_finite_number_is_in_and_no_other():
    spec = Unbounded(2)
    assert spec.is_in(torch.tensor([[0.0, -3e38], [1e-45, 5.0]]))
    for number in (math.inf, -math.inf, math.nan):
        assert not spec.is_in(torch.tensor([0.0, number]))


def test_infinity_is_projected_to_the_greatest_number():
    most = torch.finfo(torch.float32).max
    assert Unbounded().project(torch.tensor([math.inf, -math.inf, 2.0])).tolist() == [most, -most, 2.0]


def test_rand_is_standard_normal():
    value = Unbounded().rand(20_000, generator=torch.Generator().manual_seed(0))
    # Standard errors: 1 / 141 of the mean, 1 / 200 of the standard deviation.
    assert abs(value.mean().item()) < 5 / 141
    assert abs(value.std().item() - 1) < 5 / 200


def test_integers():
    spec = Unbounded(2, torch.int64)
    assert spec.is_in(torch.tensor([-(2**63), 2**63 - 1]))
    assert not spec.is_in(torch.tensor([0, 1], dtype=torch.int32))
    assert set(spec.rand(1000).flatten().tolist()) >= {-2, -1, 0, 1}
    assert spec.domain == "integer"
    assert Unbounded().domain == "real"


def test_its_space_is_a_box_without_bounds():
    assert Unbounded(3).to_gymnasium() == spaces.Box(-math.inf, math.inf, (3,))


@pytest.mark.parametrize(("dtype", "name"), [(torch.uint8, "uint8"), (torch.bool, "bool")])
def test_what_is_bounded_by_its_dtype_is_refused(dtype, name):
    with pytest.raises(SpecError) as error:
        Unbounded(3, dtype)
    message = str(error.value)
    assert message.startswith("Unbounded cannot be built: its dtype does not suit it.\n  where: dtype\n")
    assert message.endswith(f"  got: {name}\n  fix: Bounded(0, 255, dtype=torch.uint8), or Binary(n, dtype=torch.bool)")


@pytest.mark.parametrize("shape", [-1, (2, -1), "ab", 1.5, (1.5,)])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(SpecError) as error:
        Unbounded(shape)
    assert str(error.value) == (
        "Unbounded has no such shape.\n  where: shape\n"
        f"  expected: a whole number, or a sequence of them, none negative\n  got: {shape!r}\n"
        "  fix: shape=(3,) for three numbers, shape=() for one"
    )


def test_only_a_floating_dtype_can_be_moved_to():
    with pytest.raises(SpecError) as error:
        Unbounded(3).to(torch.int32)
    assert str(error.value) == (
        "Unbounded of int32 cannot be built: its dtype does not suit it.\n  where: dtype\n"
        "  expected: float16, bfloat16, float32, float64\n  got: int32\n  fix: build a new spec of this dtype"
    )
