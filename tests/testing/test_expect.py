"""How outputs are compared."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from keywork.testing._expect import all_same, close, expect, failing, leaves, same, seeded


def test_the_same_is_bit_for_bit_and_of_one_type_and_shape():
    x = torch.tensor([1.0, torch.nan])
    assert same(x, x.clone())
    assert not same(x, torch.tensor([1.0 + 1e-7, torch.nan]))
    assert not same(x, torch.tensor([torch.nan, 1.0]))
    assert not same(torch.zeros(2), torch.zeros(2).double())
    assert not same(torch.zeros(2), torch.zeros(1, 2))
    assert not same(torch.zeros(2), torch.zeros(2, dtype=torch.int64))
    assert all_same([x, x], [x, x])
    assert not all_same([x], [x, x])


def test_nested_entries_are_compared_by_their_keys():
    one = TensorDict(b=torch.ones(2), a=TensorDict(c=torch.zeros(2)))
    other = TensorDict(a=TensorDict(c=torch.zeros(2)), b=torch.ones(2))
    assert [leaf.tolist() for leaf in leaves(one)] == [[0.0, 0.0], [1.0, 1.0]]
    assert same(one, other)
    assert not same(one, TensorDict(b=torch.ones(2)))


def test_a_check_that_fails_says_what_is_wrong():
    expect(True, "nothing")
    with pytest.raises(AssertionError, match=r"^the sky is green$"):
        expect(False, "the sky is green")
    with pytest.raises(AssertionError, match=r"^x: float32\[2\] is not of the shape of float32\[1, 2\]$"):
        close(torch.zeros(2), torch.zeros(1, 2), "x")
    with pytest.raises(AssertionError, match=r"^x: AssertionError: Tensor-likes are not close!"):
        close(torch.zeros(2), torch.ones(2), "x")
    close(torch.zeros(2), torch.full((2,), 1e-6), "x")


def test_only_the_errors_that_are_named_become_failures():
    with pytest.raises(AssertionError, match=r"^it runs not: ValueError: first$"), failing("it runs not", ValueError):
        raise ValueError("first\nsecond")
    with pytest.raises(TypeError), failing("it runs not", ValueError):
        raise TypeError


def test_a_seed_is_given_back():
    before = torch.get_rng_state()
    with seeded(3):
        one = torch.rand(2)
    with seeded(3):
        assert torch.equal(one, torch.rand(2))
    assert torch.equal(before, torch.get_rng_state())
