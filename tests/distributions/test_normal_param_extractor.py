from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import NormalParamExtractor

AT = torch.tensor([0.0, -10.0, 10.0])


def scales(*arguments, **options):
    raw = torch.cat([torch.zeros(3), AT]).unsqueeze(0)
    loc, scale = NormalParamExtractor(*arguments, **options)(raw)
    assert loc.tolist() == [[0.0] * 3]
    return scale[0]


def test_the_default_is_one_at_zero():
    # softplus(x + b) + 0.01 with b = log(e^0.99 - 1) = 0.5254: 1 at 0; 0.01 + e^(-9.4746) = 0.010077 at -10.
    torch.testing.assert_close(scales(), torch.tensor([1.0, 0.010077, 10.535434]), rtol=1e-4, atol=0)
    torch.testing.assert_close(scales("biased_softplus"), scales())
    torch.testing.assert_close(scales("biased_softplus_0.5")[0], torch.tensor(0.5))
    wide = scales("biased_softplus_2.0_0.5")
    assert wide[0].item() == pytest.approx(2.0) and 0.5 < wide[1].item() < 0.5002


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("softplus", [math.log(2), 1e-4, 10.0000454]),
        ("exp", [1.0, 1e-4, math.exp(10)]),
        ("relu", [1e-4, 1e-4, 10.0]),
        ("expln", [1.0, 1e-4, 1 + math.log(11)]),
        ("none", [1e-4, 1e-4, 10.0]),
        (torch.square, [1e-4, 100.0, 100.0]),
    ],
)
def test_the_other_mappings(mapping, expected):
    torch.testing.assert_close(scales(mapping), torch.tensor(expected), rtol=1e-5, atol=1e-9)


def test_the_lower_bound():
    assert scales("none", scale_lb=0.5).tolist() == [0.5, 0.5, 10.0]
    assert scales("biased_softplus_1.0", scale_lb=0.5).min().item() == 0.5


@pytest.mark.parametrize(("mapping", "slope"), [("exp", math.exp(-12.0)), ("softplus", 6.1441e-06), ("none", 1.0)])
def test_below_the_lower_bound_the_gradient_is_alive(mapping, slope):
    """A plain clamp has none there: a scale that once got so low could never grow again."""
    raw = torch.tensor([[0.0, -12.0]], requires_grad=True)
    _, scale = NormalParamExtractor(mapping)(raw)
    assert scale.item() == pytest.approx(1e-4)
    (gradient,) = torch.autograd.grad(scale.sum(), raw)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, slope]]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("mapping", ["biased_softplus_1.0", "softplus", "exp", "expln"])
def test_gradients_are_right(mapping):
    raw = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(NormalParamExtractor(mapping), (raw,))


def test_expln_neither_overflows_nor_loses_its_gradient():
    raw = torch.tensor([0.0, 0.0, 200.0, -200.0], requires_grad=True)
    _, scale = NormalParamExtractor("expln")(raw)
    (gradient,) = torch.autograd.grad(scale.sum(), raw)
    assert scale.isfinite().all() and gradient.isfinite().all()


def test_shapes_and_other_tensors():
    extract = NormalParamExtractor()
    x, state = torch.randn(2, 3, 8), torch.randn(5)
    loc, scale, passed = extract(x, state)
    assert loc.shape == scale.shape == (2, 3, 4) and passed is state
    assert torch.equal(loc, x[..., :4])
    assert extract(torch.zeros(0, 4))[0].shape == (0, 2)


@pytest.mark.parametrize("shape", [(2, 5), (1,), ()])
def test_an_odd_last_dimension_is_refused(shape):
    """The field gives a location of 3 and a scale of 2."""
    with pytest.raises(SpecError) as error:
        NormalParamExtractor()(torch.zeros(shape))
    assert str(error.value) == (
        f"NormalParamExtractor cannot split a tensor of shape {list(shape)}: its last dimension must be even, one half "
        "for loc and one for scale. Give the network before it out_features = 2 * (the number of action dimensions)."
    )


@pytest.mark.parametrize(
    "mapping",
    [
        "sofplus",
        "biased_softplus_",
        "biased_softplusx",
        "biased_softplus_x",
        "biased_softplus_0.01",
        "biased_softplus_1.0_2.0",
        "biased_softplus_1.0_0.1_0.1",
        "biased_softplus_nan",
    ],
)
def test_an_unknown_mapping_is_refused(mapping):
    with pytest.raises(SpecError, match=f"there is no scale mapping '{mapping}'. There are 'softplus', 'exp'"):
        NormalParamExtractor(mapping)


def test_it_is_copied_pickled_and_shown():
    extract = NormalParamExtractor("biased_softplus_0.5", scale_lb=0.01)
    x = torch.randn(3, 4)
    for twin in (copy.deepcopy(extract), pickle.loads(pickle.dumps(extract))):
        torch.testing.assert_close(twin(x), extract(x))
    assert repr(extract) == "NormalParamExtractor(scale_mapping='biased_softplus_0.5', scale_lb=0.01)"
    assert extract.state_dict() == {}


def test_it_compiles_and_maps():
    x = torch.randn(3, 4)
    for mapping in ("biased_softplus_1.0", "expln", "exp"):
        extract = NormalParamExtractor(mapping)
        torch._dynamo.reset()
        torch.testing.assert_close(torch.compile(extract, fullgraph=True, backend="eager")(x), extract(x))
        torch.testing.assert_close(torch.vmap(extract)(x), extract(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    loc, scale = NormalParamExtractor()(torch.zeros(2, 4, dtype=dtype))
    assert loc.dtype == scale.dtype == dtype
    torch.testing.assert_close(scale.float(), torch.ones(2, 2), atol=1e-2, rtol=0)
