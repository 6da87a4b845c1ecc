from __future__ import annotations

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keywork._errors import SpecError
from keywork.distributions import TanhNormal

mpmath.mp.dps = 40


def exact_score(loc, scale, u, half=1.0) -> float:
    """log p of the action whose value before the tanh is u, with 40 digits."""
    loc, scale, u = (mpmath.mpf(float(x)) for x in (loc, scale, u))
    normal = -(((u - loc) / scale) ** 2) / 2 - mpmath.log(scale) - mpmath.log(2 * mpmath.pi) / 2
    slope = 2 * (mpmath.log(2) - abs(u) - mpmath.log1p(mpmath.exp(-2 * abs(u))))
    return float(normal - mpmath.log(half) - slope)


def column(value, rows=200, dtype=torch.float32):
    return torch.full((rows, 1), value, dtype=dtype)


def test_by_hand():
    # u = artanh(0.5) = log(3) / 2 = 0.549306; N(u; 0, 1): -0.150869 - 0.918939 = -1.069807; da/du = 1 - 0.25:
    # -log 0.75 = 0.287682. Together -0.782125.
    dist = TanhNormal(torch.zeros(1), torch.ones(1))
    assert dist.log_prob(torch.tensor([0.5])).item() == pytest.approx(-0.782125, abs=1e-6)
    # Twice the bounds: half the density everywhere.
    wide = TanhNormal(torch.zeros(1), torch.ones(1), low=-2, high=2)
    assert wide.log_prob(torch.tensor([1.0])).item() == pytest.approx(-0.782125 - math.log(2), abs=1e-6)
    # And moved: [0, 10] has its centre at 5 and a half of 5.
    moved = TanhNormal(torch.zeros(1), torch.ones(1), low=0, high=10)
    assert moved.log_prob(torch.tensor([7.5])).item() == pytest.approx(-0.782125 - math.log(5), abs=1e-6)


def test_it_agrees_with_torchs_transformed_distribution():
    loc, scale = torch.randn(3, 2, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64) + 0.3
    base = torch.distributions.Independent(torch.distributions.Normal(loc, scale), 1)
    squash = [torch.distributions.TanhTransform(), torch.distributions.AffineTransform(1.0, 3.0)]
    theirs = torch.distributions.TransformedDistribution(base, squash)
    for bounds in ((-2.0, 4.0), (torch.tensor(-2.0), torch.tensor([4.0, 4.0]))):
        ours = TanhNormal(loc, scale, low=bounds[0], high=bounds[1])
        value = ours.sample((5,))
        torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 1.0, 30.0, 1e3])
