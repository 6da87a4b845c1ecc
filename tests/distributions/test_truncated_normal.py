from __future__ import annotations

import itertools
import math

import mpmath
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from keywork._errors import SpecError
from keywork.distributions import IndependentNormal, TruncatedNormal

LOCS = [0.0, 0.3, -0.9, 1.001, 3.0, -4.0, 8.0, -20.0, 50.0]
SCALES = [1e-6, 1e-3, 0.1, 1.0, 30.0, 1e3]
BOUNDS = [(-1.0, 1.0), (0.0, 10.0), (0.25, 0.5), (-1e4, 3e4), (100.0, 101.0), (-1e4, 2**-13)]
TENSORS = (torch.tensor([-1.0, 2.0]), torch.tensor([0.5, 8.0]))


def exact(loc, scale, low, high):
    """Moments of ξ = (x − loc) / scale from the recurrence, and log Z, with 170 digits."""
    side = -1 if 2 * loc > low + high else 1
    a, b = sorted(side * (mpmath.mpf(bound) - loc) / scale for bound in (low, high))
    z = (mpmath.erfc(a / mpmath.sqrt(2)) - mpmath.erfc(b / mpmath.sqrt(2))) / 2
    at_a, at_b = (mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi) / z for x in (a, b))
    moment = [mpmath.mpf(1), at_a - at_b]
    for k in (2, 3, 4):
        moment.append((k - 1) * moment[k - 2] + a ** (k - 1) * at_a - b ** (k - 1) * at_b)
    return [m * side**k for k, m in enumerate(moment)], mpmath.log(z)


def assert_close(got, truth, unit=1.0):
    """Within 1e-4 of the truth, or of its natural unit where that is larger."""
    assert got.item() == pytest.approx(float(truth), rel=1e-4, abs=1e-4 * max(1.0, unit))


def cases():
    for loc, scale in itertools.product(LOCS, SCALES):
        params = [torch.tensor([x]).requires_grad_() for x in (loc, scale)]
        yield params, *(mpmath.mpf(p.item()) for p in params)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_mean_variance_entropy_and_their_gradients(bounds):
    """The field: a mean of 20 and a variance of 1e-2 for loc 20, scale 0.1 on [-1, 1]; a variance of -20.6 for 1e3."""
    with mpmath.workdps(170):
        for params, m, s in cases():
            (_, m1, m2, m3, m4), log_z = exact(m, s, *bounds)
            dist, unit = TruncatedNormal(*params, low=bounds[0], high=bounds[1]), 1 / params[1].item()
            spread, variance = m2 - m1**2, dist.variance
            assert_close(dist.mean, m + s * m1)
            assert_close(variance, s**2 * spread)
            assert variance.item() == pytest.approx(float(s**2 * spread), rel=1e-5)
            assert bounds[0] <= dist.mean.item() <= bounds[1]
            entropy = dist.entropy()
            assert_close(entropy, mpmath.log(s) + log_z + (mpmath.log(2 * mpmath.pi) + m2) / 2)
            by_loc, by_scale = torch.autograd.grad(dist.mean, params)
            assert_close(by_loc, spread)
            assert_close(by_scale, m3 - m1 * m2)
            by_loc, by_scale = torch.autograd.grad(variance, params)
            assert_close(by_loc, s * (m3 - 3 * m1 * m2 + 2 * m1**3), unit=params[1].item())
            assert_close(by_scale, s * (m4 - 2 * m1 * m3 + m1**2 * m2 - spread * m2), unit=params[1].item())
            by_loc, by_scale = torch.autograd.grad(entropy, params)
            assert_close(by_loc, (m3 - m1 * m2) / (2 * s), unit)
            assert_close(by_scale, (m4 - m2**2) / (2 * s), unit)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_log_prob_and_its_gradients(bounds):
    with mpmath.workdps(170):
        for params, m, s in cases():
            (_, m1, m2, _, _), log_z = exact(m, s, *bounds)
            dist, unit = TruncatedNormal(*params, low=bounds[0], high=bounds[1]), 1 / params[1].item()
            low, high = bounds
            own = dist.sample((2,), generator=torch.Generator().manual_seed(0))
            for value in [torch.tensor([low]), torch.tensor([low + 0.3 * (high - low)]), torch.tensor([high]), *own]:
                xi = (mpmath.mpf(value.item()) - m) / s
                score = dist.log_prob(value)
                assert_close(score, -(xi**2) / 2 - mpmath.log(s) - mpmath.log(2 * mpmath.pi) / 2 - log_z)
                by_loc, by_scale = torch.autograd.grad(score, params)
                assert_close(by_loc, (xi - m1) / s, unit)
                assert_close(by_scale, (xi**2 - m2) / s, unit)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bounds", [*BOUNDS, (-0.3, 0.3), (0.1, 0.7)])
