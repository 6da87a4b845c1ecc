"""Each check of the kit fails for a distribution that breaks it, and says so."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.distributions import StudentT, constraints

from keywork._errors import UsageError
from keywork.distributions import Categorical, IndependentNormal, MultiCategorical, TanhNormal
from keywork.testing import DistributionConformance

LOC = torch.linspace(-1.0, 1.0, 30).view(5, 3, 2)
SCALE = torch.linspace(0.2, 1.0, 30).view(5, 3, 2)
LOGITS = torch.linspace(-1.0, 1.0, 60).sin().view(5, 3, 4)


def failures(subject: Any) -> dict[str, str]:
    """The names of the checks that fail, and what they say."""
    found = {}
    for name in dir(subject):
        if name.startswith("test_"):
            try:
                getattr(subject, name)()
            except unittest.SkipTest:
                continue
            except AssertionError as error:
                found[name.removeprefix("test_")] = str(error)
    return found


class Subject(DistributionConformance):
    """A conformance class of whatever distribution."""

    exempt = {"compile": "takes a while, and has a test of its own"}

    def __init__(self, build: Callable[..., Any], *params: torch.Tensor) -> None:
        self.build, self.given = build, params or (LOC, SCALE)

    def params(self):
        return self.given


class Right(IndependentNormal):
    """A distribution that does nothing wrong, in the plainest way."""

    def expand(self, batch_shape, _instance=None):
        shape = torch.Size(batch_shape) + self.event_shape
        return type(self)(self.loc.expand(shape), self.scale.expand(shape))

    def sample_and_log_prob(self, sample_shape=(), *, generator=None):
        value = self.sample(sample_shape, generator=generator)
        return value, self.log_prob(value)

    def rsample_and_log_prob(self, sample_shape=(), *, generator=None):
        value = self.rsample(sample_shape, generator=generator)
        return value, self.log_prob(value)


class WrongJointScore(Right):
    def sample_and_log_prob(self, sample_shape=(), *, generator=None):
        value, score = super().sample_and_log_prob(sample_shape, generator=generator)
        return value, score + 0.1


class WrongJointGradient(Right):
    def sample_and_log_prob(self, sample_shape=(), *, generator=None):
        value, score = super().sample_and_log_prob(sample_shape, generator=generator)
        return value, score + (self.loc - self.loc.detach()).sum(-1)


class SampleWithGradient(Right):
    def sample_and_log_prob(self, sample_shape=(), *, generator=None):
        return self.rsample_and_log_prob(sample_shape, generator=generator)


class Broadcasts(Right):
    def _checked(self, value):
        return value


class BiasedSampler(Right):
    def rsample(self, sample_shape=(), *, generator=None):
        return super().rsample(sample_shape, generator=generator) + 0.2 * self.scale


class WrongMode(Right):
    @property
    def mode(self):
        return self.loc + self.scale


class WrongMean(Right):
    @property
    def mean(self):
        return self.loc + 0.5 * self.scale


class WrongVariance(Right):
    @property
    def variance(self):
        return self.scale


class WrongEntropy(Right):
    def entropy(self):
        return super().entropy() + 0.2


class NoisyMode(Right):
    @property
    def deterministic_sample(self):
        return self.sample()


class NotNormalised(Right):
    def log_prob(self, value):
        return super().log_prob(value) + 0.1


class WrongSupport(Right):
    @property
    def support(self):
        return constraints.independent(constraints.interval(-0.5, 0.5), 1)


class IgnoresTheGenerator(Right):
    def rsample(self, sample_shape=(), *, generator=None):
        return super().rsample(sample_shape)


class DoesNotExpand(Right):
    def expand(self, batch_shape, _instance=None):
        return self


class ForgetsTheScale(Right):
    def log_prob(self, value):
        return Right(self.loc, self.scale.detach()).log_prob(value)

    def entropy(self):
        return super().entropy().detach() + 0.0 * self.loc.sum(-1)


class LooksAtValues(Right):
    def log_prob(self, value):
        return super().log_prob(value) * (1.0 if bool((self.scale > 0.0).all()) else 2.0)


class HalfScores(Right):
    def log_prob(self, value):
        return super().log_prob(value).to(self.loc.dtype)


class WideSamples(Right):
    def rsample(self, sample_shape=(), *, generator=None):
        return super().rsample(sample_shape, generator=generator).float()


class KeepsADimension(Right):
    def entropy(self):
        return super().entropy().unsqueeze(-1)


CASES = {
    WrongJointScore: ({"joint_score"}, "WrongJointScore.sample_and_log_prob scores otherwise than log_prob"),
    WrongJointGradient: ({"joint_score"}, "the gradient of the score is not that of log_prob"),
    SampleWithGradient: ({"joint_score"}, "a gradient flows to the sample, which is rsample's to do"),
    Broadcasts: ({"broadcast"}, "Broadcasts.log_prob broadcasts a value of shape [1, 2] to its batch [5, 3]"),
    BiasedSampler: ({"samples", "moments", "kl"}, "its samples do not follow log_prob: the distribution functions"),
    WrongMean: ({"moments"}, "WrongMean.mean is not that of 4000 draws: it is off by up to "),
    WrongVariance: ({"moments"}, "WrongVariance.variance is not that of 4000 draws"),
    WrongMode: ({"mode"}, "WrongMode: a sample's log_prob is above that of the mode, by "),
    WrongEntropy: ({"entropy"}, "WrongEntropy.entropy() is not that of 4000 draws"),
    IgnoresTheGenerator: ({"generator"}, "the same generator gives another sample"),
    HalfScores: ({"precision"}, "and should be float32"),
}


def test_a_right_distribution_passes():
    assert failures(Subject(Right)) == {}


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_a_broken_distribution_fails_the_right_checks(kind):
    checks, message = CASES[kind]
    found = failures(Subject(kind))
    assert set(found) == checks, found
    assert any(message in text for text in found.values()), found


@pytest.mark.parametrize(
    ("kind", "check", "message"),
    [
        (NoisyMode, "noise_free", "NoisyMode.deterministic_sample is another one each time"),
        (NotNormalised, "density", "its density does not integrate to one, but to 1.1"),
        (WrongSupport, "support", "WrongSupport: a sample is outside of its support"),
        (DoesNotExpand, "expand", "DoesNotExpand.expand((2, 5, 3)) has batch shape [5, 3]"),
        (ForgetsTheScale, "gradcheck", "ForgetsTheScale: the gradient of log_prob is wrong: GradcheckError: "),
        (ForgetsTheScale, "gradients", "ForgetsTheScale: the gradient for parameter 1 is missing"),
        (LooksAtValues, "vmap", "LooksAtValues does not run in vmap(randomness='different'): RuntimeError: "),
        (LooksAtValues, "vmap_grad", "LooksAtValues cannot be differentiated inside of vmap: RuntimeError: "),
        (LooksAtValues, "compile", "LooksAtValues does not compile to one graph: "),
        (WideSamples, "precision", "a sample is of type torch.float32, and should be of torch.float16"),
        (KeepsADimension, "shapes", "KeepsADimension.entropy() has shape [5, 3, 1]"),
    ],
)
def test_what_breaks_more_than_one_check_fails_the_right_one_too(kind, check, message):
    subject = Subject(kind)
    subject.exempt = {}
    with pytest.raises(AssertionError) as error:
        getattr(subject, f"test_{check}")()
    assert message in str(error.value)


def test_shapes_are_compared_with_those_asked_for():
    subject = Subject(Right)
    subject.event_shape = (3,)
    with pytest.raises(AssertionError, match=r"Right has event shape \[2\], and should have \(3,\)"):
        subject.test_shapes()
    with pytest.raises(AssertionError, match="gives Right no batch dimension"):
        Subject(Right, LOC[0, 0], SCALE[0, 0]).test_shapes()


def test_a_pair_without_a_divergence_says_so():
    subject = Subject(lambda df: StudentT(df, validate_args=False), torch.full((5, 3), 4.0))
    with pytest.raises(
        AssertionError, match=r"KL\(StudentT \|\| StudentT\) is not registered with torch.distributions"
    ):
        subject.test_kl()


class UniformSampler(Categorical):
    def sample(self, sample_shape=(), *, generator=None):
        return torch.randint(self.n, (*sample_shape, *self.batch_shape), generator=generator)


class ForbiddenSampler(Categorical):
    def sample(self, sample_shape=(), *, generator=None):
        return torch.zeros(*sample_shape, *self.batch_shape, dtype=torch.int64)


class TestDiscrete:
    def test_a_biased_sampler_of_choices_is_seen(self):
        with pytest.raises(AssertionError, match=r"UniformSampler: its samples do not follow log_prob: chi-square is "):
            Subject(UniformSampler, LOGITS).test_samples()

    def test_a_draw_of_probability_zero_is_seen(self):
        logits = LOGITS.clone()
        logits[..., 0] = -torch.inf
        with pytest.raises(AssertionError, match="a value of probability zero is drawn"):
            Subject(ForbiddenSampler, logits).test_samples()

    def test_values_that_are_not_listed_are_those_that_are_seen(self):
        class Biased(MultiCategorical):
            def sample(self, sample_shape=(), *, generator=None):
                return super().sample(sample_shape, generator=generator).flip(-1)

        logits = torch.tensor([0.0, 1.0, 1.0, 0.0]).expand(5, 3, 4)
        for kind, wrong in ((MultiCategorical, False), (Biased, True)):
            subject = Subject(lambda x, kind=kind: kind(x, nvec=[2, 2]), logits)
            if wrong:
                with pytest.raises(AssertionError, match="Biased: its samples do not follow log_prob"):
                    subject.test_samples()
            else:
                subject.test_samples()
                subject.test_density()

    def test_probabilities_that_do_not_add_up_are_seen(self):
        class Half(Categorical):
            def log_prob(self, value):
                return super().log_prob(value) - 0.7

        with pytest.raises(AssertionError, match=r"its probabilities do not add up to one, but to 0\.4966 to 0\.4966"):
            Subject(Half, LOGITS).test_density()


def test_a_known_distribution_function_takes_the_place_of_the_integrated_one():
    class Known(Subject):
        shift = 0.0

        def cdf(self, dist, value):
            # P(tanh(loc + scale ε) ≤ a) = Φ((artanh a − loc) / scale)
            return torch.special.ndtr((value.atanh() - dist.loc) / dist.scale + self.shift)

    subject = Known(TanhNormal)
    subject.test_samples()
    subject.shift = 0.3
    with pytest.raises(AssertionError, match=r"the distribution functions are 0\.1"):
        subject.test_samples()


def test_the_seed_of_others_is_left_alone():
    before = torch.get_rng_state()
    Subject(Right).test_samples()
    assert torch.equal(before, torch.get_rng_state())


def test_an_exemption_of_no_check_is_refused():
    with pytest.raises(UsageError, match="exempt names 'kl_divergence', which is no check"):
        type("Wrong", (DistributionConformance,), {"exempt": {"kl_divergence": "has none"}})


def test_what_is_not_written_is_asked_for():
    with pytest.raises(NotImplementedError, match=r"DistributionConformance has to define params\(self\)"):
        DistributionConformance().test_shapes()
    with pytest.raises(NotImplementedError, match=r"has to define build\(self, \*params\)"):
        DistributionConformance().build()