@pytest.mark.parametrize("loc", [0.0, 0.3, -4.0, 8.0, -20.0, 50.0])
def test_the_joint_score_is_exact_everywhere(loc, scale):
    """Within 1e-3 of the truth (the field's separate score at loc 50 is −91 373 instead of 99.97)."""
    noise = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    for bounds, half in (((-1.0, 1.0), 1.0), ((-2.5, 2.5), 2.5), ((0.0, 10.0), 5.0), ((-1e4, 3e4), 2e4)):
        dist = TanhNormal(column(loc), column(scale), low=bounds[0], high=bounds[1])
        for joint in (dist.sample_and_log_prob, dist.rsample_and_log_prob):
            action, log_prob = joint(generator=torch.Generator().manual_seed(0))
            assert dist.support.check(action).all()
            for i in range(0, 200, 40):
                u = loc + float(torch.tensor(scale)) * float(noise[i])
                truth = exact_score(loc, torch.tensor(scale), u, half)
                # Beyond |score| = 2000 the spacing of floats is all that is left.
                assert log_prob[i].item() == pytest.approx(truth, abs=1e-3, rel=3e-7)


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float64, 16.0), (torch.float32, 6.0), (torch.float16, 2.0), (torch.bfloat16, 1.0)]
)
def test_stored_actions_are_scored_within_a_hundredth_as_far_as_documented(dtype, limit):
    locs = torch.linspace(-limit, limit, 41, dtype=torch.float64).unsqueeze(-1)
    actions = torch.tanh(locs).to(dtype)
    dist = TanhNormal(locs, torch.ones_like(locs))
    for loc, action, score in zip(locs.flatten().tolist(), actions, dist.log_prob(actions.double()), strict=True):
        assert action.abs() < 1
        assert score.item() == pytest.approx(exact_score(loc, 1.0, loc), abs=1e-2)
    # In the type itself: the parameters are exactly representable, the action is what was stored.
    for loc in range(int(limit) + 1):
        dist = TanhNormal(torch.tensor([float(loc)], dtype=dtype), torch.ones(1, dtype=dtype))
        action = torch.tanh(torch.tensor([float(loc)], dtype=torch.float64)).to(dtype)
        assert dist.log_prob(action).item() == pytest.approx(exact_score(loc, 1.0, loc), abs=1e-2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bounds", [(-2.5, 2.5), (0.0, 10.0), (2.0, 3.0), (100.0, 101.0), (-1e4, 3e4), (-48.0, 0.5)])
def test_with_any_bounds_a_stored_action_is_scored_as_well_as_it_was_stored(bounds, dtype):
    """u is found to cosh²(u) · gap / half, with the gap between the floats at the bound that is larger in size."""
    low, high = bounds
    half, largest = (high - low) / 2, torch.tensor(max(-low, high), dtype=dtype)
    gap = float(largest - torch.nextafter(largest, torch.zeros((), dtype=dtype)))
    for target in torch.linspace(-5, 5, 41, dtype=torch.float64).tolist():
        action = torch.tensor([low + half * (math.tanh(target) + 1)], dtype=torch.float64).to(dtype)
        if low < action.item() < high:
            # A narrow scale around the true u shows by how much the one that was found differs.
            dist = TanhNormal(torch.tensor([target], dtype=torch.float64), torch.tensor([1e-3]), low=low, high=high)
            off = math.sqrt(max(0.0, 2e-6 * (exact_score(target, dist.scale, target, half) - dist.log_prob(action))))
            assert off < math.cosh(target) ** 2 * gap / half + 1e-4


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-2.5, 2.5), (0.5, 10.0), (100.0, 101.0), (-1e4, 3e4)])
def test_the_numbers_next_to_the_bounds_are_scored_as_what_they_are(bounds):
    """Not as the bound: between two of them u differs by ½ log 2 = 0.35, which is worth up to 1 in a score."""
    low, high = (torch.tensor(bound) for bound in bounds)
    half = (bounds[1] - bounds[0]) / 2
    for inside in (torch.nextafter(low, high), torch.nextafter(high, low)):
        u = float(mpmath.atanh((2 * mpmath.mpf(inside.item()) - bounds[0] - bounds[1]) / (2 * half)))
        score = TanhNormal(torch.tensor([u / 2]), torch.ones(1), low=bounds[0], high=bounds[1]).log_prob(inside.view(1))
        assert score.item() == pytest.approx(exact_score(u / 2, 1.0, u, half), abs=1.0)
        for scale in (1e-3, 1.0, 1e3):
            params = [torch.tensor([x]).requires_grad_() for x in (u, scale, inside.item())]
            score = TanhNormal(*params[:2], low=bounds[0], high=bounds[1]).log_prob(params[2])
            assert all(gradient.isfinite() for gradient in torch.autograd.grad(score, params))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 10.0), (-3.0, 1.0)])
def test_in_half_precision_the_joint_score_is_as_exact(bounds, dtype):
    noise = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    for loc in (0.0, -8.0, 50.0):
        for scale in (1e-3, 0.1, 1.0, 30.0, 1e3):
            dist = TanhNormal(column(loc, dtype=dtype), column(scale, dtype=dtype), low=bounds[0], high=bounds[1])
            action, score = dist.rsample_and_log_prob(generator=torch.Generator().manual_seed(0))
            assert action.dtype == dtype and score.dtype == torch.float32
            assert dist.log_prob(action).isfinite().all()
            for i in range(0, 200, 50):
                spread = float(dist.scale[0])
                truth = exact_score(loc, spread, loc + spread * float(noise[i]), (bounds[1] - bounds[0]) / 2)
                assert score[i].item() == pytest.approx(truth, abs=1e-3, rel=3e-7)
            for value in (dist.mean, dist.mode, dist.deterministic_sample):
                assert value.dtype == dtype and dist.support.check(value.double()).all()


@pytest.mark.parametrize("loc", [-5.0, -10.0, -20.0, -40.0])
def test_next_to_a_lower_bound_of_zero_actions_keep_their_digits(loc):
    dist = TanhNormal(column(loc), column(0.1), low=0.0, high=10.0)
    action, joint = dist.sample_and_log_prob(generator=torch.Generator().manual_seed(0))
    assert (action > 0).all()
    torch.testing.assert_close(dist.log_prob(action), joint, atol=1e-2, rtol=0)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-2.0, 2.0), (0.5, 3.0), (torch.tensor([-1.0]), torch.tensor([1.0]))])