def test_nothing_is_ever_outside_and_every_draw_has_a_score(bounds, dtype):
    grid = torch.cartesian_prod(torch.tensor(LOCS), torch.tensor(SCALES)).to(dtype)
    dist = TruncatedNormal(grid[:, 0], grid[:, 1].clamp_min(1e-6), low=bounds[0], high=bounds[1], event_dims=0)
    low, high = (torch.tensor(bound, dtype=dtype) for bound in bounds)
    values, scores = dist.rsample_and_log_prob((200,))
    assert scores.isfinite().all() and dist.log_prob(values).isfinite().all()
    for value in (values, dist.sample((200,)), dist.mean, dist.mode, dist.deterministic_sample):
        assert value.dtype == dtype and ((value >= low) & (value <= high)).all()
    assert scores.dtype == dist.entropy().dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 10.0), (-0.3, 0.7)])
def test_in_half_precision_it_is_the_rounding_of_what_the_same_numbers_give_in_float64(bounds, dtype):
    scales = torch.tensor([1e-6, 1e-3, 0.1, 1.0, 30.0, 1e3]).to(dtype)
    grid = torch.cartesian_prod(torch.tensor(LOCS).to(dtype), scales[scales > 1e-4])
    dist = TruncatedNormal(*grid.unbind(-1), low=bounds[0], high=bounds[1], event_dims=0)
    exact_one = TruncatedNormal(*grid.double().unbind(-1), low=bounds[0], high=bounds[1], event_dims=0)
    for name in ("mean", "mode", "deterministic_sample", "variance"):
        got, truth = getattr(dist, name), getattr(exact_one, name)
        # Half the spacing of the type, but where it would round onto the other side of a bound.
        close = (got.double() - truth).abs() <= torch.finfo(dtype).eps * truth.abs() + 1e-6
        at_a_bound = (got == torch.tensor(bounds[0], dtype=dtype)) | (got == torch.tensor(bounds[1], dtype=dtype))
        assert (close | at_a_bound).all()
    torch.testing.assert_close(dist.entropy().double(), exact_one.entropy(), atol=1e-4, rtol=1e-5)
    values = dist.sample((20,), generator=torch.Generator().manual_seed(0))
    held = values.double().clamp(*bounds)  # a bound that the type cannot represent is not outside
    torch.testing.assert_close(dist.log_prob(values).double(), exact_one.log_prob(held), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 10.0), (0.25, 0.26)])
