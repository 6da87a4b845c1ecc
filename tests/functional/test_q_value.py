from __future__ import annotations

import pytest
import torch

from keywork._errors import SpecError
from keywork.functional import double_q_value, greedy_value, td0_target

q = torch.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]])
online = torch.tensor([[9.0, 8.0, 7.0], [1.0, 3.0, 2.0]])
mask = torch.tensor([[False, False, True], [True, True, False]])
r, terminated = torch.tensor([[1.0], [1.0]]), torch.tensor([[False], [True]])


def test_greedy_by_hand():
    assert greedy_value(q).tolist() == [[5.0], [6.0]]
    assert greedy_value(q, mask=mask).tolist() == [[3.0], [4.0]]


def test_double_q_by_hand():
    # The online network chooses actions 0 and 1; of those allowed, 2 and 1. The other one says what they are worth.
    assert double_q_value(q, online).tolist() == [[1.0], [2.0]]
    assert double_q_value(q, online, mask=mask).tolist() == [[3.0], [2.0]]


def test_targets_by_hand():
    # 1 + .5 * 5 = 3.5 and, terminated, 1; double: 1 + .5 * 1 = 1.5 and 1
    assert td0_target(r, greedy_value(q), terminated, gamma=0.5).tolist() == [[3.5], [1.0]]
    assert td0_target(r, double_q_value(q, online), terminated, gamma=0.5).tolist() == [[1.5], [1.0]]


def test_a_network_that_judges_itself_is_greedy():
    assert torch.equal(double_q_value(q, q, mask=mask), greedy_value(q, mask=mask))
    assert (double_q_value(q, online) <= greedy_value(q)).all()


def test_a_terminal_state_that_allows_nothing_is_worth_nothing():
    nothing = torch.zeros_like(mask)
    ended = torch.ones_like(terminated)
    assert td0_target(r, greedy_value(q, mask=nothing), ended, gamma=0.5).tolist() == [[1.0], [1.0]]


def test_loop_vmap_compile_gradcheck():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 4, generator=g, dtype=torch.float64) for _ in range(2))
    allowed = torch.rand(5, 4, generator=g) < 0.7
    allowed[:, 0] = True
    for compute, pick in (
        (lambda a, b, m: greedy_value(a, mask=m), a),
        (lambda a, b, m: double_q_value(a, b, mask=m), b),
    ):
        want = compute(a, b, allowed)
        for i in range(5):
            best = max((float(pick[i, j]), j) for j in range(4) if allowed[i, j])[1]
            assert want[i].item() == a[i, best].item()
        assert torch.equal(torch.vmap(compute)(a, b, allowed), want)
        assert torch.equal(torch.compile(compute, fullgraph=True, backend="eager")(a, b, allowed), want)
        inputs = (a.clone().requires_grad_(),)
        assert torch.autograd.gradcheck(lambda a, compute=compute: compute(a, b, allowed), inputs)


def test_refusals():
    with pytest.raises(SpecError, match=r"greedy_value .* got q \[2, 3\], mask \[2, 1\]"):
        greedy_value(q, mask=mask[:, :1])
    with pytest.raises(SpecError, match="double_q_value cannot be computed: mask is no mask"):
        double_q_value(q, online, mask=q)
    with pytest.raises(SpecError, match=r"got q \[2, 3\], q_online \[2, 2\]"):
        double_q_value(q, online[:, :2])
