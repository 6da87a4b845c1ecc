from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import kl_divergence

from keywork._errors import SpecError
from keywork.distributions import Delta, TanhDelta, TanhNormal

TENSORS = (torch.tensor([-3.0, 2.0]), torch.tensor([1.0, 8.0]))
BOUNDS = pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-3, 3), (0.0, 10.0), (-3.0, 1.0), (1e4, 2e4), TENSORS])


@BOUNDS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_it_is_the_tanh_normal_without_noise(bounds, dtype):
    param = (4 * torch.randn(5, 3, 2)).to(dtype)
    dist, normal = TanhDelta(param, *bounds), TanhNormal(param, torch.ones_like(param), low=bounds[0], high=bounds[1])
    for value in (dist.sample(), dist.rsample(), dist.mode, dist.mean, dist.deterministic_sample):
        assert value.dtype == dtype and torch.equal(value, normal.deterministic_sample)
    assert (dist.batch_shape, dist.event_shape) == (normal.batch_shape, normal.event_shape)


@pytest.mark.parametrize(("low", "high", "centre"), [(-1, 1, 0.0), (0, 1, 0.5), (0, 10, 5.0), (-3, 1, -1.0)])
def test_a_parameter_of_zero_is_the_centre(low, high, centre):
    """The field gives 0.731, 9.9995 and -2.52 for the bounds that are not symmetric."""
    assert TanhDelta(torch.zeros(2), low, high).mode.tolist() == pytest.approx([centre] * 2)


def test_by_hand():
    # tanh(log(3) / 2) = (3 - 1) / (3 + 1) = 1/2, so that the action is 3/4 of the way from 2 to 10.
    assert TanhDelta(torch.tensor([0.5 * math.log(3)]), 2.0, 10.0).mode.item() == pytest.approx(8.0)


@BOUNDS
@pytest.mark.parametrize("param", [-50.0, -8.0, 0.0, 8.0, 50.0])
def test_it_scores_its_own_action_however_saturated(bounds, param):
    """The field's own mode has a log-prob of -inf from |param| = 8."""
    dist = TanhDelta(torch.full((4, 2), param), *bounds, validate_args=True)
    assert dist.log_prob(dist.mode).tolist() == [math.inf] * 4
    assert dist.log_prob(dist.sample((3,))).tolist() == [[math.inf] * 4] * 3
    centre = TanhDelta(torch.full((4, 2), 0.1), *bounds).mode
    assert dist.log_prob(centre).tolist() == [-math.inf] * 4
    assert dist.entropy().tolist() == [-math.inf] * 4
    assert dist.variance.tolist() == [[0.0, 0.0]] * 4


def test_tolerances_are_of_the_action():
    dist = TanhDelta(torch.zeros(1), 0.0, 10.0, atol=0.2, rtol=0.0)
    assert [dist.log_prob(torch.tensor([a])).item() for a in (5.19, 5.21)] == [math.inf, -math.inf]
    assert dist.expand((3,)).atol == 0.2


def test_gradients_reach_the_parameter():
    param = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    for bounds in ((-2.0, 2.0), (0.0, 10.0), TENSORS):
        torch.autograd.gradcheck(lambda x, bounds=bounds: TanhDelta(x, *bounds).rsample(), (param,))
    dist = TanhDelta(param)
    assert dist.has_rsample and dist.rsample().requires_grad and not dist.sample().requires_grad


def test_shapes():
    param = torch.zeros(2, 3, 4)
    for dims, batch, event in ((None, (2, 3), (4,)), (0, (2, 3, 4), ()), (2, (2,), (3, 4)), (3, (), (2, 3, 4))):
        dist = TanhDelta(param, event_dims=dims)
        assert (dist.batch_shape, dist.event_shape) == (batch, event)
        assert dist.log_prob(dist.sample()).shape == dist.entropy().shape == batch
        assert dist.expand((7, *batch)).event_shape == event
    assert TanhDelta(0).mode.item() == 0.0
    with pytest.raises(SpecError, match="TanhDelta cannot be built: 4 event dimensions were asked for"):
        TanhDelta(param, event_dims=4)


def test_arguments():
    with pytest.raises(SpecError, match="TanhDelta cannot be built: low=1 and high=-1, which must be finite and low"):
        TanhDelta(torch.zeros(2), 1, -1)
    with pytest.raises(SpecError, match=r"TanhDelta cannot be built: a bound has shape \[3\]"):
        TanhDelta(torch.zeros(2), torch.zeros(3), torch.ones(3))
    low = torch.tensor([0.0, 2.0])
    TanhDelta(torch.zeros(2), low, torch.ones(2))
    with pytest.raises(SpecError, match=r"TanhDelta: low of shape \[2\] is invalid at 1 of 2 places"):
        TanhDelta(torch.zeros(2), low, torch.ones(2), validate_args=True)
    with pytest.raises(SpecError, match="TanhDelta: param of shape"):
        TanhDelta(torch.tensor([torch.nan]), validate_args=True)
    with pytest.raises(SpecError, match="TanhDelta: value of shape"):
        TanhDelta(torch.zeros(2), validate_args=True).log_prob(torch.full((2,), 1.5))


def test_divergence():
    p = TanhDelta(torch.tensor([[0.0], [1.0]]), 0.0, 10.0)
    assert kl_divergence(p, TanhDelta(torch.zeros(2, 1), 0.0, 10.0)).tolist() == [0.0, math.inf]
    # The actions are what is compared: a zero is the centre of both bounds, and a plain point may be there too.
    assert kl_divergence(p, TanhDelta(torch.zeros(2, 1), 4.0, 6.0)).tolist() == [0.0, math.inf]
    assert kl_divergence(Delta(torch.full((2, 1), 5.0)), p).tolist() == [0.0, math.inf]


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 10.0)])
def test_torch_compile(bounds):
    def call(param):
        dist = TanhDelta(param, *bounds)
        return dist.rsample(), dist.log_prob(dist.mode)

    param = torch.randn(4, 2)
    for output, expected in zip(torch.compile(call, fullgraph=True, backend="eager")(param), call(param), strict=True):
        torch.testing.assert_close(output, expected)