def test_draws_follow_the_distribution(bounds):
    """Kolmogorov and Smirnov: √n max |F_n − F| exceeds 2.3 with a chance of 5e-5."""
    low, high = bounds
    n = 20_000
    for loc, scale in itertools.product((0.0, 0.3, -4.0, 50.0), (1e-2, 0.3, 30.0, 1e3)):
        at = {"dtype": torch.float64}
        dist = TruncatedNormal(torch.tensor(loc, **at), torch.tensor(scale, **at), low=bounds[0], high=bounds[1])
        draws = dist.sample((n,), generator=torch.Generator().manual_seed(0)).sort().values
        # F by the trapezoid rule over its own support, with no Φ in it.
        reach = 40 * scale / max(1.0, (abs(loc - float(dist.mode)) / scale))
        x = torch.linspace(max(low, float(dist.mode) - reach), min(high, float(dist.mode) + reach), 40_001, **at)
        density = dist.expand((40_001,)).log_prob(x).exp()
        f = torch.cat([torch.zeros(1, **at), torch.cumulative_trapezoid(density, x)])
        assert f[-1].item() == pytest.approx(1.0, abs=1e-4)
        right = torch.searchsorted(x, draws).clamp(1, 40_000)
        part = (draws - x[right - 1]) / (x[right] - x[right - 1])
        f_draws = torch.lerp(f[right - 1], f[right], part)
        rank = torch.arange(n, **at)
        gap = torch.maximum((f_draws - rank / n).abs(), (f_draws - (rank + 1) / n).abs()).max()
        assert gap.item() * math.sqrt(n) < 2.3


def test_by_hand():
    # N(0, 1) on [-1, 1] has the mass erf(1/√2) = 0.682689: log p(0) = -0.918939 + 0.381716 = -0.537223; its variance
    # is 1 - 2 φ(1) / 0.682689 = 1 - 2 * 0.241971 / 0.682689 = 0.291125.
    dist = TruncatedNormal(torch.zeros(1), torch.ones(1))
    assert dist.log_prob(torch.zeros(1)).item() == pytest.approx(-0.537223, abs=1e-6)
    assert dist.variance.item() == pytest.approx(0.291125, abs=1e-6)
    assert dist.mean.item() == pytest.approx(0.0, abs=1e-7)
    # The mode is loc, or the nearest bound, and takes no part in the mean's pull to the middle.
    dist = TruncatedNormal(torch.tensor([0.5, 3.0, -9.0]), torch.ones(3))
    assert dist.mode.tolist() == [0.5, 1.0, -1.0]
    assert (dist.deterministic_sample.abs() < 1).all() and torch.equal(dist.deterministic_sample, dist.mean)


