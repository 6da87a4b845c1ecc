from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import masked_mean


def test_by_hand():
    x = torch.tensor([[1.0], [2.0], [torch.nan]])
    assert masked_mean(x, torch.tensor([[True], [True], [False]])).item() == 1.5
    assert masked_mean(x[:2]).item() == 1.5


def test_where_nothing_counts_it_is_zero_and_has_no_gradient():
    x = torch.tensor([1.0, torch.inf], requires_grad=True)
    mean = masked_mean(x, torch.tensor([False, False]))
    assert mean.item() == 0.0
    mean.backward()
    assert x.grad.tolist() == [0.0, 0.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.booleans()), min_size=1, max_size=20))
def test_it_is_the_mean_of_what_counts(samples):
    numbers, flags = zip(*samples, strict=True)
    x = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor(flags)
    if mask.any():
        ours, theirs = masked_mean(x, mask), x[mask].mean()
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(*(torch.autograd.grad(mean, x)[0] for mean in (ours, theirs)))


def test_transforms():
    x, mask = torch.arange(6.0).view(2, 3), torch.tensor([[True, False, True], [False, False, True]])
    rows = torch.stack([masked_mean(*row) for row in zip(x, mask, strict=True)])
    torch.testing.assert_close(torch.vmap(masked_mean)(x, mask), rows)
    torch.testing.assert_close(
        torch.compile(masked_mean, fullgraph=True, backend="eager")(x, mask), masked_mean(x, mask)
    )


def test_a_mask_is_checked():
    with pytest.raises(SpecError, match=r"masked_mean .* got x \[2\], mask \[2, 1\]"):
        masked_mean(torch.zeros(2), torch.ones(2, 1, dtype=torch.bool))
    with pytest.raises(SpecError, match=r"masked_mean .* mask is no mask"):
        masked_mean(torch.zeros(2), torch.ones(2))
