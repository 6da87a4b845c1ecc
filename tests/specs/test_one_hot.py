import numpy as np
import pytest
import torch
from gymnasium import spaces

from keywork._errors import SpecError
from keywork.specs import OneHot


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float32])
def test_bool_integer_and_floating_vectors_are_in(dtype):
    assert OneHot(3).is_in(torch.tensor([[0, 1, 0], [1, 0, 0]], dtype=dtype))
    assert not OneHot(3).is_in(torch.tensor([[0, 1, 0], [1, 1, 0]], dtype=dtype))
    assert not OneHot(3).is_in(torch.tensor([0, 0, 0], dtype=dtype))


def test_what_is_no_vector_with_a_single_one_is_not_in():
    for vector in ([0.5, 0.5, 0.0], [2.0, 0.0, 0.0], [1.0, -1.0, 1.0], [0.0, 0.0, 1.0 - 1e-7]):
        assert not OneHot(3).is_in(torch.tensor(vector))


def test_project_takes_the_greatest_and_of_several_the_first():
    value = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.5, 0.5], [-3.0, -1.0, -1.0], [0.0, 0.0, float("inf")]])
    expected = [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert OneHot(3).project(value).tolist() == expected
    projected = OneHot(3, torch.bool).project(torch.tensor([True, True, False]))
    assert projected.tolist() == [True, False, False]


def test_zero_is_the_first_choice():
    assert OneHot(3).zero(2).tolist() == [[1, 0, 0], [1, 0, 0]]


def test_rand_is_even():
    counts = OneHot(4).rand(40_000, generator=torch.Generator().manual_seed(0)).sum(0)
    # As for Categorical: a standard deviation of 87.
    assert (counts - 10_000).abs().max() < 5 * 87


def test_the_environment_knows_the_index():
    spec = OneHot(3, torch.float32, start=5)
    assert spec.encode(np.array([7, 5])).tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert spec.encode(6).tolist() == [0.0, 1.0, 0.0]
    assert spec.to_env(torch.tensor([[0, 0, 1], [1, 0, 0]])).tolist() == [7, 5]
    assert isinstance(spec.to_env(torch.tensor([False, True, False])), np.int64)
    assert spec.to_gymnasium() == spaces.Discrete(3, start=5)
    assert (spec.n, spec.start, spec.domain) == (3, 5, "one-hot 3")


@pytest.mark.parametrize("index", [torch.tensor(2), torch.tensor([0, 2]), torch.zeros(2, 4, dtype=torch.int32)])
def test_an_index_is_refused_and_told_so(index):
    for method in (OneHot(3).validate, OneHot(3).project, OneHot(3).to_env):
        with pytest.raises(SpecError) as error:
            method(index, "action")
        kind = "int32" if index.dtype == torch.int32 else "int64"
        assert str(error.value) == (
            "action does not fit OneHot(n=3, dtype=torch.int64): it looks like an index.\n  where: shape\n"
            "  expected: vectors with a single one, of shape (*batch, 3)\n"
            f"  got: an {kind} tensor of shape {tuple(index.shape)}\n"
            "  fix: spec.encode(index) makes vectors of indices; Categorical(n) is the spec of indices"
        )
    assert not OneHot(3).is_in(index)


def test_as_many_indices_as_choices_are_told_so_too():
    with pytest.raises(SpecError) as error:
        OneHot(3).validate(torch.tensor([[1, 0, 0], [0, 2, 1]]), "action")
    assert str(error.value) == (
        "action is not in OneHot(n=3, dtype=torch.int64): 1 of 2 vectors are outside.\n"
        "  where: first at index (1,)\n  expected: one-hot 3\n"
        "  got: [0, 2, 1], in an int64 tensor of shape (2, 3)\n"
        "  fix: spec.encode(index), if these are indices, makes vectors of them"
    )


def test_the_messages_of_floats():
    with pytest.raises(SpecError) as error:
        OneHot(2).validate(torch.tensor([0.5, 0.5]))
    assert str(error.value) == (
        "value is not in OneHot(n=2, dtype=torch.int64): 1 of 1 vectors are outside.\n"
        "  where: first at index ()\n  expected: one-hot 2\n"
        "  got: [0.5, 0.5], in a float32 tensor of shape (2,)\n"
        "  fix: spec.project(value) makes the greatest element the one"
    )
    with pytest.raises(SpecError) as error:
        OneHot(2).validate(torch.zeros(3))
    assert str(error.value) == (
        "value does not fit OneHot(n=2, dtype=torch.int64): it has another shape.\n  where: shape\n"
        "  expected: (*batch, 2)\n  got: a float32 tensor of shape (3,)\n"
        "  fix: its last dimensions have to be (2); batch dimensions go before them"
    )


def test_a_number_that_is_no_choice_has_no_vector():
    with pytest.raises(SpecError) as error:
        OneHot(3, start=1).encode([[1, 3], [0, 4]], "action")
    assert str(error.value) == (
        "action cannot be encoded as OneHot(n=3, dtype=torch.int64, start=1): 2 of 4 indices are no choice.\n"
        "  where: first at index (1, 0)\n  expected: 1 to 3\n  got: 0, in [[1, 3], [0, 4]] of type list\n"
        "  fix: OneHot(n, start=...) of as many choices as the environment has, from its first"
    )


def test_an_unknown_dtype_is_refused():
    with pytest.raises(SpecError, match="OneHot cannot be built: its dtype does not suit it"):
        OneHot(3, torch.complex64)
    with pytest.raises(SpecError, match="expected: a positive whole number"):
        OneHot(0)