def test_with_distant_bounds_it_is_a_normal_distribution():
    loc, scale = torch.randn(3, 2, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64) + 0.3
    dist, normal = TruncatedNormal(loc, scale, low=-100, high=250), Normal(loc, scale)
    value = normal.sample((4,))
    torch.testing.assert_close(dist.log_prob(value), normal.log_prob(value).sum(-1), atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(dist.entropy(), normal.entropy().sum(-1), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(dist.variance, scale**2, atol=0, rtol=1e-6)
    noise_free = dist.rsample((500,), generator=torch.Generator().manual_seed(0))
    assert ((noise_free - loc) / scale).std().item() == pytest.approx(1.0, abs=0.05)


def test_values_outside_the_bounds_have_no_density():
    loc, scale = torch.zeros(5, 2, requires_grad=True), torch.ones(5, 2, requires_grad=True)
    value = torch.tensor([[0.0, 1.0], [0.0, 1.0000001], [-3.0, 0.0], [0.0, torch.inf], [-1.0, 1.0]])
    for bounds in ((-1.0, 1.0), (torch.tensor([-1.0, -1.0]), torch.tensor(1.0))):
        score = TruncatedNormal(loc, scale, low=bounds[0], high=bounds[1]).log_prob(value)
        assert score.isfinite().tolist() == [True, False, False, False, True]
        for gradient in torch.autograd.grad(score.exp().sum(), (loc, scale)):
            assert gradient.isfinite().all()
    assert TruncatedNormal(torch.zeros(1), torch.ones(1)).log_prob(torch.tensor([torch.nan])).isnan().all()
    assert TruncatedNormal(torch.zeros(2), torch.ones(2), low=-4, high=4).log_prob(torch.tensor([1, -2])).isfinite()


def test_the_joint_score_keeps_its_digits_at_a_scale_below_the_spacing_of_floats():
    """Around 50 floats are 3.8e-6 apart; the mean score of a narrow normal distribution is −½ − ½ log 2π − log s."""
    dist = TruncatedNormal(torch.full((4000, 1), 50.0), torch.full((4000, 1), 1e-6), low=0.0, high=100.0)
    for joint in (dist.sample_and_log_prob, dist.rsample_and_log_prob):
        _, score = joint(generator=torch.Generator().manual_seed(0))
        assert score.mean().item() == pytest.approx(-0.5 - 0.918939 - math.log(1e-6), abs=0.05)


def test_joint_draws_and_their_gradients():
    params = [torch.randn(4, 2, dtype=torch.float64), torch.rand(4, 2, dtype=torch.float64) + 0.1]
    params = [param.requires_grad_() for param in params]
    dist = TruncatedNormal(*params)
    value, score = dist.sample_and_log_prob((3,), generator=torch.Generator().manual_seed(1))
    assert not value.requires_grad and value.shape == (3, 4, 2) and score.shape == (3, 4)
    separate = dist.log_prob(value)
    torch.testing.assert_close(score, separate)
    torch.testing.assert_close(*(torch.autograd.grad(x.sum(), params, retain_graph=True) for x in (score, separate)))
    assert torch.equal(value, dist.sample((3,), generator=torch.Generator().manual_seed(1)))
    again = dist.rsample((3,), generator=torch.Generator().manual_seed(1))
    assert again.requires_grad and torch.equal(value, again.detach())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bounds", [*BOUNDS, (torch.tensor(0.25), torch.tensor(0.5))])
def test_without_a_gradient_it_is_the_same_draw_and_the_same_score(bounds, dtype):
    grid = torch.cartesian_prod(torch.tensor(LOCS), torch.tensor(SCALES)).to(dtype)
    dist = TruncatedNormal(*grid.unbind(-1), low=bounds[0], high=bounds[1], event_dims=0)
    for joint in (dist.sample_and_log_prob, dist.rsample_and_log_prob):
        value, score = joint((20,), generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            got = joint((20,), generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(got[0], value)
        torch.testing.assert_close(got[1], score, atol=2e-5, rtol=1e-6)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-1.0, 4.0), (3.0, 3.5)])
def test_gradients_are_right(bounds):
    generator = torch.Generator().manual_seed(0)
    loc = (2 * torch.randn(3, 2, dtype=torch.float64, generator=generator)).requires_grad_()
    scale = (torch.rand(3, 2, dtype=torch.float64, generator=generator) + 0.3).requires_grad_()
    value = TruncatedNormal(loc, scale, low=bounds[0], high=bounds[1]).sample(generator=generator).requires_grad_()

    def drawn(*params):
        return TruncatedNormal(*params, low=bounds[0], high=bounds[1]).rsample_and_log_prob(
            (2,), generator=torch.Generator().manual_seed(3)
        )

    def of(name):
        return lambda *params: getattr(TruncatedNormal(*params, low=bounds[0], high=bounds[1]), name)

    torch.autograd.gradcheck(
        lambda *p: TruncatedNormal(*p[:2], low=bounds[0], high=bounds[1]).log_prob(p[2]), (loc, scale, value)
    )
    torch.autograd.gradcheck(drawn, (loc, scale))
    torch.autograd.gradcheck(lambda *p: of("entropy")(*p)(), (loc, scale), atol=1e-4)
    for name in ("mean", "variance", "mode", "deterministic_sample"):
        torch.autograd.gradcheck(of(name), (loc, scale), atol=1e-4)
    other = TruncatedNormal(torch.zeros(3, 2, dtype=torch.float64), 0.7, low=bounds[0], high=bounds[1])
    torch.autograd.gradcheck(
        lambda *p: kl_divergence(TruncatedNormal(*p, low=bounds[0], high=bounds[1]), other), (loc, scale), atol=1e-4
    )
    torch.autograd.gradcheck(
        lambda *p: kl_divergence(other, TruncatedNormal(*p, low=bounds[0], high=bounds[1])), (loc, scale), atol=1e-4
    )


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 3.0), TENSORS])
def test_the_divergence_agrees_with_draws(bounds):
    torch.manual_seed(0)
    p, q = (TruncatedNormal(torch.randn(3, 2), torch.rand(3, 2) + 0.3, low=bounds[0], high=bounds[1]) for _ in range(2))
    draws, log_p = p.sample_and_log_prob((50_000,), generator=torch.Generator().manual_seed(0))
    terms = log_p - q.log_prob(draws)
    assert ((terms.mean(0) - kl_divergence(p, q)).abs() < 4 * terms.std(0) / math.sqrt(50_000)).all()
    assert kl_divergence(p, p).tolist() == [0.0] * 3


