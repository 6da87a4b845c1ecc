"""Rows of bytes: every entry lies aligned, and no two on one another."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keywork.buffers._layout import Field, Layout

DTYPES = [torch.bool, torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.complex128]


@given(kinds=st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_entries_lie_aligned_and_apart(kinds: list[tuple[torch.dtype, list[int]]]) -> None:
    layout = Layout([Field(f"entry {n}", dtype, tuple(shape)) for n, (dtype, shape) in enumerate(kinds)])
    rows = torch.zeros(3, layout.row_bytes, dtype=torch.uint8)
    used = []
    for field, view in zip(layout.fields, layout.views(rows, (3,)), strict=True):
        assert view.shape == (3, *field.shape)
        assert view.dtype == field.dtype
        begin = view[1].data_ptr() - rows[1].data_ptr() if view.numel() else 0
        assert begin % field.dtype.itemsize == 0
        used += range(begin, begin + field.nbytes)
    assert len(set(used)) == len(used)
    assert all(0 <= byte < layout.row_bytes for byte in used)


def test_the_bytes_of_a_row_by_hand() -> None:
    fields = [Field("a", torch.bool, ()), Field("b", torch.float32, (3,)), Field("c", torch.float64, (1,))]
    assert Layout(fields).row_bytes == 24  # 8 + 12 + 1 = 21
    assert Layout([Field("z", torch.complex128, (1,)), Field("a", torch.bool, ())]).row_bytes == 32  # 17, in 16s
