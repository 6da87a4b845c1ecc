import numpy as np
import pytest
import torch
from gymnasium import spaces

from keywork._errors import SpecError
from keywork.specs import Categorical


def test_an_index_has_no_dimension_of_its_own():
    spec = Categorical(4)
    assert spec.shape == ()
    assert spec.rand(3).shape == (3,)
    assert (spec.n, spec.start, spec.dtype, spec.domain) == (4, 0, torch.int64, "{0..3}")
    assert Categorical(1).domain == "{0}"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_any_integer_dtype_may_name_a_choice(dtype):
    assert Categorical(3).is_in(torch.tensor([0, 2], dtype=dtype))
    assert not Categorical(3).is_in(torch.tensor([0, 3], dtype=dtype))


def test_the_choices_need_not_fit_the_dtype_of_the_value():
    # 299 is no number in int8; clamped in it, the bound would be lost.
    assert Categorical(300).is_in(torch.tensor([127], dtype=torch.int8))
    assert Categorical(300).project(torch.tensor([-5, 127], dtype=torch.int8)).tolist() == [0, 127]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_other_dtypes_name_none(dtype):
    assert not Categorical(3).is_in(torch.zeros(2, dtype=dtype))


def test_project_by_hand():
    assert Categorical(3).project(torch.tensor([-1, 0, 2, 3])).tolist() == [0, 0, 2, 2]


def test_rand_is_even():
    counts = torch.bincount(Categorical(4).rand(40_000, generator=torch.Generator().manual_seed(0)))
    # 10,000 of each on average, with a standard deviation of sqrt(40000 · 0.25 · 0.75) = 87.
    assert counts.shape == (4,)
    assert (counts - 10_000).abs().max() < 5 * 87


def test_an_environment_may_count_from_elsewhere():
    spec = Categorical(3, start=5)
    assert spec.encode(np.array([5, 7])).tolist() == [0, 2]
    assert spec.to_env(torch.tensor([0, 2])).tolist() == [5, 7]
    assert spec.domain == "{0..2}"
    assert spec.to_gymnasium() == spaces.Discrete(3, start=5)


def test_a_single_index_is_a_numpy_integer_that_can_be_a_key():
    index = Categorical(3, start=5).to_env(torch.tensor(1))
    assert isinstance(index, np.int64)
    assert {6: "six"}[index] == "six"


def test_with_a_shape_its_space_is_a_multi_discrete():
    spec = Categorical(3, (2,), start=1)
    assert spec.to_gymnasium() == spaces.MultiDiscrete([3, 3], start=[1, 1])
    assert spec.encode([[1, 3], [2, 2]]).tolist() == [[0, 2], [1, 1]]


def test_to_env_wants_integers():
    with pytest.raises(SpecError) as error:
        Categorical(3).to_env(torch.tensor([0.0, 1.5]), "action")
    assert str(error.value) == (
        "action does not fit Categorical(n=3, shape=(), dtype=torch.int64): it has another dtype.\n"
        "  where: dtype\n  expected: int64\n  got: a float32 tensor of shape (2,)\n"
        "  fix: value.argmax(-1) picks an index from scores, value.round().to(...) casts whole numbers"
    )


def test_the_message_of_a_choice_that_is_not():
    with pytest.raises(SpecError) as error:
        Categorical(3).validate(torch.tensor([0, 3, -1]), "action")
    assert str(error.value) == (
        "action is not in Categorical(n=3, shape=(), dtype=torch.int64): 2 of 3 elements are outside.\n"
        "  where: first at index (1,)\n  expected: {0..2}\n  got: 3, in an int64 tensor of shape (3,)\n"
        "  fix: spec.project(value) takes the nearest member"
    )


@pytest.mark.parametrize("n", [0, -1, 2.0, "2", True, None])
def test_what_is_no_number_of_choices_is_refused(n):
    with pytest.raises(SpecError) as error:
        Categorical(n)
    assert str(error.value) == (
        "Categorical cannot be built: it needs something to choose from.\n  where: n\n"
        f"  expected: a positive whole number\n  got: {n!r}\n  fix: Categorical(4)"
    )


@pytest.mark.parametrize(("n", "start"), [(257, 0), (2, 255), (2, -1), (3, 1.5)])
def test_a_dtype_that_does_not_hold_the_choices_is_refused(n, start):
    assert Categorical(256, dtype=torch.uint8).n == 256
    with pytest.raises(SpecError) as error:
        Categorical(n, dtype=torch.uint8, start=start)
    assert str(error.value) == (
        "Categorical cannot be built: uint8 does not hold its choices.\n  where: n, start and dtype\n"
        f"  expected: whole numbers from 0 to 255\n  got: {n} choices, the first of them {start}\n"
        "  fix: dtype=torch.int64"
    )


def test_an_index_is_no_float():
    with pytest.raises(SpecError, match=r"fix: Categorical\(n\), or OneHot\(n, dtype=torch.float32\)"):
        Categorical(3, dtype=torch.float32)