@pytest.mark.parametrize("loc", [8.0, 8.9, 10.0, 20.0, 50.0, -50.0])
def test_a_saturated_policy_scores_its_own_stored_actions_plausibly(loc, bounds):
    """The field: −13.8, ..., −91 373 with a gradient of up to 1.8e6 for the scale of 0.1."""
    scale = column(0.1).requires_grad_()
    dist = TanhNormal(column(loc), scale, low=bounds[0], high=bounds[1])
    with torch.no_grad():
        action, joint = dist.sample_and_log_prob(generator=torch.Generator().manual_seed(0))
    score = dist.log_prob(action)
    # All that is unknown is where in the cell of the rounded action u was: some scales, each worth a few units.
    assert (score - joint).abs().max() < 20
    (gradient,) = torch.autograd.grad(score.sum(), scale)
    assert gradient.abs().max() < 500


def test_an_action_on_a_bound_is_scored_at_the_nearest_u_beyond():
    edge = math.atanh(1 - 2**-24)
    for loc in (0.0, 3.0, -50.0):  # loc is nearer to the centre, or on the other side: the edge of the cell
        score = TanhNormal(torch.tensor([loc]), torch.ones(1)).log_prob(torch.ones(1))
        assert score.item() == pytest.approx(exact_score(loc, 1.0, edge), rel=1e-6)
    for loc in (9.0, 50.0):  # loc is in the cell
        dist = TanhNormal(torch.tensor([loc, -loc]), torch.ones(2), event_dims=0)
        for score in dist.log_prob(torch.tensor([1.0, -1.0])):
            assert score.item() == pytest.approx(exact_score(loc, 1.0, loc), rel=1e-6)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 10.0)])
def test_gradients_at_the_boundary_are_finite(bounds):
    loc, scale = torch.tensor([0.5, -30.0]).requires_grad_(), torch.ones(2).requires_grad_()
    for edge in bounds:
        value = torch.full((2,), edge).requires_grad_()
        score = TanhNormal(loc, scale, low=bounds[0], high=bounds[1]).log_prob(value)
        assert score.isfinite()
        for gradient in torch.autograd.grad(score, (loc, scale, value)):
            assert gradient.isfinite().all()


def test_values_outside_the_bounds_have_no_density():
    """The field gives them the finite score of the bound."""
    loc, scale = torch.zeros(5, 2, requires_grad=True), torch.ones(5, 2)
    value = torch.tensor([[0.0, 1.0], [0.0, 1.0000001], [-3.0, 0.0], [0.0, torch.inf], [-1.0, 1.0]])
    score = TanhNormal(loc, scale).log_prob(value)
    assert score.isfinite().tolist() == [True, False, False, False, True]
    assert (score[1:4] == -torch.inf).all()
    # A probability ratio of it is zero and gives no NaN.
    (gradient,) = torch.autograd.grad(score.exp().sum(), loc)
    assert gradient.isfinite().all()
    tensors = TanhNormal(loc, scale, low=torch.tensor([-1.0, -1.0]), high=torch.tensor(1.0))
    torch.testing.assert_close(tensors.log_prob(value), score, atol=1e-5, rtol=1e-6)


def test_a_nan_action_is_not_hidden():
    assert TanhNormal(torch.zeros(1), torch.ones(1)).log_prob(torch.tensor([torch.nan])).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_bound_that_the_type_cannot_represent_is_still_inside(dtype):
    """0.3 in float16 is 0.30005: an action on the bound must not count as outside."""
    for low, high in ((-0.3, 0.3), (0.1, 0.3), (-0.7, 0.1)):
        dist = TanhNormal(torch.tensor([30.0, -30.0], dtype=dtype), torch.ones(2, dtype=dtype), low=low, high=high)
        action = dist.deterministic_sample
        assert action.tolist() == torch.tensor([high, low], dtype=dtype).tolist()
        assert dist.log_prob(action).isfinite()


