"""KL(p ‖ q) for the pairs that have one, found by ``torch.distributions.kl_divergence``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import kl_divergence
from torch.distributions.kl import register_kl

from keywork._errors import SpecError
from keywork._keys import listed

from ._bernoulli import Bernoulli
from ._composite import CompositeDistribution, joint
from ._discrete import DiscreteDistribution
from ._independent_normal import HALF_LOG_TWO_PI, IndependentNormal
from ._location_scale import sum_event
from ._multi_categorical import MultiCategorical
from ._point import PointDistribution
from ._several_choices import SeveralChoices
from ._tanh_normal import TanhNormal
from ._truncated_math import fall_at
from ._truncated_normal import TruncatedNormal


def _tanh_tanh(p: TanhNormal, q: TanhNormal) -> Tensor:
    """One bijection maps both normals, which leaves their divergence as it is."""
    _require_equal_bounds(p, q)
    return _normal_kl(p, q)


def _truncated_truncated(p: TruncatedNormal, q: TruncatedNormal) -> Tensor:
    """Σ [E_p(E_q − E_p) + log N_q − log N_p], where a density is exp(−E) / N; +inf where p reaches beyond q."""
    of_p, of_q = p._mass(), q._mass()
    fall = fall_at(of_p.offset + (of_p.anchor - of_q.anchor), q._scale, of_q.slope)
    terms = of_p.average(of_p.fall - fall) + of_q.log_norm - of_p.log_norm
    for beyond in _reaches(p._bounds.given, q._bounds.given):
        if isinstance(beyond, Tensor):  # nobody looks at what it says: that would be to wait for it
            terms = terms.masked_fill(beyond, math.inf)
        elif beyond:
            terms = torch.full_like(terms, math.inf)
    return sum_event(terms, p._axes)


def _truncated_normal(p: TruncatedNormal, q: IndependentNormal) -> Tensor:
    """Σ [½ E_p((a − m_q) / s_q)² + log s_q + ½ log 2π − E_p(E_p) − log N_p]."""
    of_p = p._mass()
    step = (of_p.offset + (of_p.anchor - q._loc)) / q._scale
    terms = of_p.average(of_p.fall + 0.5 * step.square()) + (q._scale.log() + HALF_LOG_TWO_PI) - of_p.log_norm
    return sum_event(terms, p._axes)


def _reaches(p: tuple[Any, Any], q: tuple[Any, Any]) -> tuple[Tensor | bool, Tensor | bool]:
    """Where the bounds of p lie beyond those of q, below and above; as bools, if all are numbers."""
    return p[0] < q[0], p[1] > q[1]


def _require_equal_bounds(p: TanhNormal, q: TanhNormal) -> None:
    one, other = p._bounds.given, q._bounds.given
    if any(isinstance(bound, Tensor) for bound in (*one, *other)):
        equal = _same(p.low, q.low) and _same(p.high, q.high)
    else:
        equal = one == other
    if not equal:
        raise NotImplementedError(
            "KL(p || q) of two TanhNormal cannot be had: it has no closed form for different bounds.\n"
            "  where: low, high\n"
            "  expected: the same for both\n"
            f"  got: [{p.low}, {p.high}] and [{q.low}, {q.high}]\n"
            "  fix: TanhNormal(loc, scale, low=..., high=...) with one low and high"
        )


def _discrete_discrete(p: DiscreteDistribution, q: DiscreteDistribution) -> Tensor:
    """Σₖ pₖ (log pₖ − log qₖ); +inf where q excludes what p does not."""
    log_p, log_q = p.logits, q.logits
    probability = log_p.exp()
    # Where p is zero the two logarithms may both be -inf.
    return (probability * torch.where(probability > 0.0, log_p - log_q, 0.0)).sum(-1)


def _several_several(p: SeveralChoices, q: SeveralChoices) -> Tensor:
    """The sum over the choices."""
    return sum_event(_discrete_discrete(p._each, q._each), p._axes)


def _point_point(p: PointDistribution, q: PointDistribution) -> Tensor:
    """Zero where the two points are equal, within the tolerance of q, and +inf elsewhere."""
    return torch.where(q.log_prob(p.mode) > 0.0, 0.0, math.inf)


def _composite_composite(p: CompositeDistribution, q: CompositeDistribution) -> Tensor:
    """Σᵢ KL(pᵢ ‖ qᵢ), for the parts are independent."""
    if set(p.keys()) != set(q.keys()):
        raise SpecError(
            f"KL(p || q) cannot be had of different actions: p has {listed(p.keys())}, and q {listed(q.keys())}. "
            "Give both the same keys."
        )
    return joint([kl_divergence(part, q[key]) for key, part in p.dists.items()])


def _normal_kl(p: IndependentNormal | TanhNormal, q: IndependentNormal | TanhNormal) -> Tensor:
    """Σ [log(s_q / s_p) + ½ ((s_p / s_q)² + ((m_p − m_q) / s_q)² − 1)]."""
    ratio = p._scale / q._scale
    step = (p._loc - q._loc) / q._scale
    return sum_event(0.5 * (ratio.square() + step.square() - 1.0) - ratio.log(), p._axes)


def _same(a: Tensor | float, b: Tensor | float) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b or bool((torch.as_tensor(a) == torch.as_tensor(b)).all())
    return a == b


for _p, _q, _divergence in (
    (IndependentNormal, IndependentNormal, _normal_kl),
    (TanhNormal, TanhNormal, _tanh_tanh),
    (TruncatedNormal, TruncatedNormal, _truncated_truncated),
    (TruncatedNormal, IndependentNormal, _truncated_normal),
    (DiscreteDistribution, DiscreteDistribution, _discrete_discrete),  # one-hot or index: the choices are the same
    (MultiCategorical, MultiCategorical, _several_several),
    (Bernoulli, Bernoulli, _several_several),
    (PointDistribution, PointDistribution, _point_point),
    (CompositeDistribution, CompositeDistribution, _composite_composite),
):
    register_kl(_p, _q)(_divergence)  # type: ignore[no-untyped-call]
