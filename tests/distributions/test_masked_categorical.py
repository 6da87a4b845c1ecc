from __future__ import annotations

import torch

from keywork.distributions import MaskedCategorical


def test_sparse_draws_and_modes_are_original_indices():
    """The field's mode was a position in the list of indices."""
    dist = MaskedCategorical(torch.tensor([9.0, 0.0, 0.0, 1.0]), indices=torch.tensor([3, 2]))
    assert dist.mode.item() == 3 and dist.mode.dtype == torch.int64
    assert sorted(dist.sample((200,)).unique().tolist()) == [2, 3]
    assert dist.mask.tolist() == [False, False, True, True]


def test_shapes_and_repr():
    dist = MaskedCategorical(torch.zeros(2, 5), mask=torch.ones(5, dtype=torch.bool))
    assert (dist.batch_shape, dist.event_shape, dist.mask.shape) == ((2,), (), (2, 5))
    assert repr(dist) == "MaskedCategorical(n=5, batch_shape=[2])"