def test_tanh_loc_is_centred_for_any_bounds():
    """The field adds the centre before the tanh: 9.9995 instead of 5 for a location of zero on [0, 10]."""
    dist = TanhNormal(torch.zeros(1), torch.ones(1), low=0.0, high=10.0, tanh_loc=True)
    assert dist.deterministic_sample.item() == pytest.approx(5.0)
    loc = TanhNormal(torch.tensor([3.0]), torch.ones(1), low=-2, high=7, tanh_loc=True, upscale=2.0).loc
    assert loc.item() == pytest.approx(2 * math.tanh(1.5))


def test_the_deterministic_action_is_the_median():
    loc, scale = torch.tensor([0.7, -2.0]), torch.tensor([0.9, 2.0])
    dist = TanhNormal(loc, scale, low=-3.0, high=5.0)
    draws = dist.sample((20_001,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.median(0).values, dist.deterministic_sample, atol=0.1, rtol=0)
    torch.testing.assert_close(dist.deterministic_sample, 1 + 4 * loc.tanh())


def test_mean_variance_and_entropy_agree_with_draws():
    loc, scale = torch.tensor([[0.7, -2.0], [0.0, 4.0]]), torch.tensor([[0.9, 2.0], [0.05, 1.0]])
    for bounds in ((-1.0, 1.0), (-4.0, 4.0), (torch.tensor([0.0, -9.0]), torch.tensor([1.0, 2.0]))):
        dist = TanhNormal(loc, scale, low=bounds[0], high=bounds[1])
        draws, scores = dist.sample_and_log_prob((100_000,), generator=torch.Generator().manual_seed(0))
        error = draws.std(0) / math.sqrt(100_000)
        assert ((draws.mean(0) - dist.mean).abs() < 4 * error).all()
        torch.testing.assert_close(draws.var(0), dist.variance, rtol=0.03, atol=1e-5)
        torch.testing.assert_close(-scores.mean(0), dist.entropy(), atol=4 * scores.std().item() / 316, rtol=0)


def test_entropy_by_brute_force():
    """−∫ p log p over the action, by the midpoint rule on a million points."""
    dist = TanhNormal(
        torch.tensor([0.4], dtype=torch.float64), torch.tensor([0.6], dtype=torch.float64), low=-1, high=3
    )
    a = -1 + 4 * (torch.arange(1_000_000, dtype=torch.float64).unsqueeze(-1) + 0.5) / 1_000_000
    log_p = dist.log_prob(a)
    assert dist.entropy().item() == pytest.approx(-(log_p.exp() * log_p).mean().item() * 4, abs=2e-6)


def test_the_mode_has_the_highest_density():
    """The field has no mode, or two hundred steps of Adam."""
    loc, scale = torch.tensor([0.0, 0.3, -1.2, 4.0, 0.0, -0.01]), torch.tensor([0.5, 0.7, 1.5, 0.2, 2.0, 1.0])
    dist = TanhNormal(loc.double(), scale.double(), low=-2.0, high=2.0, event_dims=0)
    grid = torch.linspace(-2, 2, 200_001, dtype=torch.float64)[1:-1].unsqueeze(-1)
    best = dist.log_prob(grid.expand(-1, 6)).max(0)
    assert (dist.log_prob(dist.mode) >= best.values - 1e-9).all()
    grid_mode = grid.squeeze(-1)[best.indices]
    grid_mode[4] = grid_mode[4].abs()  # a tie: the one towards high
    torch.testing.assert_close(dist.mode, grid_mode, atol=1e-4, rtol=0)


def test_one_type_of_error_names_bad_bounds():
    for low, high in ((1.0, 1.0), (2, -2), (-math.inf, 1.0), (math.nan, 1.0)):
        with pytest.raises(SpecError, match=r"TanhNormal cannot be built: low=.* must be finite and low below high"):
            TanhNormal(torch.zeros(2), torch.ones(2), low=low, high=high)
    with pytest.raises(SpecError, match=r"a bound has shape \[3\], which does not broadcast to that of loc, \[4, 2\]"):
        TanhNormal(torch.zeros(4, 2), torch.ones(4, 2), low=torch.zeros(3), high=1.0)
    with pytest.raises(SpecError, match=r"low of shape \[2\] is invalid at 1 of 2 places; the first is index \[1\]"):
        TanhNormal(torch.zeros(2), torch.ones(2), low=torch.tensor([0.0, 1.0]), high=torch.ones(2), validate_args=True)


def test_bounds_are_numbers_lists_arrays_or_tensors():
    loc = torch.full((4, 2), 30.0)
    for low, high in (([-1.0, -2.0], [1.0, 2.0]), (torch.tensor([-1, -2]), torch.tensor([1, 2]))):
        dist = TanhNormal(loc, 1.0, low=low, high=high)
        assert dist.deterministic_sample[0].tolist() == [1.0, 2.0]
    assert TanhNormal(loc, 1.0, low=-3, high=3).high == 3.0


def test_the_support_is_an_interval():
    support = TanhNormal(torch.zeros(2), torch.ones(2), low=0.0, high=2.0).support
    assert support.check(torch.tensor([[0.0, 2.0], [1.0, 2.1]])).tolist() == [True, False]


def test_event_dims():
    loc = torch.randn(2, 3, 4, dtype=torch.float64)
    one = TanhNormal(loc, 0.5)
    value = one.sample()
    for dims, reduce in ((0, ()), (2, (1, 2)), (3, (0, 1, 2))):
        dist = TanhNormal(loc, 0.5, event_dims=dims)
        assert dist.event_shape == loc.shape[3 - dims :] and dist.batch_shape == loc.shape[: 3 - dims]
        single = TanhNormal(loc, 0.5, event_dims=0)
        expected = single.log_prob(value).sum(reduce) if reduce else single.log_prob(value)
        torch.testing.assert_close(dist.log_prob(value), expected)
    assert TanhNormal(0.0, 1.0).log_prob(torch.tensor(0.5)).shape == ()


def test_an_integer_action_is_a_value_like_another():
    dist = TanhNormal(torch.zeros(2), torch.ones(2), low=-4, high=4)
    assert dist.log_prob(torch.tensor([1, -2])) == dist.log_prob(torch.tensor([1.0, -2.0]))


@settings(max_examples=60, deadline=None)
@given(
    loc=st.floats(-30, 30, allow_subnormal=False),
    scale=st.floats(1e-3, 30),
    low=st.floats(-100, 99),
    width=st.floats(0.1, 100),
)
def test_laws(loc, scale, low, width):
    """Draws stay inside, the density mirrors with the parameters, and moving the bounds moves only the action."""
    at = {"dtype": torch.float64}
    mean, spread = torch.tensor([loc], **at), torch.tensor([scale], **at)
    dist, mirrored = (
        TanhNormal(mean, spread, low=low, high=low + width),
        TanhNormal(-mean, spread, low=-low - width, high=-low),
    )
    unit = TanhNormal(mean, spread)
    u = torch.linspace(-3, 3, 7, **at).unsqueeze(-1)
    a = low + width * torch.sigmoid(2 * u)
    assert dist.support.check(dist.sample((20,))).all()
    torch.testing.assert_close(dist.log_prob(a), mirrored.log_prob(-a), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(dist.log_prob(a), unit.log_prob(u.tanh()) - math.log(width / 2), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(dist.entropy(), unit.entropy() + math.log(width / 2))
    torch.testing.assert_close(dist.mean, low + width * (unit.mean + 1) / 2)
    torch.testing.assert_close(dist.mode, low + width * (unit.mode + 1) / 2)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-3.0, 3.0), (-1.0, 4.0)])
