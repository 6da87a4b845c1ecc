from __future__ import annotations

import math

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import Categorical


def test_by_hand():
    # p = (1, 2, 1) / 4: log p(1) = log 1/2, entropy = 1/2 log 4 + 1/2 log 2 = 1.5 log 2.
    dist = Categorical(logits=torch.tensor([0.0, math.log(2), 0.0]))
    assert dist.log_prob(torch.tensor(1)).item() == pytest.approx(-math.log(2))
    assert dist.entropy().item() == pytest.approx(1.5 * math.log(2))
    assert dist.mode.item() == 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.bool])
def test_indices_of_any_integer_type(dtype):
    dist = Categorical(logits=torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    value = torch.tensor([0, 1])
    assert torch.equal(dist.log_prob(value.to(dtype)), dist.log_prob(value))


def test_a_float_index_is_refused():
    with pytest.raises(SpecError) as error:
        Categorical(logits=torch.zeros(2, 3)).log_prob(torch.zeros(2))
    assert str(error.value) == (
        "Categorical.log_prob cannot score a value of type torch.float32: it takes indices of an integer type. Store "
        "the action as int64, or pass value.long()."
    )


def test_an_index_out_of_range_is_an_error():
    with pytest.raises((IndexError, RuntimeError)):
        Categorical(logits=torch.zeros(2, 3)).log_prob(torch.tensor([0, 3]))


def test_the_support():
    assert Categorical(logits=torch.zeros(3)).support.check(torch.tensor([-1, 0, 2, 3])).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", ["logits", "probs"])
def test_half_precision_is_normalised_in_float32(form, dtype):
    """In bfloat16 the probabilities of 300 choices would add up to anything from 0.9 to 1.1."""
    given = torch.rand(4, 300, generator=torch.Generator().manual_seed(0)).to(dtype)
    dist = Categorical(**{form: given})
    assert dist.probs.dtype == dist.logits.dtype == dist.log_prob(dist.sample()).dtype == torch.float32
    torch.testing.assert_close(dist.probs.sum(-1), torch.ones(4), atol=1e-5, rtol=0)
    exact = given.double().softmax(-1) if form == "logits" else given.double() / given.double().sum(-1, keepdim=True)
    torch.testing.assert_close(dist.probs.double(), exact, atol=0, rtol=1e-5)
