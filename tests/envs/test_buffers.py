"""The arrays of a step, in one block of memory."""

import numpy as np
import pytest
from gymnasium import spaces

from keywork.envs._buffers import Buffers, carve, size_of
from keywork.envs._fault import EnvFault
from keywork.envs._layout import Layout

LAYOUT = Layout(spaces.Dict({"camera": spaces.Box(0, 255, (9, 9), np.uint8), "state": spaces.Box(-1, 1, (50,))}))


def all_arrays(buffers):
    return [*buffers.next.values(), *buffers.first.values(), buffers.reward, buffers.terminated, buffers.truncated]


def test_no_array_lies_in_another():
    plan = Buffers.plan(LAYOUT, 5)
    # Camera 5 * 81 = 405 bytes -> 448, state 5 * 50 * 4 = 1000 -> 1024, both twice; reward 40 -> 64; two flags 5 -> 64.
    assert size_of(plan) == 2 * (448 + 1024) + 3 * 64
    buffers = Buffers.over(LAYOUT, carve(plan, bytearray(size_of(plan))))
    for number, array in enumerate(all_arrays(buffers)):
        array[...] = number
    for number, array in enumerate(all_arrays(buffers)):
        assert (array == (number > 0 if array.dtype == np.bool_ else number)).all()


def test_rows_are_the_same_memory():
    buffers = Buffers.empty(LAYOUT, 5)
    part = buffers.rows(slice(1, 3))
    for array in all_arrays(part):
        assert len(array) == 2
        array[...] = 1
    for array in all_arrays(buffers):
        assert array.reshape(5, -1).any(1).tolist() == [False, True, True, False, False]


def test_what_a_step_returned_is_kept_in_full():
    buffers = Buffers.empty(LAYOUT, 3)
    buffers.take([1e-9, np.float32(2), 3], [True, np.False_, False], (False, False, True), range(3))
    assert buffers.reward.tolist() == [1e-9, 2, 3]
    assert buffers.terminated.tolist() == [True, False, False]
    assert buffers.truncated.tolist() == [False, False, True]


def test_a_vector_environments_column_of_rewards_is_refused():
    with pytest.raises(EnvFault, match=r"its reward is not one number: array\(\[0.\]\)"):
        Buffers.empty(LAYOUT, 2).take(np.zeros((2, 1)), np.zeros(2, bool), np.zeros(2, bool), range(2))
