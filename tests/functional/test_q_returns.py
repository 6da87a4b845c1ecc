from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import lambda_return, retrace_return, td0_target, watkins_return

laws = settings(max_examples=50, deadline=None)
coefficient = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
size = {"rows": st.integers(1, 3), "length": st.integers(1, 20), "seed": st.integers(0, 10_000)}


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def traces(like: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


def retrace_by_sum(r, q, v1, c, terminated, done, gamma):
    """The paper's sum: q + sum over s >= t of gamma^(s-t) (c_{t+1} ... c_s) delta_s, up to the first cut."""
    target = q.clone()
    for i in range(r.shape[0]):
        for start in range(r.shape[1]):
            weight = 1.0
            for t in range(start, r.shape[1]):
                weight *= float(c[i, t]) * gamma if t > start else 1.0
                delta = float(r[i, t]) + gamma * float(v1[i, t]) * (not terminated[i, t]) - float(q[i, t])
                target[i, start] += weight * delta
                if done[i, t]:
                    break
    return target


def watkins_by_loop(r, v1, greedy, terminated, done, gamma, lmbda):
    target = torch.zeros_like(r)
    for i in range(r.shape[0]):
        for t in reversed(range(r.shape[1])):
            cut = bool(done[i, t]) or t + 1 == r.shape[1]
            follow = 0.0 if cut or not greedy[i, t + 1] else lmbda
            later = 0.0 if cut else float(target[i, t + 1])
            expected = (1.0 - follow) * float(v1[i, t]) + follow * later
            target[i, t] = float(r[i, t]) + gamma * (not terminated[i, t]) * expected
    return target


class TestByHand:
    # gamma = 1/2; transition 2 is truncated (worth 8), 3 terminates, 4 is cut by the end (worth 4).
    r = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    v1 = torch.tensor([6.0, 10.0, 8.0, 99.0, 4.0])
    terminated = torch.tensor([False, False, False, True, False])
    done = torch.tensor([False, False, True, True, False])

    def test_retrace(self):
        q = torch.tensor([2.0, 3.0, 5.0, 1.0, 7.0])
        c = torch.tensor([9.0, 0.5, 1.0, 1.0, 1.0])  # the first has nothing to weigh
        # delta: 1 + 3 - 2 = 2; 2 + 5 - 3 = 4; 3 + 4 - 5 = 2; 4 - 1 = 3; 5 + 2 - 7 = 0
        # G4 = 7; G3 = 4; G2 = 7; G1 = 3 + 4 + .5 * 1 * (7 - 5) = 8; G0 = 2 + 2 + .5 * .5 * (8 - 3) = 5.25
        got = retrace_return(self.r, q, self.v1, c, self.terminated, self.done, gamma=0.5, time_dim=-1)
        assert got.tolist() == [5.25, 8.0, 7.0, 4.0, 7.0]

    def test_watkins(self):
        greedy = torch.tensor([False, False, True, True, True])
        # G4 = 5 + 2 = 7; G3 = 4; G2 = 3 + 4 = 7; G1 = 2 + .5 (.5 * 10 + .5 * 7) = 6.25 (action 2 was greedy);
        # G0 = 1 + .5 * 6 = 4 (action 1 explored)
        got = watkins_return(self.r, self.v1, greedy, self.terminated, self.done, gamma=0.5, lmbda=0.5, time_dim=-1)
        assert got.tolist() == [4.0, 6.25, 7.0, 4.0, 7.0]


@laws
@given(**size, gamma=coefficient)
def test_retrace_equals_the_sum(rows_of_experience, rows, length, seed, gamma):
    r, q, v1, *masks = rows_of_experience(rows, length, seed)
    c = traces(r, seed)
    assert_close(retrace_return(r, q, v1, c, *masks, gamma=gamma), retrace_by_sum(r, q, v1, c, *masks, gamma))


@laws
@given(**size, gamma=coefficient)
def test_without_traces_both_are_td0(rows_of_experience, rows, length, seed, gamma):
    r, q, v1, terminated, done = rows_of_experience(rows, length, seed)
    want = td0_target(r, v1, terminated, gamma=gamma)
    assert_close(retrace_return(r, q, v1, torch.zeros_like(r), terminated, done, gamma=gamma), want)
    explored = torch.zeros_like(done)
    assert_close(watkins_return(r, v1, explored, terminated, done, gamma=gamma, lmbda=1.0), want)


@laws
@given(**size, gamma=coefficient, lmbda=coefficient)
def test_watkins_equals_the_loop(rows_of_experience, rows, length, seed, gamma, lmbda):
    r, _, v1, *masks = rows_of_experience(rows, length, seed)
    greedy = traces(r, seed) < 0.6
    got = watkins_return(r, v1, greedy, *masks, gamma=gamma, lmbda=lmbda)
    assert_close(got, watkins_by_loop(r, v1, greedy, *masks, gamma, lmbda))


@laws
@given(**size, gamma=coefficient, lmbda=coefficient)
def test_where_the_policies_agree_all_are_the_lambda_return(rows_of_experience, rows, length, seed, gamma, lmbda):
    # Greedy throughout, Watkins's is Peng's. With a constant trace and q_{t+1} = v_{t+1}, so is Retrace's.
    r, q, v1, *masks = rows_of_experience(rows, length, seed)
    want = lambda_return(r, v1, *masks, gamma=gamma, lmbda=lmbda)
    greedy = torch.ones_like(masks[0])
    assert_close(watkins_return(r, v1, greedy, *masks, gamma=gamma, lmbda=lmbda), want)
    assert_close(retrace_return(r, q, v1, torch.full_like(r, lmbda), *masks, gamma=gamma), want)


@laws
@given(**size, gamma=coefficient, lmbda=coefficient)
def test_watkins_is_retrace_with_the_trace_of_a_greedy_policy(rows_of_experience, rows, length, seed, gamma, lmbda):
    r, q, v1, *masks = rows_of_experience(rows, length, seed)
    greedy = traces(r, seed) < 0.6
    # Where the action was greedy its value is the state's, which q holds here at every index.
    got = retrace_return(r, q, v1, lmbda * greedy.double(), *masks, gamma=gamma)
    assert_close(got, watkins_return(r, v1, greedy, *masks, gamma=gamma, lmbda=lmbda))


@laws
@given(cut=st.integers(1, 19), gamma=coefficient)
def test_nothing_crosses_a_cut(rows_of_experience, cut, gamma):
    r, q, v1, terminated, done = rows_of_experience(2, 20, cut)
    done[:, cut - 1] = True
    c = traces(r, cut)
    for function, tensors in (
        (lambda *x: retrace_return(*x, gamma=gamma), (r, q, v1, c, terminated, done)),
        (lambda *x: watkins_return(*x, gamma=gamma, lmbda=0.9), (r, v1, c < 0.6, terminated, done)),
    ):
        first, second = (function(*(x[:, part] for x in tensors)) for part in (slice(cut), slice(cut, None)))
        assert_close(function(*tensors), torch.cat([first, second], 1))


def test_gradcheck_vmap_compile(rows_of_experience):
    r, q, v1, *masks = rows_of_experience(3, 6, 1)
    c = traces(r, 1)

    def retrace(r, v1, q, c, *masks):
        return retrace_return(r, q, v1, c, *masks, gamma=0.9)

    def watkins(r, v1, greedy, *masks):
        return watkins_return(r, v1, greedy, *masks, gamma=0.9, lmbda=0.8)

    for compute, rest in ((retrace, (q, c, *masks)), (watkins, (c < 0.6, *masks))):
        want = compute(r, v1, *rest)
        torch.testing.assert_close(torch.vmap(compute)(r, v1, *rest), want)
        torch.testing.assert_close(torch.compile(compute, fullgraph=True, backend="eager")(r, v1, *rest), want)
        inputs = (r.clone().requires_grad_(), v1.clone().requires_grad_())
        assert torch.autograd.gradcheck(lambda r, v1, compute=compute, rest=rest: compute(r, v1, *rest), inputs)


def test_a_trace_is_no_mask_and_a_mask_no_trace(rows_of_experience):
    r, _, v1, *masks = rows_of_experience(2, 3, 0)
    with pytest.raises(SpecError, match=r"greedy_t is no mask. .* got torch.float64. Pass greedy_t.bool\(\)"):
        watkins_return(r, v1, r, *masks, gamma=0.9, lmbda=0.9)
    with pytest.raises(SpecError, match=r"c_t \[2, 3\]"):
        retrace_return(r, r, v1, r[..., 0], *masks, gamma=0.9)
