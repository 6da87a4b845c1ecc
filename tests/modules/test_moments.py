from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from keywork._errors import NonFiniteError
from keywork.modules._moments import Moments


def merged(*batches):
    moments = Moments(tuple(batches[0].shape[1:]))
    for batch in batches:
        moments.update(batch, "x")
    return moments


def test_the_moments_are_those_of_all_rows_together():
    # 1, 2, 3, 10: mean 4; variance (9 + 4 + 1 + 36) / 4 = 12.5
    moments = merged(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0]]), torch.tensor([[10.0]]))
    assert [moments.mean.item(), moments.var.item(), moments.count.item()] == [4.0, 12.5, 4]


def test_before_any_row_nothing_is_shifted_or_scaled():
    moments = merged(torch.zeros(0, 2))
    assert moments.mean.tolist() == [0.0, 0.0] and moments.var.tolist() == [1.0, 1.0] and moments.count == 0


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 1000))
def test_how_rows_are_cut_into_batches_does_not_matter(sizes, seed):
    rows = torch.randn(sum(sizes), 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    moments = merged(*rows.split(sizes))
    torch.testing.assert_close(moments.mean, rows.mean(0), atol=1e-12, rtol=0)
    torch.testing.assert_close(moments.var, rows.var(0, correction=0), atol=1e-12, rtol=0)
    assert moments.count == len(rows)


def test_as_the_formula_of_stable_baselines_has_it():
    # Their update_from_moments, from a count of zero: ours has no rows to begin with, theirs 1e-4 of one.
    rng = np.random.default_rng(0)
    mean, var, count = np.zeros(3), np.ones(3), 0.0
    moments = Moments((3,))
    for size in (1, 5, 2, 100):
        rows = rng.normal(3.0, [1.0, 10.0, 0.1], (size, 3))
        delta, total = rows.mean(0) - mean, count + size
        squares = var * count + rows.var(0) * size + delta**2 * count * size / total
        mean, var, count = mean + delta * size / total, squares / total, total
        moments.update(torch.from_numpy(rows), "x")
        np.testing.assert_allclose(moments.mean.numpy(), mean, rtol=1e-13)
        np.testing.assert_allclose(moments.var.numpy(), var, rtol=1e-13)


def test_a_small_spread_on_a_large_mean_is_not_lost():
    # A difference of sums of squares, of about 1e16 each, would have no digit of the variance left.
    rows = 1e8 + torch.tensor([[-1.0], [1.0]], dtype=torch.float64).repeat(500, 1)
    moments = merged(*rows.split(10))
    assert moments.mean.item() == 1e8 and moments.var.item() == pytest.approx(1.0, abs=1e-6)


def test_single_precision_counts_on():
    # 2²⁴ + 1 is no float32, and no float16 is above 65504.
    moments = Moments(()).half()
    moments.update(torch.zeros(3), "x")
    moments.count.fill_(2**24)
    moments.update(torch.full((1,), 1e6), "x")
    assert moments.count == 2**24 + 1 and moments.mean > 0
    assert {buffer.dtype for buffer in moments.float().buffers()} == {torch.float64, torch.int64}


def test_a_number_that_is_not_finite_is_refused_and_changes_nothing():
    moments = merged(torch.tensor([1.0, 3.0]))
    for bad in (torch.nan, torch.inf):
        with pytest.raises(NonFiniteError) as raised:
            moments.update(torch.tensor([bad, 0.0]), "'observation'")
    assert str(raised.value) == (
        "the running mean and variance of 'observation' cannot be updated: not every number is finite.\n"
        "  where: 'observation'\n"
        "  expected: finite numbers\n"
        "  got: 1 of 2 numbers that are NaN or infinite\n"
        "  fix: look for where they come from; skipping them would hide it"
    )
    assert [moments.mean, moments.var, moments.count] == [2.0, 1.0, 2]


def test_frozen_ones_stay_and_a_copy_goes_its_own_way():
    moments = merged(torch.tensor([1.0, 3.0]))
    other = copy.deepcopy(moments)
    moments.frozen = True
    for each in (moments, other):
        each.update(torch.tensor([8.0]), "x")
    assert [moments.mean.item(), other.mean.item()] == [2.0, 4.0]


def test_those_of_an_ensemble_are_updated_together():
    # What EnsembleModule does: the buffers of all members, stacked in front.
    one, other = merged(torch.tensor([[0.0, 2.0]])), merged(torch.tensor([[4.0, 6.0], [8.0, 10.0]]))
    both = Moments((2,))
    for name in ("mean", "var", "count"):
        setattr(both, name, torch.stack([getattr(one, name), getattr(other, name)]))
    rows = torch.randn(3, 2)
    for each in (one, other, both):
        each.update(rows, "x")
    for name in ("mean", "var", "count"):
        torch.testing.assert_close(getattr(both, name), torch.stack([getattr(one, name), getattr(other, name)]))
