"""Whether a distribution's samples are distributed as its density says, and its moments are those of its samples.

All of it is in float64 from a fixed seed: a result is the same each time. Over seeds, a right distribution fails the
test of its samples once in 10⁴ runs, and a test of a moment once in 10⁸ numbers (six standard errors).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from keywork.testing._density import Marginal, marginals
from keywork.testing._dist_subject import DistSubject, built, name_of, of_type
from keywork.testing._expect import close, expect, failing, leaves, seeded, skip

DRAWS = 4000
FALSE_ALARM = 1e-4
ERRORS = 6.0


def check_samples(subject: DistSubject) -> None:
    """Test draws against the probabilities (chi-square), or each number against its distribution function (KS)."""
    dist, draws = _drawn(subject)
    if _is_discrete(draws):
        _chi_square(dist, draws, _values(dist, draws))
        return
    known = subject.cdf(dist, draws)
    for marginal in marginals(dist, draws):
        cdf = marginal.cdf() if known is None else marginal.part_of(known).sort(0).values
        _kolmogorov_smirnov(name_of(dist), cdf, dist.event_shape.numel())


def check_density(subject: DistSubject) -> None:
    """Add up the density over all values: one."""
    dist, draws = _drawn(subject)
    name = name_of(dist)
    if _is_discrete(draws):
        total = dist.log_prob(_values(dist, draws)).exp().sum(0)
        # Where the values are those that were drawn, some that are rare may lack.
        least = 1.0 - 1e-6 if dist.has_enumerate_support else 0.95
        fits = bool(((total > least) & (total < 1.0 + 1e-6)).all())
        expect(fits, f"{name}: its probabilities do not add up to one, but to {_ends(total)}")
        return
    found: list[Marginal] = list(marginals(dist, draws))
    # Of independent numbers: Π ∫ p(a with aⱼ = x) dx = p(a)^(d − 1), a being the mode.
    total = torch.stack([marginal.log_total() for marginal in found]).sum(0)
    total = (total - (len(found) - 1) * dist.log_prob(dist.mode)).exp()
    fits = bool(((total - 1.0).abs() < 5e-3).all())
    expect(fits, f"{name}: its density does not integrate to one, but to {_ends(total)}")


def check_moments(subject: DistSubject) -> None:
    """Compare mean and variance, where it exists, with those of draws; of a discrete choice the mean is its mode."""
    dist, draws = _drawn(subject)
    variance = _variance(dist)
    for number, draw in enumerate(leaves(draws)):
        mean = draw.double().mean(0)
        square = (draw.double() - mean).square()
        if draw.is_floating_point():
            _agree(f"{name_of(dist)}.mean", leaves(dist.mean)[number], draw)
        if variance is not None:
            _agree(f"{name_of(dist)}.variance", leaves(variance)[number], square)


def check_entropy(subject: DistSubject) -> None:
    """Compare the entropy with the average of −log p over draws."""
    dist, draws = _drawn(subject)
    _agree(f"{name_of(dist)}.entropy()", dist.entropy(), -dist.log_prob(draws))


def check_kl(subject: DistSubject) -> None:
    """Compare KL(p ‖ q) with the average of log p − log q over draws of p; it is never negative, and 0 where p is q."""
    params = of_type(subject, torch.float64)
    p, q = subject.build(*params), subject.build(*[param.flip(0) for param in params])
    name = name_of(p)
    with failing(f"KL({name} || {name}) is not registered with torch.distributions", NotImplementedError):
        own, other = (torch.distributions.kl_divergence(p, dist) for dist in (p, q))
    close(own, torch.zeros_like(own), f"{name}: KL(p || p) is not zero", 1e-6)
    expect(bool((other >= -1e-9).all()), f"{name}: KL(p || q) is negative, {other.min().item():.3g}")
    if subject.point:
        return
    with seeded(0):
        draws = p.sample((DRAWS,))
    _agree(f"{name}: KL(p || q)", other, p.log_prob(draws) - q.log_prob(draws))


def _drawn(subject: DistSubject) -> tuple[Any, Any]:
    if subject.point:
        skip("all its probability is on one point")
    dist = built(subject, torch.float64)
    with seeded(0):
        return dist, dist.sample((DRAWS,))


def _variance(dist: Any) -> Any:
    try:
        return dist.variance
    except NotImplementedError:
        return None


def _agree(what: str, stated: Tensor, draws: Tensor) -> None:
    found, error = draws.mean(0), draws.std(0) / math.sqrt(len(draws))
    far = ((stated - found).abs() - ERRORS * error).max().item()
    away = ((stated - found).abs() / error.clamp_min(1e-12)).max().item()
    expect(far < 1e-6, f"{what} is not that of {len(draws)} draws: it is off by up to {away:.1f} standard errors")


def _is_discrete(draws: Any) -> bool:
    if not isinstance(draws, Tensor):
        skip("a value is no tensor: test the distributions of its entries")
    return not draws.is_floating_point()


def _values(dist: Any, draws: Tensor) -> Tensor:
    """All values ``[n, *batch, *event]``, or all that were drawn for any element of the batch."""
    if dist.has_enumerate_support:
        values: Tensor = dist.enumerate_support()
        return values
    seen: Tensor = torch.unique(draws.reshape(-1, *dist.event_shape), dim=0)
    seen = seen.view(-1, *[1] * len(dist.batch_shape), *dist.event_shape)
    return seen.expand(-1, *dist.batch_shape, *dist.event_shape)


def _chi_square(dist: Any, draws: Tensor, values: Tensor) -> None:
    match = draws.unsqueeze(1) == values
    seen = match.flatten(match.ndim - len(dist.event_shape)).all(-1) if dist.event_shape else match
    counts, expected = seen.sum(0).double(), dist.log_prob(values).exp() * len(draws)
    name = name_of(dist)
    expect(not counts[expected == 0].any(), f"{name}: a value of probability zero is drawn")
    # Values of which less than five are expected count as one: the statistic's distribution asks for that many.
    rare = expected < 5.0
    counts, expected = (
        torch.cat([x.masked_fill(rare, 0.0), (x * rare).sum(0, keepdim=True)]) for x in (counts, expected)
    )
    statistic = torch.where(expected > 0, (counts - expected).square() / expected, 0.0).sum().item()
    freedom = int(((expected > 0).sum(0) - 1).sum())
    limit = _chi_square_limit(freedom)
    expect(
        statistic < limit,
        f"{name}: its samples do not follow log_prob: chi-square is {statistic:.0f}, and above {limit:.0f} it is once "
        f"in {1 / FALSE_ALARM:.0f} times",
    )


def _chi_square_limit(freedom: int) -> float:
    """Wilson and Hilferty: n (1 − 2/9n + z √(2/9n))³, z = 3.719 being exceeded once in 10⁴ times."""
    if not freedom:
        return 1e-6
    spread = 2.0 / (9.0 * freedom)
    return freedom * (1.0 - spread + 3.719 * math.sqrt(spread)) ** 3


def _kolmogorov_smirnov(name: str, cdf: Tensor, tests: int) -> None:
    """Test sorted values of the distribution function, ``[draws, *batch]``, for being uniform."""
    count = len(cdf)
    steps = torch.arange(count, dtype=cdf.dtype).view(-1, *[1] * (cdf.ndim - 1)) / count
    distance = torch.maximum(cdf - steps, steps + 1.0 / count - cdf).max().item() * math.sqrt(count)
    # P(√n D > t) ≤ 2 exp(−2 t²), for each of the numbers tested.
    limit = math.sqrt(math.log(2.0 * tests * cdf[0].numel() / FALSE_ALARM) / 2.0)
    expect(
        distance < limit,
        f"{name}: its samples do not follow log_prob: the distribution functions are {distance / math.sqrt(count):.3f} "
        f"apart, and above {limit / math.sqrt(count):.3f} that is once in {1 / FALSE_ALARM:.0f} times",
    )


def _ends(total: Tensor) -> str:
    return f"{total.min().item():.4f} to {total.max().item():.4f}"
