import numpy as np
import pytest
import torch
from gymnasium import spaces

from keywork._errors import SpecError
from keywork.specs import Binary, MultiBinary


def test_binary_is_another_name():
    assert Binary is MultiBinary


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64, torch.float32])
def test_zeros_and_ones_of_any_dtype_are_in(dtype):
    assert MultiBinary(2).is_in(torch.tensor([[0, 1], [1, 1]], dtype=dtype))


@pytest.mark.parametrize("numbers", [[0, 2], [-1, 0], [0.5, 1.0], [0.0, float("inf")]])
def test_other_numbers_are_not(numbers):
    assert not MultiBinary(2).is_in(torch.tensor(numbers))


def test_project_takes_the_nearer():
    value = torch.tensor([-3.0, 0.4, 0.5, 0.6, float("inf"), -float("inf")])
    assert MultiBinary(6).project(value).tolist() == [0, 0, 0, 1, 1, 0]
    assert MultiBinary(3).project(torch.tensor([-4, 0, 9])).tolist() == [0, 0, 1]


def test_flags():
    flags = Binary(1, torch.bool)
    assert flags.domain == "bool"
    assert flags.zero(2).tolist() == [[False], [False]]
    assert flags.encode(np.array([[True], [False]])).dtype == torch.bool
    assert flags.to_env(torch.tensor([[True]])).dtype == np.bool_
    assert flags.to_gymnasium() == spaces.Box(0, 1, (1,), np.bool_)


def test_rand_tosses_fair_coins():
    ones = MultiBinary(2).rand(20_000, generator=torch.Generator().manual_seed(0)).sum(0)
    # 10,000 on average, with a standard deviation of sqrt(20000 / 4) = 71.
    assert ones.shape == (2,)
    assert (ones - 10_000).abs().max() < 5 * 71


def test_n_is_a_number_or_a_shape():
    assert MultiBinary(3).n == 3
    assert MultiBinary([2, 3]).n == (2, 3)
    assert MultiBinary([2, 3]).shape == (2, 3)
    assert MultiBinary(3) == MultiBinary([3])
    assert MultiBinary(3).to_gymnasium() == spaces.MultiBinary(3)
    assert MultiBinary([2, 3]).to_gymnasium() == spaces.MultiBinary([2, 3])
    assert MultiBinary(3).domain == "{0, 1}"


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_the_environment_gets_int8_all_the_same(dtype):
    array = MultiBinary(2, dtype).to_env(torch.tensor([[0, 1]]))
    assert array.dtype == np.int8
    assert MultiBinary(2, dtype).encode(array).dtype == dtype


def test_a_flag_cannot_be_two():
    with pytest.raises(SpecError) as error:
        Binary(2, torch.bool).encode(np.array([0, 2], np.int8), "done")
    assert str(error.value) == (
        "done cannot be encoded as bool: its numbers do not fit.\n  where: its range\n"
        "  expected: integers from 0 to 1\n  got: 0 to 2, in a numpy array of dtype int8 and shape (2,)\n"
        "  fix: give the spec a dtype that holds them"
    )


def test_what_cannot_be_built():
    with pytest.raises(SpecError, match="MultiBinary cannot be built: it needs something to choose from"):
        MultiBinary((2, 0))
    with pytest.raises(SpecError, match="MultiBinary cannot be built: its dtype does not suit it"):
        MultiBinary(2, torch.complex64)
