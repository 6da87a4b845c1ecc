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


def test_a_stored_value_is_a_copy():
    columns, value = Columns(1, 1), np.zeros((1, 1), np.float32)
    columns.put(0, [("x", value)])
    value[:] = 5.0
    assert columns.batch()["x"].item() == 0.0
