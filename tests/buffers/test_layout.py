"""Rows of bytes: every dtype comes back as it went in, aligned, in the order in which it was named."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keywork.buffers._layout import Field, Layout

DTYPES = [torch.bool, torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.complex128]


@given(
    kinds=st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)), min_size=1, max_size=8),
    lead=st.sampled_from([(4,), (2, 3)]),
)
@settings(max_examples=80, deadline=None)
def test_entries_survive_packing(kinds: list[tuple[torch.dtype, list[int]]], lead: tuple[int, ...]) -> None:
    layout = Layout([Field(f"entry {n}", dtype, tuple(shape)) for n, (dtype, shape) in enumerate(kinds)])
    rows = torch.zeros(torch.Size(lead).numel(), layout.row_bytes, dtype=torch.uint8)
    values = [torch.randn(*lead, *field.shape).mul(3).to(field.dtype) for field in layout.fields]
    for column, packed in zip(layout.columns(rows, lead), layout.pack(values, lead), strict=True):
        column.copy_(packed)
    batch = layout.unpack(rows, lead)
    assert tuple(batch.keys()) == layout.keys
    for key, value in zip(layout.keys, values, strict=True):
        assert torch.equal(batch[key], value)
        assert batch[key].dtype == value.dtype


def test_the_bytes_of_a_row_by_hand() -> None:
    fields = [Field("a", torch.bool, ()), Field("b", torch.float32, (3,)), Field("c", torch.float64, (1,))]
    assert Layout(fields).row_bytes == 24  # 8 + 12 + 1 = 21
    assert Layout([Field("z", torch.complex128, (1,)), Field("a", torch.bool, ())]).row_bytes == 32  # 17, in 16s
