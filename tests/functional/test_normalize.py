from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import explained_variance, normalize


def test_normalize_by_hand():
    # mean 2; deviations -2, 0, 2; variance 8/3; -2 / sqrt(8/3) = -1.224745
    x = normalize(torch.tensor([[0.0], [2.0], [4.0]]))
    assert x.shape == (3, 1)
    assert x.flatten().tolist() == pytest.approx([-1.224745, 0.0, 1.224745], abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=300), st.sampled_from([torch.float32, torch.float64]))
def test_normalize_is_what_float64_says(numbers, dtype):
    x = torch.tensor(numbers, dtype=dtype)
    y, reference = normalize(x).double(), x.double()
    assert y.isfinite().all()
    deviation = (reference.var(correction=0) + 1e-16).sqrt()
    # Where the numbers differ by no more than their own rounding there is nothing to compare.
    if deviation > reference.abs().max() * torch.finfo(dtype).eps * 1e4:
        torch.testing.assert_close(y, (reference - reference.mean()) / deviation, rtol=1e-3, atol=1e-3)


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(1, 3000))
def test_equal_numbers_give_zeros(number, count):
    assert not normalize(torch.full((count,), number)).any()


def test_normalize_takes_one_number_of_no_dimensions():
    assert normalize(torch.tensor(7.0)).item() == 0.0


def test_differences_below_eps_are_not_blown_up():
    # deviation 1 and eps 3/4: divided by sqrt(1 + 9/16) = 5/4
    assert normalize(torch.tensor([-1.0, 1.0]), eps=0.75).tolist() == pytest.approx([-0.8, 0.8])


def test_normalize_of_a_view():
    x = torch.arange(12.0).view(3, 4)
    assert torch.equal(normalize(x.t()), normalize(x.t().contiguous()))


def test_normalize_transforms():
    x = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.vmap(normalize)(x), torch.stack([normalize(row) for row in x]))
    torch.testing.assert_close(torch.compile(normalize, fullgraph=True, backend="eager")(x), normalize(x))
    assert torch.autograd.gradcheck(normalize, (x.requires_grad_(),))


def test_normalize_of_nothing():
    with pytest.raises(SpecError) as error:
        normalize(torch.zeros(0, 1))
    assert str(error.value) == (
        "normalize cannot be computed: there are no elements. It takes at least one; got shape [0, 1]. "
        "Check the mask or the slice that made it."
    )


def test_explained_variance_by_hand():
    # target variance: (1 + 0 + 1) / 3 = 2/3; residuals 1, 0, 0 have mean 1/3 and variance 2/9; 1 - (2/9) / (2/3) = 2/3
    target = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(torch.tensor([0.0, 2.0, 3.0]), target).item() == pytest.approx(2 / 3)
    assert explained_variance(-target, target).item() == pytest.approx(-3.0)  # residual 2 G: 1 - 4


def test_explained_variance_has_no_gradient():
    value = torch.tensor([0.0, 2.0, 3.0], requires_grad=True)
    assert not explained_variance(value, torch.tensor([1.0, 2.0, 3.0])).requires_grad


@pytest.mark.parametrize("target", [torch.zeros(4), torch.full((1000,), 0.1), torch.ones(1), torch.tensor(3.0)])
def test_explained_variance_of_a_constant_target(target):
    for value in (target, torch.randn(target.shape, generator=torch.Generator().manual_seed(0))):
        assert explained_variance(value, target).item() == 0.0


def test_explained_variance_transforms():
    value, target = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    rows = torch.stack([explained_variance(v, t) for v, t in zip(value, target, strict=True)])
    torch.testing.assert_close(torch.vmap(explained_variance)(value, target), rows)
    compiled = torch.compile(explained_variance, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(value, target), explained_variance(value, target))


def test_explained_variance_checks_shapes():
    with pytest.raises(SpecError, match=r"explained_variance .* got value \[3, 1\], target \[3\]"):
        explained_variance(torch.zeros(3, 1), torch.zeros(3))


MASK = torch.tensor([True, False, True, True])


def test_masked_statistics_are_those_of_what_counts():
    x = torch.tensor([1.0, torch.nan, 5.0, 3.0], dtype=torch.float64)
    # of 1, 5, 3: mean 3, variance 8/3
    assert normalize(x, MASK).tolist() == pytest.approx([-1.224745, 0.0, 1.224745, 0.0], abs=1e-6)
    y = torch.tensor([1.0, 7.0, 2.0, 6.0], dtype=torch.float64)
    expected = explained_variance(y[MASK], x[MASK])
    torch.testing.assert_close(explained_variance(y, x, MASK), expected)


def test_where_nothing_counts_there_are_zeros():
    x = torch.tensor([1.0, 2.0])
    none = torch.tensor([False, False])
    assert normalize(x, none).tolist() == [0.0, 0.0]
    assert explained_variance(x, x, none).item() == 0.0


@pytest.mark.parametrize("function", [normalize, lambda x, mask: explained_variance(x, x, mask)])
def test_a_mask_is_checked(function):
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    with pytest.raises(SpecError, match="is no mask"):
        function(x, MASK.float())
    with pytest.raises(SpecError, match="differ in shape"):
        function(x, MASK.unsqueeze(-1))


def test_masked_statistics_transform():
    x = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(lambda x: normalize(x, MASK), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), normalize(x, MASK))
    rows = torch.vmap(normalize)(x.expand(2, 4), MASK.expand(2, 4))
    torch.testing.assert_close(rows[1], normalize(x, MASK))