INSIDE = [
    ((-1.0, 1.0), (-1.5, 1.0)),
    ((0.0, 3.0), (-9.0, 4.0)),
    ((-1.0, 1.0), (torch.tensor([-1.0, -2.0]), 1.5)),
    ((50.0, 51.0), (0.0, 60.0)),
]


@pytest.mark.parametrize(("bounds", "wider"), INSIDE)
def test_the_divergence_from_wider_bounds_agrees_with_draws(bounds, wider):
    torch.manual_seed(0)
    p = TruncatedNormal(torch.randn(3, 2), torch.rand(3, 2) + 0.3, low=bounds[0], high=bounds[1])
    q = TruncatedNormal(torch.randn(3, 2), torch.rand(3, 2) + 20.0, low=wider[0], high=wider[1])
    draws, log_p = p.sample_and_log_prob((50_000,), generator=torch.Generator().manual_seed(0))
    terms = log_p - q.log_prob(draws)
    assert ((terms.mean(0) - kl_divergence(p, q)).abs() < 4 * terms.std(0) / math.sqrt(50_000) + 1e-6).all()
    assert kl_divergence(q, p).tolist() == [math.inf] * 3


def test_the_divergence_from_wider_bounds_by_hand():
    # Both nearly uniform: log of the ratio of the widths, 4 / 2, in each of two dimensions.
    p, q = (TruncatedNormal(torch.zeros(2), torch.full((2,), 1e4), low=-b, high=b) for b in (1.0, 2.0))
    assert kl_divergence(p, q).item() == pytest.approx(2 * math.log(2.0), rel=1e-5)
    # One dimension that reaches beyond is enough, and the gradients stay numbers.
    loc = torch.zeros(2, requires_grad=True)
    wide = TruncatedNormal(loc, 1.0, low=torch.tensor([-1.0, -3.0]), high=torch.ones(2))
    divergence = kl_divergence(wide, TruncatedNormal(torch.ones(2), 1.0, low=-2.0, high=2.0))
    assert divergence.item() == math.inf
    assert torch.autograd.grad(divergence, loc)[0].isfinite().all()


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 3.0), TENSORS, (50.0, 51.0)])
def test_the_divergence_from_a_normal_agrees_with_draws(bounds):
    torch.manual_seed(0)
    p = TruncatedNormal(torch.randn(3, 2), torch.rand(3, 2) + 0.3, low=bounds[0], high=bounds[1])
    q = IndependentNormal(torch.randn(3, 2) + 1.0, torch.rand(3, 2) + 5.0)
    draws, log_p = p.sample_and_log_prob((50_000,), generator=torch.Generator().manual_seed(0))
    terms = log_p - q.log_prob(draws)
    assert ((terms.mean(0) - kl_divergence(p, q)).abs() < 4 * terms.std(0) / math.sqrt(50_000) + 1e-6).all()


