import numpy as np
import pytest
import torch

from keywork.collectors._columns import Columns


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool, torch.uint8, torch.bfloat16])
def test_values_come_back_in_their_dtype_at_their_step(dtype, device):
    columns = Columns(2, 3, device)
    steps = [torch.tensor([[step % 2, 1], [0, step % 2]]).to(dtype) for step in range(3)]
    for step, value in enumerate(steps):
        columns.put(step, [("x", value)])
    batch = columns.batch()
    assert batch["x"].dtype is dtype
    assert torch.equal(batch["x"], torch.stack(steps, 1))


def test_arrays_and_tensors_are_stored_alike_under_nested_keys():
    columns = Columns(1, 1)
    columns.put(0, [(("next", "reward"), np.full((1, 1), 2.0, np.float32))])
    columns.put(0, [("action", torch.ones(1, dtype=torch.int64))])
    columns.zeros("done", 1)
    batch = columns.batch()
    assert batch["next", "reward"].tolist() == [[[2.0]]]
    assert batch["action"].tolist() == [[1]]
    assert batch["done"].tolist() == [[[False]]]


@pytest.mark.parametrize("steps", [1, 2])  # one step makes whole columns at once
@pytest.mark.parametrize("form", [np.asarray, torch.from_numpy])
def test_a_stored_value_is_a_copy(steps, form):
    columns, value = Columns(1, steps), np.zeros((1, 1), np.float32)
    for step in range(steps):
        columns.put(step, [("x", form(value))])
    value[:] = 5.0
    assert columns.batch()["x"].flatten().tolist() == [0.0] * steps


@pytest.mark.parametrize("steps", [1, 2])
def test_one_value_under_two_keys_is_stored_twice(steps):
    columns, value = Columns(1, steps), np.zeros((1, 1), np.float32)
    for step in range(steps):
        columns.put(step, [("x", value), (("next", "x"), value)])
    batch = columns.batch()
    batch["x"].fill_(1.0)
    assert not batch["next", "x"].any()


@pytest.mark.parametrize("steps", [1, 2])
def test_of_two_values_of_a_step_the_later_one_stays_in_the_form_of_the_first(steps):
    columns = Columns(2, steps)
    for step in range(steps):
        columns.put(step, [("x", np.zeros((2, 1), np.float32))])
        columns.put(step, [("x", torch.tensor([[0.5], [1.5]], dtype=torch.float64))])
    batch = columns.batch()
    assert batch["x"].dtype is torch.float32
    assert batch["x"].tolist() == [[[0.5]] * steps, [[1.5]] * steps]


@pytest.mark.parametrize("steps", [1, 2])
def test_entries_are_contiguous_and_groups_hold_groups(steps):
    columns, value = Columns(3, steps), np.arange(12, dtype=np.float32).reshape(4, 3).T
    for step in range(steps):
        columns.put(step, [(("next", "agent", "x"), value), (("next", "agent", "y"), value), ("z", value)])
    batch = columns.batch()
    assert batch.batch_size == batch["next", "agent"].batch_size == (3, steps)
    assert set(batch.keys(True, True)) == {("next", "agent", "x"), ("next", "agent", "y"), "z"}
    assert batch["next", "agent", "x"].is_contiguous()
    # Row e of the value is e, 3 + e, 6 + e, 9 + e.
    assert batch["next", "agent", "x"][1].tolist() == [[1, 4, 7, 10]] * steps
    batch["late"] = torch.zeros(3, steps)  # it can be written to as any other
    with pytest.raises(RuntimeError):
        batch["wrong"] = torch.zeros(2, steps)
