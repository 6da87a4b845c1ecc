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


LARGE = 3e38  # below the largest float32, 3.4e38, which two of them exceed together


@pytest.mark.parametrize("reward", [(LARGE, LARGE, -LARGE), (1, 2.0, np.float32(3.0)), (np.float64(1.0), True, 0.5)])
def test_rewards_are_judged_one_by_one(reward):
    buffers = Buffers.empty(LAYOUT, 3)
    buffers.take(reward, (np.True_, False, False), (False, True, np.False_), range(3))
    assert buffers.reward.tolist() == [float(number) for number in reward]
    assert buffers.terminated.tolist() == [True, False, False]
    assert buffers.truncated.tolist() == [False, True, False]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3.5e38, np.float64("nan"), "1", None])
def test_a_reward_that_is_none_is_found_beside_others(place, bad):
    reward = (*[1.0] * place, bad, *[1.0] * (2 - place))
    with pytest.raises(EnvFault, match="its reward is not") as fault:
        Buffers.empty(LAYOUT, 3).take(reward, (False,) * 3, (False,) * 3, range(4, 7))
    assert fault.value.index == 4 + place


def test_infinities_that_cancel_are_none_too():
    with pytest.raises(EnvFault, match="its reward is not finite: inf"):
        Buffers.empty(LAYOUT, 2).take((np.inf, -np.inf), (False,) * 2, (False,) * 2, range(2))


@pytest.mark.parametrize("flags", [(False, 0), (1, False), (False, None), (False, "no"), (False, np.int64(0))])
def test_a_number_is_no_flag(flags):
    for terminated, truncated in ((flags, (False, False)), ((False, False), flags)):
        with pytest.raises(EnvFault, match="is not a bool"):
            Buffers.empty(LAYOUT, 2).take((0.0, 0.0), terminated, truncated, range(2))


def test_what_is_not_one_for_each_environment_is_not_spread_over_them():
    for given in [((1.0,), (False,) * 3, (False,) * 3), ((1.0,) * 3, (False,), (False,) * 3)]:
        with pytest.raises(EnvFault, match="is not"):
            Buffers.empty(LAYOUT, 3).take(*given, range(3))


def test_a_vector_environments_column_of_rewards_is_refused():
    with pytest.raises(EnvFault, match=r"its reward is not one number: array\(\[0.\]\)"):
        Buffers.empty(LAYOUT, 2).take(np.zeros((2, 1)), np.zeros(2, bool), np.zeros(2, bool), range(2))
