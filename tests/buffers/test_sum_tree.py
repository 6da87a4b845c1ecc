"""The sum tree against a plain cumulative sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keywork.buffers._sum_tree import SumTree


@pytest.mark.parametrize("size", [1, 15, 17, 4096, 4097, 70_000, 1_100_000])
def test_it_finds_what_a_cumulative_sum_finds(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    # Small whole numbers: all sums are exact, in whatever order.
    weights = torch.randint(0, 4, (size,), generator=generator).double()
    weights[size // 2] = 1.0
    tree = SumTree(size)
    tree.set(torch.arange(size), weights)
    assert tree.total == float(weights.sum())
    fraction = torch.rand(2000, generator=generator, dtype=torch.float64)
    expected = np.searchsorted(weights.cumsum(0).numpy(), (fraction * tree.total).numpy(), side="right")
    index, weight = tree.find(fraction)
    assert index.tolist() == expected.tolist()
    assert torch.equal(weight, weights[index])


@given(
    size=st.sampled_from([5, 100, 5000, 70_001]),
    writes=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e6)), max_size=12),
)
@settings(max_examples=40, deadline=None)
def test_sums_stay_those_of_the_weights(size: int, writes: list[tuple[float, float, float]]) -> None:
    tree, model = SumTree(size), np.zeros(size)
    for number, (a, b, weight) in enumerate(writes):
        start, stop = sorted((int(a * (size - 1)), int(b * (size - 1))))
        if number % 2:
            tree.fill(start, stop + 1, weight)
            model[start : stop + 1] = weight
        else:
            tree.set(
                torch.tensor([start, stop, stop]), torch.tensor([weight, weight + 1, weight + 1], dtype=torch.float64)
            )
            model[start] = weight
            model[stop] = weight + 1
            if start == stop:
                assert float(tree.weights[stop]) in (weight, weight + 1)
                model[stop] = float(tree.weights[stop])
    assert tree.weights[:size].tolist() == model.tolist()
    for below, above in zip(tree._levels, tree._levels[1:], strict=False):
        sums = below.reshape(-1, 16).sum(1)
        np.testing.assert_allclose(above[: sums.size], sums, rtol=1e-14)
        assert not above[sums.size :].any()


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e90])
def test_a_weight_of_zero_is_never_found(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(70_000, generator=generator, dtype=torch.float64).pow(20) * scale
    weights[torch.rand(70_000, generator=generator) < 0.9] = 0.0
    tree = SumTree(70_000)
    tree.set(torch.arange(70_000), weights)
    edges = (weights.cumsum(0) / weights.sum()).clamp(max=1 - 2**-53)
    for fraction in (edges, torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)):
        index, weight = tree.find(fraction)
        assert (weight > 0).all()
        assert torch.equal(weight, weights[index])


def test_where_products_of_matrices_round_badly_it_still_finds_no_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sums that say of each second weight, all of them zero, that there is a little more after it than before it.
    uneven = np.triu(np.ones((16, 16)), 1) * (1 + 1e-9 * (np.arange(16) % 2 == 0))
    monkeypatch.setattr("keywork.buffers._sum_tree._BEFORE", uneven)
    weights = torch.ones(1000, dtype=torch.float64)
    weights[1::2] = 0.0
    tree = SumTree(1000)
    tree.set(torch.arange(1000), weights)
    fraction = torch.rand(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fraction[0] = (1 + 5e-10) / 500  # after row 0, and before what is said to be the end of row 1
    index, weight = tree.find(fraction)
    assert (weight == 1).all()
    expected = (fraction * 500).floor().long() * 2
    assert torch.equal(index, expected)
