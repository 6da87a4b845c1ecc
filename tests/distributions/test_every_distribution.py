"""Every distribution of the package passes the conformance kit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

import keywork.distributions
from keywork._errors import SpecError
from keywork.distributions import (
    Bernoulli,
    Categorical,
    CompositeDistribution,
    Delta,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    MultiCategorical,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)
from keywork.testing import DistributionConformance


@dataclasses.dataclass(frozen=True)
class Case:
    """How to build a distribution of batch shape [5, 3] from tensors, and its event shape."""

    build: Callable[..., torch.distributions.Distribution]
    params: tuple[Tensor, ...]
    event: tuple[int, ...]
    exempt: Mapping[str, str] = dataclasses.field(default_factory=dict)
    point: bool = False


def _normal_params() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    loc = torch.randn(5, 3, 2, generator=generator)
    return loc, torch.rand(5, 3, 2, generator=generator) + 0.1


def _logits() -> Tensor:
    return torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(2))


def _within(kind, low, high):
    return lambda loc, scale, **options: kind(loc, scale, low=low, high=high, **options)


def _masked(kind, **allowed):
    return lambda logits, **options: kind(logits, **allowed, **options)


def _steer_and_gear(loc, scale, logits, **options):
    params = {"steer": {"loc": loc, "scale": scale}, ("box", "gear"): {"logits": logits}}
    return CompositeDistribution(params, {"steer": TanhNormal, ("box", "gear"): Categorical}, **options)


def _arm_and_leg(loc, scale, other_loc, other_scale, **options):
    params = {"arm": {"loc": loc, "scale": scale}, "leg": {"loc": other_loc, "scale": other_scale}}
    return CompositeDistribution(params, {"arm": TanhNormal, "leg": IndependentNormal}, **options)


MASK = torch.tensor([[True, True, False, True], [False, True, True, False], [True, True, True, True]])
LOC, SCALE = _normal_params()
BOUNDS = (torch.tensor([-1.0, 2.0]), torch.tensor([0.5, 8.0]))
CASES = {
    "normal": Case(IndependentNormal, (LOC, SCALE), (2,)),
    "tanh": Case(TanhNormal, (LOC, SCALE), (2,)),
    "tanh-symmetric": Case(_within(TanhNormal, -3, 3), (LOC, SCALE), (2,)),
    "tanh-numbers": Case(_within(TanhNormal, 0.0, 10.0), (LOC, SCALE), (2,)),
    "tanh-tensors": Case(_within(TanhNormal, *BOUNDS), (LOC, SCALE), (2,)),
    "truncated": Case(TruncatedNormal, (LOC, SCALE), (2,)),
    "truncated-numbers": Case(_within(TruncatedNormal, 0.0, 10.0), (LOC, SCALE), (2,)),
    "truncated-tensors": Case(_within(TruncatedNormal, *BOUNDS), (LOC, SCALE), (2,)),
    "categorical": Case(Categorical, (_logits(),), ()),
    "categorical-probs": Case(lambda p, **o: Categorical(probs=p, **o), (_logits().softmax(-1),), ()),
    "one-hot": Case(OneHotCategorical, (_logits(),), (4,)),
    "masked": Case(_masked(MaskedCategorical, mask=MASK), (_logits(),), ()),
    "masked-indices": Case(_masked(MaskedCategorical, indices=torch.tensor([3, 1])), (_logits(),), ()),
    "masked-one-hot": Case(_masked(MaskedOneHotCategorical, mask=MASK), (_logits(),), (4,)),
    "ordinal": Case(Ordinal, (_logits(),), ()),
    "one-hot-ordinal": Case(OneHotOrdinal, (_logits(),), (4,)),
    "bernoulli": Case(Bernoulli, (_logits(),), (4,)),
    "bernoulli-probs": Case(lambda p, **o: Bernoulli(probs=p, **o), (_logits().sigmoid(),), (4,)),
    "multi-categorical": Case(
        lambda x, **o: MultiCategorical(x, nvec=[2, 3], **o), (_normal_params()[0].repeat(1, 1, 3)[..., :5],), (2,)
    ),
    "multi-categorical-mask": Case(lambda x, **o: MultiCategorical(x, nvec=[2, 2], mask=MASK, **o), (_logits(),), (2,)),
    "composite": Case(_steer_and_gear, (LOC, SCALE, _logits()), ()),
    "composite-reparameterised": Case(_arm_and_leg, (LOC, SCALE, LOC + 0.5, SCALE), ()),
    "delta": Case(Delta, (LOC,), (2,), point=True),
    "tanh-delta": Case(lambda param, **options: TanhDelta(param, 0.0, 10.0, **options), (LOC,), (2,), point=True),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request) -> Case:
    return request.param


class TestEveryDistribution(DistributionConformance):
    """The checks of the kit, for one distribution after the other."""

    batch_shape = (5, 3)

    @pytest.fixture(autouse=True)
    def _case(self, case):
        self.case = case

    @property
    def exempt(self):
        return self.case.exempt

    @property
    def point(self):
        return self.case.point

    @property
    def event_shape(self):
        return self.case.event

    def build(self, *params):
        return self.case.build(*params)

    def params(self):
        return self.case.params


def test_its_values_pass_its_own_checks(case):
    """With validate_args, the values that a distribution gives out are values that it takes."""
    dist = case.build(*case.params, validate_args=True)
    for value in (dist.sample((500,)), dist.mode, dist.mean, dist.deterministic_sample):
        assert dist.log_prob(value).shape[-2:] == (5, 3)


def test_a_choice_has_the_type_of_its_spec(case):
    """Indices and vectors are int64, zeros and ones int8."""
    dist = case.build(*case.params)
    wanted = torch.int8 if isinstance(dist, Bernoulli) else torch.int64
    if dist.support.is_discrete and not isinstance(dist, CompositeDistribution):
        for value in (dist.sample(), dist.mode, dist.mean, dist.deterministic_sample):
            assert value.dtype == wanted


@pytest.mark.parametrize("shape", [(1,), (4,), (5,), (5, 1), (3, 5)])
def test_a_value_that_would_be_broadcast_is_refused_in_our_words(case, shape):
    dist = case.build(*case.params)
    if not isinstance(dist, CompositeDistribution):
        with pytest.raises(SpecError, match="cannot score a value of shape"):
            dist.log_prob(torch.zeros(*shape, *case.event, dtype=dist.sample().dtype))


def test_every_exported_distribution_has_a_case():
    exported = {
        name
        for name in keywork.distributions.__all__
        if isinstance(thing := getattr(keywork.distributions, name), type)
        if issubclass(thing, torch.distributions.Distribution)
    }
    lacking = exported - {type(case.build(*case.params)).__name__ for case in CASES.values()}
    assert not lacking, (
        f"{', '.join(sorted(lacking))} is exported and not put through the conformance kit: add a line to CASES in "
        "tests/distributions/test_every_distribution.py, of how it is built, from which parameters"
    )
    assert len(exported) > 10
