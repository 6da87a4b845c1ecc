"""What `encode` takes, and when it copies."""

import warnings

import numpy as np
import pytest
import torch

from keywork._errors import SpecError
from keywork.specs import Bounded, Categorical, Unbounded

PIXELS = Bounded(0, 255, (2,), torch.uint8)


def test_an_array_of_the_dtype_is_not_copied():
    array = np.zeros((3, 2), np.float32)
    tensor = Unbounded(2).encode(array)
    array[1, 1] = 7.0
    assert tensor[1, 1] == 7.0
    assert Unbounded(2).to_env(tensor).ctypes.data == array.ctypes.data


def test_memory_that_is_read_only_is_not_shared():
    array = np.zeros((3, 2), np.float32)
    array.flags.writeable = False
    Unbounded(2).encode(array).add_(1.0)
    assert not array.any()


def test_a_tensor_of_the_dtype_is_returned_as_it_is():
    tensor = torch.zeros(3, 2)
    assert Unbounded(2).encode(tensor) is tensor


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(3, 2)[::-1],  # walked backwards
        np.arange(6, dtype=np.float32)[::-1][:2],
        np.arange(4, dtype=np.float32).reshape(2, 2)[::-1][:1],  # numpy calls it contiguous
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.broadcast_to(np.arange(2, dtype=np.float32), (3, 2)),  # read-only
        np.arange(2, dtype=">f4"),  # the other byte order
        np.arange(2, dtype=np.float64),
        np.arange(2, dtype=np.float16),
        np.arange(2, dtype=np.uint16),
        np.array([True, False]),
        [1, 2],
        [np.float32(1), np.float32(2)],
        (1.5, 2),
        torch.tensor([1, 2], dtype=torch.int16),
    ],
)
def test_any_array_of_numbers_becomes_floats(array):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = Unbounded(2).encode(array)
    assert tensor.dtype == torch.float32
    assert tensor.tolist() == np.asarray(array).tolist()


@pytest.mark.parametrize(
    "array", [np.array([3, 255]), [3, 255], np.array([3, 255], np.uint16), np.array([True, False])]
)
def test_integers_that_fit_become_integers(array):
    tensor = PIXELS.encode(array)
    assert tensor.dtype == torch.uint8
    assert tensor.tolist() == np.asarray(array).astype(int).tolist()


@pytest.mark.parametrize(("numbers", "least", "most"), [([3, 256], 3, 256), ([-1, 0], -1, 0)])
def test_integers_that_do_not_fit_are_not_wrapped_around(numbers, least, most):
    with pytest.raises(SpecError) as error:
        PIXELS.encode(numbers, "image")
    assert str(error.value) == (
        "image cannot be encoded as uint8: its numbers do not fit.\n  where: its range\n"
        f"  expected: integers from 0 to 255\n  got: {least} to {most}, in {numbers} of type list\n"
        "  fix: give the spec a dtype that holds them"
    )


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), torch.tensor([1.0, 2.0])])
def test_floats_do_not_become_integers(value):
    kind = "float32 tensor of" if isinstance(value, torch.Tensor) else "numpy array of dtype float64 and"
    with pytest.raises(SpecError) as error:
        PIXELS.encode(value)
    assert str(error.value) == (
        "value cannot be encoded as uint8: it has a floating dtype.\n  where: dtype\n"
        f"  expected: integers from 0 to 255\n  got: a {kind} shape (2,)\n"
        "  fix: numpy.rint(value).astype(int), if these are whole numbers"
    )


@pytest.mark.parametrize(
    "value", ["left", None, [[1], [2, 3]], np.array(["a", "b"]), np.array([2**63], np.uint64), 1j, {"a": 1}]
)
def test_what_is_no_array_of_numbers_is_refused(value):
    with pytest.raises(SpecError) as error:
        Categorical(3).encode(value, "action")
    first, *rest = str(error.value).split("\n")
    assert first == "action cannot be encoded: it is no array of numbers that torch can hold."
    assert rest[:2] == [
        "  where: the whole value",
        "  expected: a number, an array or a tensor, or regular lists of numbers",
    ]
    assert rest[3] == "  fix: numpy.asarray(value, dtype=...) makes an array of it, if it is one"


def test_the_shape_has_to_fit():
    with pytest.raises(SpecError) as error:
        Unbounded(2).encode(np.zeros((4, 3)), "observation")
    assert str(error.value) == (
        "observation does not fit Unbounded(shape=(2,), dtype=torch.float32): it has another shape.\n"
        "  where: shape\n  expected: (*batch, 2)\n  got: a numpy array of dtype float64 and shape (4, 3)\n"
        "  fix: its last dimensions have to be (2); batch dimensions go before them"
    )


def test_encode_does_not_look_at_the_domain():
    assert Bounded(-1, 1, 2).encode([5.0, 0.0]).tolist() == [5.0, 0.0]
    assert Categorical(3).encode(7).item() == 7


def test_a_long_value_is_shortened_in_a_message():
    with pytest.raises(SpecError) as error:
        Unbounded(2).encode(["x" * 100])
    assert "got: ['" + "x" * 55 + "... of type list" in str(error.value)
