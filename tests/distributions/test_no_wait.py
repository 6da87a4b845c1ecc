"""Nothing that a training loop asks for looks at a value: an accelerator would make the host wait for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from keywork.distributions import (
    AddStateIndependentNormalScale,
    Categorical,
    Delta,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)

# Tensors without values: whoever looks at one gets an error.
NOWHERE = torch.empty(5, 3, device="meta")
LOW, HIGH = torch.zeros(3, device="meta"), torch.ones(3, device="meta")
MASK, INDICES = torch.ones(5, 3, dtype=torch.bool, device="meta"), torch.zeros(5, 2, dtype=torch.int64, device="meta")

BUILD: dict[str, Callable[[Tensor], Distribution]] = {
    "IndependentNormal": lambda x: IndependentNormal(x, x),
    "IndependentNormal, tanh": lambda x: IndependentNormal(x, x, tanh_loc=True),
    "TanhNormal": lambda x: TanhNormal(x, x),
    "TanhNormal, numbers": lambda x: TanhNormal(x, x, low=0.0, high=10.0),
    "TanhNormal, tensors": lambda x: TanhNormal(x, x, low=LOW, high=HIGH),
    "TruncatedNormal": lambda x: TruncatedNormal(x, x),
    "TruncatedNormal, tensors": lambda x: TruncatedNormal(x, x, low=LOW, high=HIGH),
    "Delta": Delta,
    "TanhDelta": lambda x: TanhDelta(x, 0.0, 10.0),
    "Categorical": Categorical,
    "Categorical, probs": lambda x: Categorical(probs=x),
    "OneHotCategorical": OneHotCategorical,
    "MaskedCategorical": lambda x: MaskedCategorical(x, mask=MASK),
    "MaskedCategorical, indices": lambda x: MaskedCategorical(x, indices=INDICES, padding_value=-1),
    "MaskedOneHotCategorical": lambda x: MaskedOneHotCategorical(x, mask=MASK),
    "Ordinal": Ordinal,
    "OneHotOrdinal": OneHotOrdinal,
}


@pytest.mark.parametrize("name", BUILD)
def test_building_drawing_and_scoring(name):
    dist = BUILD[name](NOWHERE.clone().requires_grad_())
    value, score = dist.sample_and_log_prob()
    asked = [score, dist.log_prob(value), dist.entropy(), dist.mode, dist.mean, dist.deterministic_sample]
    asked += [*dist.sample_and_log_prob((4,)), dist.expand((2, 5)).log_prob(value.expand(2, *value.shape))]
    if dist.has_rsample:
        asked += dist.rsample_and_log_prob()
    if "variance" in dir(type(dist)) and not isinstance(dist, Categorical | MaskedCategorical | Ordinal):
        asked.append(dist.variance)
    assert all(tensor.is_meta for tensor in asked)
    assert value.shape[:1] == score.shape == (5,)


@pytest.mark.parametrize("name", BUILD)
def test_divergences(name):
    dist = BUILD[name](NOWHERE)
    assert kl_divergence(dist, BUILD[name](NOWHERE)).shape == (5,)


def test_bounds_that_are_one_tensor_are_not_compared_for_a_divergence():
    for kind in (TanhNormal, TruncatedNormal):
        p, q = (kind(NOWHERE, NOWHERE, low=LOW, high=HIGH) for _ in range(2))
        assert kl_divergence(p, q).is_meta


def test_bounds_that_are_numbers_are_compared_as_numbers():
    p, q = (TanhNormal(NOWHERE, NOWHERE, low=0.0, high=10.0) for _ in range(2))
    assert kl_divergence(p.expand((2, 5)), q).is_meta
    with pytest.raises(NotImplementedError, match="no closed form for different bounds"):
        kl_divergence(p, TanhNormal(NOWHERE, NOWHERE, low=0.0, high=11.0))


def test_other_bounds_of_a_truncated_distribution_are_not_looked_at():
    p = TruncatedNormal(NOWHERE, NOWHERE, low=LOW, high=HIGH)
    for bounds in ({}, {"low": -2.0, "high": 1.0}, {"low": LOW.clone(), "high": HIGH.clone()}):
        q = TruncatedNormal(NOWHERE, NOWHERE, **bounds)
        assert kl_divergence(p, q).is_meta and kl_divergence(q, p).is_meta


@pytest.mark.parametrize("mapping", ["biased_softplus_1.0", "softplus", "exp", "relu", "expln", "none"])
def test_extracting_parameters(mapping):
    loc, scale = NormalParamExtractor(mapping)(torch.empty(5, 4, device="meta"))
    assert loc.is_meta and scale.is_meta
    loc, scale = AddStateIndependentNormalScale(3, mapping, device="meta")(NOWHERE)
    assert scale.is_meta and scale.shape == (5, 3)


def test_looking_at_such_a_tensor_is_an_error():
    """What the tests above rely on."""
    with pytest.raises((NotImplementedError, RuntimeError)):
        bool(NOWHERE.isfinite().all())
    with pytest.raises((NotImplementedError, RuntimeError)):
        TanhNormal(NOWHERE, NOWHERE, validate_args=True)
