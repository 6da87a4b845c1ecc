from __future__ import annotations

import warnings

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.autograd import forward_ad

from keywork._errors import SpecError
from keywork.functional import _scan, reverse_linear_scan

# Torch itself scripts its forward-mode decompositions when they are first used.
forward_mode = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def by_hand(a: torch.Tensor, b: torch.Tensor, dim: int) -> torch.Tensor:
    """The recurrence step by step, in float64."""
    a, b = a.double().movedim(dim, 0), b.double().movedim(dim, 0)
    x = [torch.zeros_like(b[0])]
    for t in reversed(range(len(b))):
        x.append(b[t] + a[t] * x[-1])
    return torch.stack(x[:0:-1]).movedim(0, dim)


def random_terms(shape, *, seed=0, dtype=torch.float32, cuts=0.2):
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(shape, generator=generator, dtype=dtype)
    a = a * (torch.rand(shape, generator=generator) > cuts)
    return a, torch.randn(shape, generator=generator, dtype=dtype)


def test_by_hand():
    # x2 = 3; x1 = 2 + 0 * 3 = 2; x0 = 1 + 0.5 * 2 = 2. The last coefficient (9) has nothing to multiply.
    x = reverse_linear_scan(torch.tensor([0.5, 0.0, 9.0]), torch.tensor([1.0, 2.0, 3.0]), dim=0)
    assert x.tolist() == [2.0, 2.0, 3.0]


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.integers(1, 3), max_size=2),
    length=st.integers(1, 70),
    after=st.lists(st.integers(1, 3), max_size=2),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
    negative=st.booleans(),
)
def test_equals_the_loop_on_every_axis(before, length, after, dtype, seed, negative):
    dim = len(before)
    a, b = random_terms((*before, length, *after), seed=seed, dtype=dtype)
    dim = dim - a.ndim if negative else dim
    want = by_hand(a, b, dim)
    tolerance = 1e-5 if dtype is torch.float32 else 1e-12
    torch.testing.assert_close(reverse_linear_scan(a, b, dim).double(), want, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(_scan._scan_in_torch(a, b, dim % a.ndim).double(), want, rtol=tolerance, atol=tolerance)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 5),
    length=st.integers(1, 70),
    after=st.integers(1, 3),
    small=st.integers(1, 40),
    block=st.integers(1, 500),
    seed=st.integers(0, 1000),
)
def test_pairs_and_blocks_of_any_size_equal_the_loop(rows, length, after, small, block, seed):
    a, b = random_terms((rows, length, after), seed=seed, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as sizes:
        sizes.setattr(_scan, "_SMALL", small)
        sizes.setattr(_scan, "_BLOCK", block)
        x = reverse_linear_scan(a, b, 1)
    torch.testing.assert_close(x, by_hand(a, b, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("length", [8, 9, 16, 17, 33, 65])
def test_the_first_number_of_a_row_hears_from_its_last(rows, length, monkeypatch):
    # With coefficients of one each number is the count of the ones from it on.
    monkeypatch.setattr(_scan, "_SMALL", 1)
    ones = torch.ones(rows, length, 1)
    x = reverse_linear_scan(ones, ones, 1)
    assert torch.equal(x, torch.arange(length, 0.0, -1.0).view(1, length, 1).expand_as(x))


@pytest.mark.parametrize(
    "shape", [(8, 128, 1), (3, 9001, 1), (3, 9001, 3), (50, 3000, 1), (70_000, 5, 1), (200_000, 2)]
)
def test_numpy_and_torch_agree(shape):
    # 3 x 9001 is odd and solved by pairs; 50 x 3000 are more than one block; a row of 200,000 x 2 is longer than one.
    dim = len(shape) - 2
    a, b = random_terms(shape)
    fast, slow = reverse_linear_scan(a, b, dim), _scan._scan_in_torch(a, b, dim)
    assert fast.shape == b.shape and fast.dtype is b.dtype
    torch.testing.assert_close(fast, slow, rtol=1e-6, atol=1e-6)


def test_time_major_memory_is_only_a_layout():
    a, b = random_terms((6, 50, 1))
    views = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (a, b)]
    assert torch.equal(reverse_linear_scan(*views, dim=1), reverse_linear_scan(a, b, dim=1))


def test_inputs_are_left_alone():
    for length in (1, 9):
        a, b = random_terms((2, length, 1))
        a_before, b_before = a.clone(), b.clone()
        reverse_linear_scan(a, b, 1).zero_()
        assert torch.equal(a, a_before) and torch.equal(b, b_before)
        b.requires_grad_()
        reverse_linear_scan(a, b, 1).detach().zero_()
        assert torch.equal(a, a_before) and torch.equal(b, b_before)


@pytest.mark.parametrize("shape", [(0, 4, 1), (3, 0, 1)])
def test_nothing_in_nothing_out(shape):
    assert reverse_linear_scan(torch.zeros(shape), torch.zeros(shape), 1).shape == shape


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_in_its_row_and_its_past(bad):
    a, b = torch.full((3, 6, 1), 0.5), torch.ones(3, 6, 1)
    b[1, 2] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = reverse_linear_scan(a, b, 1)
    finite = torch.ones(3, 6, 1, dtype=torch.bool)
    finite[1, :3] = False
    assert torch.equal(x.isfinite(), finite)


def test_long_products_underflow_to_zero_without_a_warning():
    a, b = torch.full((4096,), 0.5), torch.ones(4096)
    assert reverse_linear_scan(a, b, 0)[0] == 2.0  # 1 + 1/2 + 1/4 + ... = 2


@forward_mode
def test_gradcheck():
    a, b = random_terms((2, 7, 1), dtype=torch.float64)
    a.requires_grad_(), b.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: reverse_linear_scan(a, b, 1), (a, b), check_forward_ad=True)


def test_gradients_flow_through_torch_func():
    a, b = random_terms((7,), dtype=torch.float64)
    gradient = torch.func.grad(lambda b: reverse_linear_scan(a, b, 0)[0])(b)
    # x0 = b0 + a0 b1 + a0 a1 b2 + ...
    torch.testing.assert_close(gradient, torch.cat([torch.ones(1, dtype=torch.float64), a[:-1].cumprod(0)]))


@forward_mode
def test_forward_mode_keeps_its_tangent():
    a, b = random_terms((7,), dtype=torch.float64)
    with forward_ad.dual_level():
        x = reverse_linear_scan(a, forward_ad.make_dual(b, b), 0)
        # x is linear in b, so its derivative in the direction of b is x itself.
        torch.testing.assert_close(forward_ad.unpack_dual(x).tangent, reverse_linear_scan(a, b, 0))


def test_no_grad_needs_no_detach():
    a, b = random_terms((7,))
    b.requires_grad_()
    with torch.no_grad():
        assert not reverse_linear_scan(a, b, 0).requires_grad
    assert reverse_linear_scan(a, b, 0).requires_grad


def test_vmap():
    a, b = random_terms((4, 9, 2))
    for dim in (0, 1):
        x = torch.vmap(lambda a, b: reverse_linear_scan(a, b, 0), in_dims=dim, out_dims=dim)(a, b)
        torch.testing.assert_close(x, reverse_linear_scan(a, b, 1 - dim))


def test_compiles_as_one_graph():
    a, b = random_terms((4, 9, 1))
    compiled = torch.compile(reverse_linear_scan, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(a, b, 1), reverse_linear_scan(a, b, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_dtype(dtype):
    a, b = (x.to(dtype) for x in random_terms((4, 9, 1)))
    x = reverse_linear_scan(a, b, 1)
    assert x.dtype is dtype
    torch.testing.assert_close(x.double(), by_hand(a, b, 1), rtol=0.05, atol=0.05)


def test_shapes_and_dtypes_are_checked():
    with pytest.raises(SpecError, match=r"takes a, b of one shape; got a \[3\], b \[3, 1\]"):
        reverse_linear_scan(torch.ones(3), torch.ones(3, 1), 0)
    with pytest.raises(SpecError, match=r"got a torch.float32, b torch.float64. Pass a.to\(b.dtype\)"):
        reverse_linear_scan(torch.ones(3), torch.ones(3, dtype=torch.float64), 0)
