from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import distributions

from keywork.distributions import (
    Bernoulli,
    Categorical,
    Delta,
    IndependentNormal,
    MaskedOneHotCategorical,
    MultiCategorical,
    Ordinal,
    TanhDelta,
    form_of_samples,
)


@pytest.mark.parametrize(
    ("maker", "form"),
    [
        (Categorical, "an index"),
        (Ordinal, "an index"),
        (distributions.Categorical, "an index"),
        (MaskedOneHotCategorical, "a one-hot vector"),
        (distributions.OneHotCategorical, "a one-hot vector"),
        (MultiCategorical, "several indices"),
        (Bernoulli, "zeros and ones"),
        (partial(IndependentNormal, event_dim=0), "numbers"),
        (TanhDelta, "numbers"),
        (Delta, None),  # whatever its parameter is
        (lambda loc: Categorical(loc), None),
    ],
)
def test_the_form_of_what_is_drawn(maker, form):
    assert form_of_samples(maker) == form


def test_bits_are_members_of_their_spec_and_of_its_type():
    from keywork.specs import MultiBinary

    spec, dist = MultiBinary(4), Bernoulli(torch.zeros(5, 4))
    for value in (dist.sample(), dist.mode, dist.mean, dist.deterministic_sample):
        assert spec.is_in(value) and value.dtype is spec.dtype
    assert torch.equal(dist.log_prob(dist.mode), dist.log_prob(dist.mode.float()))