def test_gradients_are_right(bounds):
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(3, 2, dtype=torch.float64, generator=generator).requires_grad_()
    scale = (torch.rand(3, 2, dtype=torch.float64, generator=generator) + 0.3).requires_grad_()
    value = TanhNormal(loc, scale, low=bounds[0], high=bounds[1]).sample(generator=generator).requires_grad_()

    def of(name):
        return lambda *params: getattr(TanhNormal(*params, low=bounds[0], high=bounds[1]), name)

    def drawn(*params):
        return TanhNormal(*params, low=bounds[0], high=bounds[1]).rsample_and_log_prob(
            (2,), generator=torch.Generator().manual_seed(3)
        )

    torch.autograd.gradcheck(
        lambda *p: TanhNormal(*p[:2], low=bounds[0], high=bounds[1]).log_prob(p[2]), (loc, scale, value)
    )
    torch.autograd.gradcheck(drawn, (loc, scale))
    torch.autograd.gradcheck(lambda *p: of("entropy")(*p)(), (loc, scale))
    for name in ("mean", "variance", "mode", "deterministic_sample"):
        torch.autograd.gradcheck(of(name), (loc, scale), atol=1e-4)


def test_the_gradient_at_the_very_centre_is_right():
    value = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    dist = TanhNormal(
        torch.tensor([0.2], dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64), low=-1.0, high=4.0
    )
    torch.autograd.gradcheck(dist.log_prob, (value,))
