from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import ClippedWeights, clipped_weights, generalized_advantage, lambda_return, td0_target, vtrace

laws = settings(max_examples=50, deadline=None)
coefficient = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
size = {"rows": st.integers(1, 3), "length": st.integers(1, 20), "seed": st.integers(0, 10_000)}


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def random_weights(like: torch.Tensor, seed: int) -> ClippedWeights:
    g = torch.Generator().manual_seed(seed)
    log_prob, old = (torch.randn(like.shape, generator=g, dtype=like.dtype) for _ in range(2))
    return clipped_weights(log_prob, old, rho_clip=1.5, c_clip=1.0, lmbda=0.9)


def by_loop(r, v, v1, terminated, done, weights, gamma):
    """The paper's recursion index by index; beyond a cut there is only the value of the state reached."""
    target, advantage = torch.zeros_like(r), torch.zeros_like(r)
    for i in range(r.shape[0]):
        for t in reversed(range(r.shape[1])):
            bootstrap = gamma * float(v1[i, t]) * (not terminated[i, t])
            delta = float(r[i, t]) + bootstrap - float(v[i, t])
            cut = bool(done[i, t]) or t + 1 == r.shape[1]
            gain = 0.0 if cut else gamma * float(target[i, t + 1] - v[i, t + 1])
            target[i, t] = float(v[i, t]) + float(weights.rho_t[i, t]) * delta + float(weights.c_t[i, t]) * gain
            next_target = bootstrap if cut else gamma * float(target[i, t + 1])
            advantage[i, t] = float(weights.rho_t[i, t]) * (float(r[i, t]) + next_target - float(v[i, t]))
    return target, advantage


def test_weights_by_hand():
    # ratios 1/2, 1, 4: rho = min(2, .), c = 1/2 min(1, .)
    rho, c = clipped_weights(torch.tensor([1.0, 2.0, 8.0]).log(), torch.tensor([2.0, 2.0, 2.0]).log(), rho_clip=2.0)
    torch.testing.assert_close(rho, torch.tensor([0.5, 1.0, 2.0]))
    torch.testing.assert_close(c, torch.tensor([0.5, 1.0, 1.0]))
    halved = clipped_weights(torch.tensor([4.0]).log(), torch.zeros(1), c_clip=3.0, lmbda=0.5)
    torch.testing.assert_close(halved, ClippedWeights(torch.tensor([1.0]), torch.tensor([1.5])))


def test_by_hand():
    # gamma = 1/2; transition 1 is truncated (its state is worth 16), 2 terminates, 3 is cut by the end (worth 4).
    no, yes = False, True
    target, advantage = vtrace(
        torch.tensor([1.0, 2.0, 3.0, 4.0]),
        torch.tensor([2.0, 8.0, 1.0, 2.0]),
        torch.tensor([8.0, 16.0, 99.0, 4.0]),
        torch.tensor([no, no, yes, no]),
        torch.tensor([no, yes, yes, no]),
        ClippedWeights(torch.tensor([0.5, 1.0, 2.0, 0.5]), torch.tensor([0.25, 1.0, 1.0, 1.0])),
        gamma=0.5,
        time_dim=-1,
    )
    # delta: 1 + 4 - 2 = 3; 2 + 8 - 8 = 2; 3 - 1 = 2; 4 + 2 - 2 = 4
    # vs3 = 2 + .5 * 4 = 4; vs2 = 1 + 2 * 2 = 5; vs1 = 8 + 2 = 10; vs0 = 2 + .5 * 3 + .5 * .25 * (10 - 8) = 3.75
    assert target.tolist() == [3.75, 10.0, 5.0, 4.0]
    # .5 (1 + .5 * 10 - 2) = 2; 2 + .5 * 16 - 8 = 2; 2 (3 - 1) = 4; .5 (4 + .5 * 4 - 2) = 2
    assert advantage.tolist() == [2.0, 2.0, 4.0, 2.0]


@laws
@given(**size, gamma=coefficient)
def test_equals_the_loop(rows_of_experience, rows, length, seed, gamma):
    e = rows_of_experience(rows, length, seed)
    weights = random_weights(e[0], seed)
    target, advantage = by_loop(*e, weights, gamma)
    got = vtrace(*e, weights, gamma=gamma)
    assert_close(got.target_t, target)
    assert_close(got.advantage_t, advantage)


