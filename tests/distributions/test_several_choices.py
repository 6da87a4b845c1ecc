import pytest
import torch
from torch import distributions as D

from keywork.distributions import Bernoulli, MultiCategorical


@pytest.mark.parametrize(
    "dist", [MultiCategorical(torch.zeros(2, 5), nvec=(2, 3)), Bernoulli(torch.zeros(2, 2))], ids=lambda d: repr(d)
)
def test_an_expanded_one_knows_everything_that_the_first_does(dist):
    wide = dist.expand((4, 2))
    assert type(wide) is type(dist) and repr(wide) == f"{type(dist).__name__}(batch_shape=[4, 2], event_shape=[2])"
    assert wide.support.check(wide.sample()).all()
    assert not wide.has_rsample
    assert D.kl_divergence(dist, dist).tolist() == [0.0, 0.0]
    assert dist.batch_shape == (2,)
