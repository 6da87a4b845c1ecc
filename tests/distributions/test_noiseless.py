import pytest
import torch
from torch import distributions as D

from keywork.distributions import IndependentNormal
from keywork.distributions._noiseless import noiseless


@pytest.mark.parametrize("kind", ["mode", "mean", "deterministic"])
def test_of_ours_and_of_torchs(kind):
    loc, scale = torch.tensor([1.0, 2.0]), torch.ones(2)
    assert noiseless(IndependentNormal(loc, scale), kind).tolist() == [1.0, 2.0]
    assert noiseless(D.Normal(loc, scale), kind).tolist() == [1.0, 2.0]
    # Of a coin of 0.8 the mean is no side of it.
    assert noiseless(D.Bernoulli(torch.tensor(0.8)), kind).item() == 1.0
