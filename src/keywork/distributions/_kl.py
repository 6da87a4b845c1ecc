"""KL(p ‖ q) for the pairs that have one, found by ``torch.distributions.kl_divergence``."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from ._categorical import Categorical
from ._delta import Delta
from ._discrete import DiscreteDistribution
from ._independent_normal import IndependentNormal
from ._location_scale import sum_event
from ._one_hot_categorical import OneHotCategorical
from ._tanh_normal import TanhNormal


def _tanh_tanh(p: TanhNormal, q: TanhNormal) -> Tensor:
    """One bijection maps both normals, which leaves their divergence as it is."""
    if not (_same(p.low, q.low) and _same(p.high, q.high)):
        raise NotImplementedError(
            "KL(TanhNormal || TanhNormal) has no closed form for different bounds: "
            f"[{p.low}, {p.high}] and [{q.low}, {q.high}]. Give both the same low and high."
        )
    return _normal_kl(p, q)


def _discrete_discrete(p: DiscreteDistribution, q: DiscreteDistribution) -> Tensor:
    """Σₖ pₖ (log pₖ − log qₖ); +inf where q excludes what p does not."""
    log_p, log_q = p.logits, q.logits
    probability = log_p.exp()
    # Where p is zero the two logarithms may both be -inf.
    return (probability * torch.where(probability > 0.0, log_p - log_q, 0.0)).sum(-1)


def _delta_delta(p: Delta, q: Delta) -> Tensor:
    """Zero where the two parameters are equal, within the tolerance of q, and +inf elsewhere."""
    return torch.where(q.log_prob(p.param) > 0.0, 0.0, math.inf)


def _normal_kl(p: IndependentNormal | TanhNormal, q: IndependentNormal | TanhNormal) -> Tensor:
    """Σ [log(s_q / s_p) + ½ ((s_p / s_q)² + ((m_p − m_q) / s_q)² − 1)]."""
    ratio = p._scale / q._scale
    step = (p._loc - q._loc) / q._scale
    return sum_event(0.5 * (ratio.square() + step.square() - 1.0) - ratio.log(), p._axes)


def _same(a: Tensor | float, b: Tensor | float) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b or bool((torch.as_tensor(a) == torch.as_tensor(b)).all())
    return a == b


for _pair, _divergence in (
    (IndependentNormal, _normal_kl),
    (TanhNormal, _tanh_tanh),
    (Categorical, _discrete_discrete),
    (OneHotCategorical, _discrete_discrete),
    (Delta, _delta_delta),
):
    register_kl(_pair, _pair)(_divergence)  # type: ignore[no-untyped-call]
