from __future__ import annotations

import pytest
import torch

from keywork._errors import SpecError
from keywork.functional import value_loss

value = torch.tensor([1.0, 4.0, -2.0])
target = torch.tensor([0.5, 1.0, 0.0])


def test_l2_by_hand():
    assert value_loss(value, target).tolist() == [0.25, 9.0, 4.0]  # .5², 3², 2²


def test_smooth_l1_by_hand():
    assert value_loss(value, target, kind="smooth_l1").tolist() == [0.125, 2.5, 1.5]  # .5²/2, 3 - .5, 2 - .5


def test_l1_by_hand():
    assert value_loss(value, target, kind="l1").tolist() == [0.5, 3.0, 2.0]


def test_clipping_by_hand():
    # ε = .5. From 2 towards 1: clipped at 1.5, (1.5 - .5)² = 1 > .25. From 3 to 4, away: clipped at 3.5, 6.25 < 9.
    # From -2.25 to -2: inside the clip, so both are 4.
    old = torch.tensor([2.0, 3.0, -2.25])
    assert value_loss(value, target, old_value=old, clip_epsilon=0.5).tolist() == [1.0, 9.0, 4.0]


def test_clipping_stops_the_gradient_of_a_prediction_that_moved_far_enough():
    prediction = value.clone().requires_grad_()
    old = torch.tensor([2.0, 3.0, -2.25])
    value_loss(prediction, target, old_value=old, clip_epsilon=0.5).sum().backward()
    # 0 where the clipped loss is the larger one; else 2 (v - G): 2 * 3, 2 * -2
    assert prediction.grad.tolist() == [0.0, 6.0, -4.0]


def test_the_target_and_the_old_value_are_constants():
    prediction, goal, old = (torch.ones(2, requires_grad=True) for _ in range(3))
    value_loss(prediction, goal, old_value=old, clip_epsilon=0.5).sum().backward()
    assert prediction.grad is not None and goal.grad is None and old.grad is None


@pytest.mark.parametrize("kind", ["l2", "smooth_l1"])
@pytest.mark.parametrize("clip_epsilon", [None, 0.3])
def test_gradcheck_vmap_compile(kind, clip_epsilon):
    g = torch.Generator().manual_seed(0)
    prediction, goal, old = (torch.randn(4, 3, dtype=torch.float64, generator=g) for _ in range(3))

    def compute(prediction, goal, old):
        clipping = {} if clip_epsilon is None else {"old_value": old, "clip_epsilon": clip_epsilon}
        return value_loss(prediction, goal, kind=kind, **clipping)

    want = compute(prediction, goal, old)
    torch.testing.assert_close(torch.vmap(compute)(prediction, goal, old), want)
    compiled = torch.compile(compute, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(prediction, goal, old), want)
    assert torch.autograd.gradcheck(lambda x: compute(x, goal, old), (prediction.requires_grad_(),))


def test_a_trailing_one_does_not_broadcast():
    with pytest.raises(SpecError, match=r"got value \[3, 1\], target \[3\]"):
        value_loss(value.unsqueeze(-1), target)
    with pytest.raises(SpecError, match=r"got value \[3\], old_value \[3, 1\]"):
        value_loss(value, target, old_value=value.unsqueeze(-1), clip_epsilon=0.2)


def test_unknown_kind():
    with pytest.raises(SpecError) as error:
        value_loss(value, target, kind="l3")
    assert str(error.value) == (
        "value_loss cannot be computed: kind='l3' is no loss. It takes one of 'l2', 'l1', 'smooth_l1'. "
        "Pass kind='l2' for the squared error."
    )


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({"clip_epsilon": 0.2}, "no old_value and clip_epsilon=0.2"),
        ({"old_value": value}, "old_value and clip_epsilon=None"),
        ({"old_value": value, "clip_epsilon": 0.0}, "old_value and clip_epsilon=0.0"),
    ],
)
def test_half_a_clipping(arguments, got):
    with pytest.raises(SpecError) as error:
        value_loss(value, target, **arguments)
    assert str(error.value) == (
        "value_loss cannot be computed: clipping takes old_value and clip_epsilon > 0 together; "
        f"got {got}. Pass both, or neither."
    )
