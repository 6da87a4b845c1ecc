"""Epochs: every row once, then in another order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from keywork._errors import UsageError
from keywork.buffers import ReplayBuffer, SamplerWithoutReplacement


def buffer_of(count: int, **options: bool) -> ReplayBuffer:
    buffer = ReplayBuffer(100, sampler=SamplerWithoutReplacement(**options), seed=0)
    buffer.extend(TensorDict(number=torch.arange(count), batch_size=[count]))
    return buffer


@given(count=st.integers(1, 40), size=st.integers(1, 40), drop_last=st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_row_comes_once_an_epoch(count: int, size: int, drop_last: bool) -> None:
    size = min(size, count)
    buffer = buffer_of(count, drop_last=drop_last)
    for _ in range(2):
        batches = [size] * (count // size) + [count % size] * (count % size > 0 and not drop_last)
        drawn = [buffer.sample(size)["number"].tolist() for _ in batches]
        assert [len(batch) for batch in drawn] == batches
        rows = [row for batch in drawn for row in batch]
        assert len(set(rows)) == len(rows) == sum(batches)


def test_orders_differ_and_new_steps_begin_an_epoch() -> None:
    buffer = buffer_of(30)
    first, second = (buffer.sample(30)["number"].tolist() for _ in range(2))
    assert first != second
    buffer.sample(20)
    buffer.extend(TensorDict(number=torch.arange(30, 35), batch_size=[5]))
    assert sorted(buffer.sample(35)["number"].tolist()) == list(range(35))


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(UsageError, match="Type batch_size=3 or less"):
        buffer_of(3).sample(4)
