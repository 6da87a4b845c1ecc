"""Rows of bytes: every dtype comes back as it went in, from wherever it is in the ring."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keywork.buffers._layout import Field, Layout
from keywork.buffers._table import Table

DTYPES = [torch.bool, torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.complex128]


@given(
    kinds=st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)), min_size=1, max_size=8),
    num_envs=st.sampled_from([None, 1, 3]),
    times=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
@settings(max_examples=80, deadline=None)
def test_entries_survive_writing_and_reading(
    kinds: list[tuple[torch.dtype, list[int]]], num_envs: int | None, times: list[int]
) -> None:
    layout = Layout([Field(f"entry {n}", dtype, tuple(shape)) for n, (dtype, shape) in enumerate(kinds)])
    streams = 1 if num_envs is None else num_envs
    table = Table(layout, (5,) if num_envs is None else (5, num_envs), torch.device("cpu"))
    for time in times:  # a step is written to slot 4, and the following ones from slot 0 on
        lead = (time,) if num_envs is None else (num_envs, time)
        values = [torch.randn(*lead, *field.shape).mul(3).to(field.dtype) for field in layout.fields]
        table.write(values, lead, [(4, 5, 0), (0, time - 1, 1)])
        slots = torch.tensor([4, *range(time - 1)])
        rows = (slots.unsqueeze(1) * streams + torch.arange(streams)).flatten()
        found = table.read(rows, (time, streams))
        for field, value, back in zip(layout.fields, values, found, strict=True):
            expected = value.unsqueeze(1) if num_envs is None else value.swapaxes(0, 1)
            assert torch.equal(back, expected), field
            assert back.dtype == field.dtype


def test_what_was_read_has_memory_of_its_own() -> None:
    table = Table(Layout([Field("x", torch.float32, (2,))]), (4,), torch.device("cpu"))
    table.write([torch.ones(4, 2)], (4,), [(0, 4, 0)])
    table.read(torch.arange(4), (4,))[0].zero_()
    assert torch.equal(table.entries[0], torch.ones(4, 2))
    assert table.read(torch.empty(0, dtype=torch.int64), (0,))[0].shape == (0, 2)
