import numpy as np
import pytest
import torch
from gymnasium import spaces

from keywork._errors import SpecError
from keywork.specs import MultiDiscrete


@pytest.mark.parametrize("nvec", [[2, 5], np.array([2, 5], np.uint8), torch.tensor([2, 5])])
def test_counts_come_as_anything(nvec):
    spec = MultiDiscrete(nvec)
    assert spec == MultiDiscrete([2, 5])
    assert spec.nvec.tolist() == [2, 5]
    assert spec.shape == (2,)


def test_is_in_and_project_by_hand():
    spec = MultiDiscrete([[2, 5], [1, 3]])
    assert spec.is_in(torch.tensor([[1, 4], [0, 2]]))
    assert not spec.is_in(torch.tensor([[1, 4], [1, 2]]))
    assert not spec.is_in(torch.tensor([[1.0, 4.0], [0.0, 2.0]]))
    assert spec.project(torch.tensor([[-1, 5], [9, 1]])).tolist() == [[0, 4], [0, 1]]


def test_rand_is_even_in_every_place():
    value = MultiDiscrete([2, 5]).rand(50_000, generator=torch.Generator().manual_seed(0))
    # Standard deviations: sqrt(50000 / 4) = 112 and sqrt(50000 · 0.2 · 0.8) = 89.
    assert (torch.bincount(value[:, 0]) - 25_000).abs().max() < 5 * 112
    assert (torch.bincount(value[:, 1]) - 10_000).abs().max() < 5 * 89
    assert torch.bincount(value[:, 1]).shape == (5,)


def test_an_environment_may_count_from_elsewhere():
    spec = MultiDiscrete([2, 5], start=[10, -1])
    assert spec.start.tolist() == [10, -1]
    assert spec.encode([[10, -1], [11, 3]]).tolist() == [[0, 0], [1, 4]]
    assert spec.to_env(torch.tensor([1, 4])).tolist() == [11, 3]
    assert spec.to_gymnasium() == spaces.MultiDiscrete([2, 5], start=[10, -1])
    assert MultiDiscrete([2, 5], start=3) == MultiDiscrete([2, 5], start=[3, 3])


@pytest.mark.parametrize(
    ("nvec", "domain"),
    [
        ([2, 5], "{0..1} × {0..4}"),
        ([3, 3, 3, 3, 3], "{0..2}"),
        ([1, 2, 3, 4], "{0} × {0..1} × {0..2} × {0..3}"),
        ([1, 2, 3, 4, 5], "within {0..4}"),
        ([], "empty"),
    ],
)
def test_domain(nvec, domain):
    assert MultiDiscrete(nvec).domain == domain


def test_the_message_names_what_may_stand_at_the_place():
    with pytest.raises(SpecError) as error:
        MultiDiscrete([2, 5]).validate(torch.tensor([[1, 4], [2, 5]]), "action")
    assert str(error.value) == (
        "action is not in MultiDiscrete(nvec=(2, 5), dtype=torch.int64): 2 of 4 elements are outside.\n"
        "  where: first at index (1, 0)\n  expected: {0..1}\n  got: 2, in an int64 tensor of shape (2, 2)\n"
        "  fix: spec.project(value) takes the nearest member"
    )


@pytest.mark.parametrize(
    ("arguments", "where", "expected", "got"),
    [
        ({"nvec": [2, 0]}, "nvec", "positive whole numbers", "[2, 0]"),
        ({"nvec": [2.5]}, "nvec", "whole numbers", "[2.5]"),
        ({"nvec": [2, 3], "start": [1, 2, 3]}, "start", "numbers broadcastable to (2,)", "[1, 2, 3]"),
        ({"nvec": [2, 3], "start": 0.5}, "start", "whole numbers", "0.5"),
    ],
)
def test_what_cannot_be_built_is_said(arguments, where, expected, got):
    with pytest.raises(SpecError) as error:
        MultiDiscrete(**arguments)
    assert str(error.value) == (
        f"MultiDiscrete cannot be built: its arguments do not fit.\n  where: {where}\n  expected: {expected}\n"
        f"  got: {got}\n  fix: MultiDiscrete([2, 5]), or MultiDiscrete([[2, 5], [3, 3]]) for two dimensions"
    )


def test_a_dtype_that_does_not_hold_the_choices_is_refused():
    with pytest.raises(SpecError, match="int8 does not hold its choices"):
        MultiDiscrete([2, 200], torch.int8)