def test_the_divergence_from_a_normal_by_hand():
    # Bounds that cut nothing off: of two dimensions, each half a scale from the other's, 2 * 0.5^2 / 2 = 0.25.
    p = TruncatedNormal(torch.zeros(2), torch.ones(2), low=-30.0, high=30.0)
    assert kl_divergence(p, IndependentNormal(torch.full((2,), 0.5), torch.ones(2))).item() == pytest.approx(
        0.25, abs=1e-5
    )


def everything(dist):
    values = (dist.sample(), *dist.sample_and_log_prob(), *dist.rsample_and_log_prob((2,)), dist.sample((7,)))
    return (*values, dist.log_prob(dist.mode), dist.entropy(), dist.mean, dist.variance, dist.deterministic_sample)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 10.0), TENSORS])
def test_vmap_and_compile(bounds):
    loc, scale = torch.randn(5, 3, 2), torch.rand(5, 3, 2) + 0.1

    def call(loc, scale):
        return everything(TruncatedNormal(loc, scale, low=bounds[0], high=bounds[1]))

    expected = call(loc, scale)
    for randomness in ("different", "same"):
        for output, reference in zip(torch.vmap(call, randomness=randomness)(loc, scale), expected, strict=True):
            assert sorted(output.shape) == sorted(reference.shape) and output.dtype == reference.dtype
    torch._dynamo.reset()
    torch.manual_seed(0)
    expected = call(loc, scale)
    torch.manual_seed(0)
    for output, reference in zip(
        torch.compile(call, fullgraph=True, backend="eager")(loc, scale), expected, strict=True
    ):
        torch.testing.assert_close(output, reference)


def test_shapes_expand_and_support():
    dist = TruncatedNormal(
        torch.randn(5, 3, 2), torch.rand(5, 3, 2) + 0.1, low=TENSORS[0], high=TENSORS[1], validate_args=True
    )
    expanded = dist.expand((4, 5, 3))
    assert (expanded.batch_shape, expanded.event_shape) == ((4, 5, 3), (2,))
    value = expanded.sample((6,))
    assert dist.support.check(value).all() and expanded.log_prob(value).shape == (6, 4, 5, 3)
    torch.testing.assert_close(expanded.entropy(), dist.entropy().expand(4, 5, 3))
    assert TruncatedNormal(0.0, 1.0).log_prob(torch.tensor(0.5)).shape == ()
    with pytest.raises(SpecError, match="value of shape"):
        dist.log_prob(dist.mean + 20)
    with pytest.raises(SpecError, match="cannot score a value of shape"):
        dist.log_prob(torch.zeros(5, 1, 2))


def test_tanh_loc_bounds_the_location():
    loc = torch.tensor([3.0])
    assert TruncatedNormal(loc, 1.0, low=-9, high=9, tanh_loc=True, upscale=2.0).loc.item() == pytest.approx(
        2 * math.tanh(1.5)
    )
    # Expanding does not squeeze it a second time.
    dist = TruncatedNormal(loc, 1.0, low=-9, high=9, tanh_loc=True)
    torch.testing.assert_close(dist.expand((4,)).loc, dist.loc.expand(4, 1))


def test_errors_name_this_class():
    """The field speaks of TanhNormal here."""
    for low, high in ((1.0, 1.0), (2, -2), (-math.inf, 1.0)):
        with pytest.raises(SpecError, match=r"TruncatedNormal cannot be built: low=.* must be finite and low below"):
            TruncatedNormal(torch.zeros(2), torch.ones(2), low=low, high=high)
    with pytest.raises(SpecError, match=r"TruncatedNormal: low of shape \[2\] is invalid at 1 of 2 places"):
        TruncatedNormal(torch.zeros(2), 1.0, low=torch.tensor([0.0, 1.0]), high=torch.ones(2), validate_args=True)
    with pytest.raises(SpecError, match=r"TruncatedNormal: scale of shape \[2\] is invalid at 2 of 2 places"):
        TruncatedNormal(torch.zeros(2), -1.0, validate_args=True)
