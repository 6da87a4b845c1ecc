from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import discounted_return, lambda_return, n_step_return, td0_target

laws = settings(max_examples=50, deadline=None)
coefficient = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
size = {"rows": st.integers(1, 3), "length": st.integers(1, 20), "seed": st.integers(0, 10_000)}


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def by_loop(r, v1, terminated, done, n, gamma):
    """Literally the definition: walk forward until n rewards are summed or something is cut."""
    target = torch.zeros_like(r)
    for i in range(r.shape[0]):
        for start in range(r.shape[1]):
            total, discount, t = 0.0, 1.0, start
            while True:
                total += discount * float(r[i, t])
                discount *= gamma
                if t - start + 1 == n or done[i, t] or t + 1 == r.shape[1]:
                    break
                t += 1
            target[i, start] = total + discount * float(v1[i, t]) * (not terminated[i, t])
    return target


def test_by_hand():
    # Transition 1 is truncated, 3 terminates, 5 is cut by the end of the batch; n = 3, gamma = 1/2.
    r = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    v1 = torch.tensor([0.0, 8.0, 0.0, 64.0, 0.0, 4.0])
    terminated = torch.tensor([False, False, False, True, False, False])
    done = torch.tensor([False, True, False, True, False, False])
    target = n_step_return(r, v1, terminated, done, n=3, gamma=0.5, time_dim=-1)
    # 1 + 2/2 + 8/4 = 4; 2 + 8/2 = 6; 4 + 8/2 = 8 (nothing after termination); 8; 16 + 32/2 + 4/4 = 33; 32 + 4/2 = 34
    assert target.tolist() == [4.0, 6.0, 8.0, 8.0, 33.0, 34.0]


def test_the_value_n_steps_on_and_no_other():
    # n = 2, gamma = 1: r0 + r1 + v(s2) = 1 + 1 + 20; 1 + 1 + 30; at the end 1 + 30
    no = torch.zeros(3, dtype=torch.bool)
    target = n_step_return(torch.ones(3), torch.tensor([10.0, 20.0, 30.0]), no, no, n=2, gamma=1.0, time_dim=-1)
    assert target.tolist() == [22.0, 32.0, 31.0]


@laws
@given(**size, n=st.integers(1, 25), gamma=coefficient)
def test_equals_the_loop(rows_of_experience, rows, length, seed, n, gamma):
    r, _, *rest = rows_of_experience(rows, length, seed)
    assert_close(n_step_return(r, *rest, n=n, gamma=gamma), by_loop(r, *rest, n, gamma))


@laws
@given(**size, gamma=coefficient)
def test_one_step_is_td0(rows_of_experience, rows, length, seed, gamma):
    r, _, v1, terminated, done = rows_of_experience(rows, length, seed)
    one = n_step_return(r, v1, terminated, done, n=1, gamma=gamma)
    assert_close(one, td0_target(r, v1, terminated, gamma=gamma))


@laws
@given(**size, beyond=st.integers(-1, 30), gamma=coefficient)
def test_many_steps_are_the_return_to_the_boundary(rows_of_experience, rows, length, seed, beyond, gamma):
    # n = T - 1 looks as far as the last index but one can see, and differs from T at the first index only.
    r, _, v1, terminated, done = rows_of_experience(rows, length, seed)
    many = n_step_return(r, v1, terminated, done, n=max(1, length + beyond), gamma=gamma)
    full = lambda_return(r, v1, terminated, done, gamma=gamma, lmbda=1.0)
    first = 1 if beyond < 0 and length > 1 else 0
    assert_close(many[:, first:], full[:, first:])
    nothing = n_step_return(r, torch.zeros_like(v1), terminated, done, n=length, gamma=gamma)
    assert_close(nothing, discounted_return(r, done, gamma=gamma))


@laws
@given(cut=st.integers(1, 19), n=st.integers(1, 21), gamma=coefficient)
def test_nothing_crosses_a_cut(rows_of_experience, cut, n, gamma):
    r, _, *rest = rows_of_experience(2, 20, cut)
    experience = (r, *rest)
    experience[-1][:, cut - 1] = True
    parts = [(x[:, :cut] for x in experience), (x[:, cut:] for x in experience)]
    apart = torch.cat([n_step_return(*part, n=n, gamma=gamma) for part in parts], 1)
    assert_close(n_step_return(*experience, n=n, gamma=gamma), apart)


@pytest.mark.parametrize("n", [1, 3, 9])
def test_gradcheck_vmap_compile_axes(rows_of_experience, n):
    r, _, v1, *masks = rows_of_experience(3, 6, 1)

    def compute(r, v1, *masks, time_dim=-2):
        return n_step_return(r, v1, *masks, n=n, gamma=0.9, time_dim=time_dim)

    want = compute(r, v1, *masks)
    torch.testing.assert_close(torch.vmap(compute)(r, v1, *masks), want)
    torch.testing.assert_close(torch.compile(compute, fullgraph=True, backend="eager")(r, v1, *masks), want)
    time_first = compute(*(x[..., 0].t() for x in (r, v1, *masks)), time_dim=0)
    assert_close(time_first.t(), want[..., 0])
    inputs = (r.clone().requires_grad_(), v1.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda r, v1: compute(r, v1, *masks), inputs)


@pytest.mark.parametrize("n", [0, -1])
def test_steps_are_counted_from_one(n):
    no = torch.zeros(2, 3, 1, dtype=torch.bool)
    with pytest.raises(SpecError) as error:
        n_step_return(torch.ones(2, 3, 1), torch.ones(2, 3, 1), no, no, n=n, gamma=0.9)
    assert str(error.value) == (
        f"n_step_return cannot be computed: n is out of range. It takes a number above zero; got {n}. "
        "Pass n=1, for example."
    )
