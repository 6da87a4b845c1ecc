from __future__ import annotations

import pytest
import torch

from keywork._errors import SpecError
from keywork.functional import smoothed_action


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand():
    # 0 + .2; 0 - .5 (noise clipped); .9 + .3 -> 1 (action clipped); -.9 - .5 -> -1
    action, noise = torch.tensor([0.0, 0.0, 0.9, -0.9]), torch.tensor([0.2, -3.0, 0.3, -0.7])
    got = smoothed_action(action, noise, noise_clip=0.5, low=-1.0, high=1.0)
    torch.testing.assert_close(got, torch.tensor([0.2, -0.5, 1.0, -1.0]))


@pytest.mark.parametrize("high", [0.5, torch.tensor([0.5, 2.0])])
def test_bounds_of_each_dimension(high):
    action, low = torch.tensor([[3.0, 3.0], [-3.0, -3.0]]), torch.tensor([-1.0, -2.0])
    got = smoothed_action(action, torch.zeros(2, 2), noise_clip=0.5, low=low, high=high)
    assert got.tolist() == [[0.5, 0.5 if isinstance(high, float) else 2.0], [-1.0, -2.0]]


def test_equals_the_loop():
    action, noise = numbers(4, 2), numbers(4, 2, seed=1)
    got = smoothed_action(action, noise, noise_clip=0.3, low=-0.8, high=0.9)
    for a, e, g in zip(action.flatten(), noise.flatten(), got.flatten(), strict=True):
        assert g.item() == min(max(a.item() + min(max(e.item(), -0.3), 0.3), -0.8), 0.9)


def test_transforms():
    def compute(action, noise):
        return smoothed_action(action, noise, noise_clip=0.3, low=-0.8, high=torch.tensor([0.9, 0.7]))

    action, noise = numbers(4, 2), numbers(4, 2, seed=1)
    want = compute(action, noise)
    assert torch.equal(torch.vmap(compute)(action, noise), want)
    assert torch.equal(torch.compile(compute, fullgraph=True, backend="eager")(action, noise), want)
    assert torch.autograd.gradcheck(lambda a: compute(a, noise), (action.clone().requires_grad_(),))


def test_refusals():
    with pytest.raises(SpecError, match=r"got action \[2\], noise \[1\]"):
        smoothed_action(torch.zeros(2), torch.zeros(1), noise_clip=0.5, low=-1.0, high=1.0)
    with pytest.raises(SpecError) as error:
        smoothed_action(torch.zeros(2), torch.zeros(2), noise_clip=-0.5, low=-1.0, high=1.0)
    assert str(error.value) == (
        "smoothed_action cannot be computed: noise_clip is out of range. It takes noise_clip >= 0; got -0.5. "
        "The paper's choice is 0.5."
    )