@laws
@given(**size, gamma=coefficient, lmbda=coefficient)
def test_on_policy_it_is_the_lambda_return(rows_of_experience, rows, length, seed, gamma, lmbda):
    e = r, v, v1, terminated, done = rows_of_experience(rows, length, seed)
    log_prob = torch.randn_like(r)
    target, advantage = vtrace(*e, clipped_weights(log_prob, log_prob), gamma=gamma)
    full = lambda_return(r, v1, terminated, done, gamma=gamma, lmbda=1.0)
    assert_close(target, full)
    assert_close(advantage, full - v)
    traced = vtrace(*e, clipped_weights(log_prob, log_prob, lmbda=lmbda), gamma=gamma).target_t
    assert_close(traced, generalized_advantage(*e, gamma=gamma, lmbda=lmbda)[1])


@laws
@given(**size, gamma=coefficient)
def test_an_action_that_the_policy_never_takes_teaches_nothing(rows_of_experience, rows, length, seed, gamma):
    e = r, v, v1, terminated, _ = rows_of_experience(rows, length, seed)
    never = clipped_weights(torch.full_like(r, -torch.inf), torch.zeros_like(r))
    target, advantage = vtrace(*e, never, gamma=gamma)
    assert_close(target, v)
    assert not advantage.any()
    # Without traces there remains the weighted TD error.
    rho = random_weights(r, seed).rho_t
    target, _ = vtrace(*e, ClippedWeights(rho, torch.zeros_like(r)), gamma=gamma)
    assert_close(target, v + rho * (td0_target(r, v1, terminated, gamma=gamma) - v))


@laws
@given(cut=st.integers(1, 19), gamma=coefficient)
def test_nothing_crosses_a_cut(rows_of_experience, cut, gamma):
    e = rows_of_experience(2, 20, cut)
    e[-1][:, cut - 1] = True
    weights = random_weights(e[0], cut)

    def part(where):
        return vtrace(*(x[:, where] for x in e), ClippedWeights(*(w[:, where] for w in weights)), gamma=gamma)

    whole, first, second = part(slice(None)), part(slice(cut)), part(slice(cut, None))
    for got, a, b in zip(whole, first, second, strict=True):
        assert_close(got, torch.cat([a, b], 1))


def test_gradcheck_vmap_compile(rows_of_experience):
    e = rows_of_experience(3, 6, 1)
    weights = random_weights(e[0], 1)

    def compute(*tensors):
        return vtrace(*tensors[:5], ClippedWeights(*tensors[5:]), gamma=0.9)

    want = compute(*e, *weights)
    torch.testing.assert_close(torch.vmap(compute)(*e, *weights), want)
    torch.testing.assert_close(torch.compile(compute, fullgraph=True, backend="eager")(*e, *weights), want)
    torch.testing.assert_close(
        torch.compile(clipped_weights, fullgraph=True, backend="eager")(e[0], e[1]).rho_t,
        clipped_weights(e[0], e[1]).rho_t,
    )
    inputs = tuple(x.clone().requires_grad_() for x in e[:3])
    assert torch.autograd.gradcheck(lambda r, v, v1: compute(r, v, v1, *e[3:], *weights), inputs)


def test_weights_are_constants():
    log_prob = torch.zeros(3, requires_grad=True)
    assert not any(weight.requires_grad for weight in clipped_weights(log_prob, torch.zeros(3)))


def test_log_probabilities_want_their_trailing_one(rows_of_experience):
    e = rows_of_experience(2, 3, 0)
    with pytest.raises(SpecError) as error:
        vtrace(*e, clipped_weights(torch.zeros(2, 3), torch.zeros(2, 3)), gamma=0.9)
    assert "rho_t [2, 3], c_t [2, 3]. A trailing dimension of one is added with .unsqueeze(-1)" in str(error.value)


@pytest.mark.parametrize("name", ["rho_clip", "c_clip"])
def test_clips_are_above_zero(name):
    with pytest.raises(SpecError, match=f"{name} is out of range. It takes a number above zero; got 0.0"):
        clipped_weights(torch.zeros(1), torch.zeros(1), **{name: 0.0})
