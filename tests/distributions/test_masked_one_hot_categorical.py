from __future__ import annotations

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import MaskedOneHotCategorical

LOGITS = torch.tensor([[0.0, 1.0, 2.0], [2.0, 0.5, -1.0]])
MASK = torch.tensor([[True, True, False], [False, True, True]])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_one_hots_of_any_type(dtype):
    dist = MaskedOneHotCategorical(LOGITS, mask=MASK)
    score = dist.log_prob(torch.tensor([[0, 1, 0], [0, 0, 1]], dtype=dtype))
    # log(e / (1 + e)) and log(e^-1 / (e^0.5 + e^-1)) = log σ(1), log σ(-1.5)
    torch.testing.assert_close(score, torch.nn.functional.logsigmoid(torch.tensor([1.0, -1.5])))


def test_an_index_is_refused():
    with pytest.raises(SpecError, match=r"It looks like an index: .* or use MaskedCategorical"):
        MaskedOneHotCategorical(LOGITS, mask=MASK).log_prob(torch.tensor([1, 2]))


def test_rsample_is_straight_through_and_never_forbidden():
    logits = LOGITS.clone().requires_grad_()
    dist = MaskedOneHotCategorical(logits, mask=MASK)
    assert not dist.has_rsample
    draw = dist.rsample((500,))
    assert ((draw == 0) | (draw == 1)).all() and (draw.sum(-1) == 1).all() and (draw[:, ~MASK] == 0).all()
    (gradient,) = torch.autograd.grad(draw[0, 0, 0], logits)
    # p (1 - p) between the two that are allowed, with p = σ(-1)
    step = torch.sigmoid(torch.tensor(-1.0)) * torch.sigmoid(torch.tensor(1.0))
    torch.testing.assert_close(gradient, torch.stack([torch.stack([step, -step, 0 * step]), torch.zeros(3)]))
