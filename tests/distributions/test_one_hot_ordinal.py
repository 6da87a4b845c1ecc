from __future__ import annotations

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import OneHotOrdinal


def test_shapes_and_straight_through_samples():
    scores = torch.randn(2, 3, requires_grad=True)
    dist = OneHotOrdinal(scores)
    assert (dist.batch_shape, dist.event_shape, dist.has_rsample) == ((2,), (3,), False)
    draw = dist.rsample((50,))
    assert ((draw == 0) | (draw == 1)).all() and (draw.sum(-1) == 1).all()
    (gradient,) = torch.autograd.grad(draw[0, :, 2].sum(), scores)
    # Every score votes for the last choice, except the first one, which is the same for all.
    assert (gradient[:, 1:] > 0).all() and gradient[:, 0].abs().max() < 1e-6


def test_an_index_is_refused():
    with pytest.raises(SpecError, match=r"It looks like an index: .* or use Ordinal\."):
        OneHotOrdinal(torch.zeros(2, 3)).log_prob(torch.tensor([1, 2]))
