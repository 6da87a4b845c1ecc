from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, Normal

from keywork._errors import SpecError
from keywork.distributions import IndependentNormal


def test_it_agrees_with_torch():
    loc = torch.linspace(-3, 3, 12, dtype=torch.float64).view(2, 3, 2)
    scale = torch.linspace(0.1, 5, 12, dtype=torch.float64).view(2, 3, 2)
    ours, theirs = IndependentNormal(loc, scale), Independent(Normal(loc, scale), 1)
    value = theirs.sample((4,))
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.variance, theirs.variance)
    torch.testing.assert_close(ours.stddev, scale)
    assert ours.mean is ours.mode is ours.deterministic_sample


def test_by_hand():
    # Two dimensions, loc 0 and 1, scale 1 and 2, at (1, 1): z = (1, 0), so that
    # log p = -1/2 - 0 - (log 1 + log 2) - 2 * log(2 pi) / 2.
    dist = IndependentNormal(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    expected = -0.5 - math.log(2) - math.log(2 * math.pi)
    assert dist.log_prob(torch.ones(2)).item() == pytest.approx(expected)


@pytest.mark.parametrize(("event_dim", "batch", "event"), [(0, (2, 3, 4), ()), (2, (2,), (3, 4)), (3, (), (2, 3, 4))])
def test_any_number_of_dimensions_makes_an_event(event_dim, batch, event):
    loc = torch.arange(24.0).view(2, 3, 4)
    dist = IndependentNormal(loc, torch.ones(2, 3, 4), event_dim=event_dim)
    assert (dist.batch_shape, dist.event_shape) == (batch, event)
    expected = Independent(Normal(loc, 1.0), event_dim)
    value = loc + 0.5
    torch.testing.assert_close(dist.log_prob(value), expected.log_prob(value))
    torch.testing.assert_close(dist.entropy(), expected.entropy())


def test_numbers_and_smaller_scales_are_broadcast():
    assert IndependentNormal(0.0, 1.0).sample().shape == ()
    assert IndependentNormal(torch.zeros(4, 2), 0.5).variance.tolist() == [[0.25, 0.25]] * 4
    assert IndependentNormal(torch.zeros(4, 2), torch.tensor([1.0, 2.0])).scale.shape == (4, 2)
    assert IndependentNormal(torch.zeros(2, dtype=torch.int64), 1).loc.dtype == torch.float32


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(SpecError) as error:
        IndependentNormal(torch.zeros(4, 2), torch.ones(3))
    assert str(error.value) == (
        "IndependentNormal cannot be built: loc has shape [4, 2] and scale [3], which do not broadcast. Give them the "
        "same shape, or a scale of one number."
    )
    with pytest.raises(
        SpecError, match=r"2 event dimensions were asked for, .* shape \[4\]. Pass a number from 0 to 1"
    ):
        IndependentNormal(torch.zeros(4), torch.ones(4), event_dim=2)


def test_tanh_loc_bounds_the_location_from_the_start():
    """The field's class ignores tanh_loc in its constructor: it gives 100 here."""
    dist = IndependentNormal(torch.tensor([100.0]), torch.ones(1), tanh_loc=True)
    assert dist.mode.item() == pytest.approx(5.0)
    assert IndependentNormal(torch.tensor([100.0]), 1.0, tanh_loc=True, upscale=2.0).mode.item() == pytest.approx(2.0)
    # Expanding does not squeeze it a second time: 5 tanh(1) = 3.8080.
    dist = IndependentNormal(torch.tensor([5.0]), 1.0, tanh_loc=True).expand((3,))
    torch.testing.assert_close(dist.mode, torch.full((3, 1), 5 * math.tanh(1.0)))


def test_the_joint_score_keeps_its_digits_at_a_scale_below_the_spacing_of_floats():
    """Around 50 floats are 3.8e-6 apart: (value - loc) / scale is noise at a scale of 1e-6, the joint score is not."""
    dist = IndependentNormal(torch.full((1000, 1), 50.0), torch.full((1000, 1), 1e-6))
    for joint in (dist.sample_and_log_prob, dist.rsample_and_log_prob):
        _, log_prob = joint(generator=torch.Generator().manual_seed(0))
        noise = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float32).double()
        expected = Normal(0.0, 1.0).log_prob(noise).sum(-1) - math.log(1e-6)
        torch.testing.assert_close(log_prob.double(), expected, atol=1e-4, rtol=0.0)


def test_gradients_are_right():
    loc = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    scale = (torch.rand(3, 2, dtype=torch.float64) + 0.3).requires_grad_()
    value = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda *p: IndependentNormal(*p[:2]).log_prob(p[2]), (loc, scale, value))
    torch.autograd.gradcheck(lambda *p: IndependentNormal(*p).entropy(), (loc, scale))

    def drawn(*params):
        return IndependentNormal(*params).rsample_and_log_prob((4,), generator=torch.Generator().manual_seed(3))

    torch.autograd.gradcheck(drawn, (loc, scale))
