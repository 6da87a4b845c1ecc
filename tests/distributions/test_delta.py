from __future__ import annotations

import math

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import Delta


def test_every_way_to_an_action_is_the_parameter():
    param = torch.randn(4, 2)
    dist = Delta(param)
    for value in (dist.sample(), dist.rsample(), dist.mode, dist.mean, dist.deterministic_sample):
        assert torch.equal(value, param)
    assert dist.variance.tolist() == [[0.0, 0.0]] * 4
    assert dist.entropy().tolist() == [-math.inf] * 4
    assert torch.equal(dist.rsample((3,)), param.expand(3, 4, 2))


def test_random_exploration_keeps_the_gradient():
    """The field has has_rsample False: its RANDOM is detached."""
    param = torch.randn(4, 2, requires_grad=True)
    dist = Delta(param)
    assert dist.has_rsample and dist.rsample().requires_grad and not dist.sample().requires_grad


def test_log_prob_is_infinite_either_way():
    dist = Delta(torch.tensor([[1.0, 2.0], [1.0, 2.0]]))
    value = torch.tensor([[1.0, 2.0], [1.0, 2.1]])
    assert dist.log_prob(value).tolist() == [math.inf, -math.inf]
    assert dist.log_prob(dist.sample((3,))).tolist() == [[math.inf] * 2] * 3
    assert Delta(torch.tensor([1.0]), atol=0.2).log_prob(torch.tensor([1.1])).item() == math.inf
    assert Delta(torch.tensor([100.0]), rtol=0.01).log_prob(torch.tensor([100.9])).item() == math.inf


def test_a_joint_draw_is_the_point_and_its_score():
    param = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    dist = Delta(param)
    for draw, constant in ((dist.rsample_and_log_prob, False), (dist.sample_and_log_prob, True)):
        for shape in ((), (3,)):
            value, score = draw(shape)
            assert torch.equal(value, dist.rsample(shape)) and value.requires_grad is not constant
            expected = dist.log_prob(value)
            assert torch.equal(score, expected) and score.dtype == expected.dtype


def test_shapes():
    param = torch.zeros(2, 3, 4)
    for options, batch, event in (
        ({}, (2, 3), (4,)),
        ({"batch_shape": (2,)}, (2,), (3, 4)),
        ({"event_shape": ()}, (2, 3, 4), ()),
        ({"event_shape": (2, 3, 4)}, (), (2, 3, 4)),
        ({"batch_shape": (2, 3), "event_shape": (4,)}, (2, 3), (4,)),
    ):
        dist = Delta(param, **options)
        assert (dist.batch_shape, dist.event_shape) == (batch, event)
        assert dist.log_prob(dist.sample()).shape == batch
    assert Delta(0.5).event_shape == ()
    for options in ({"batch_shape": (3,)}, {"event_shape": (3,)}, {"event_shape": (1, 2, 3, 4)}):
        with pytest.raises(SpecError, match=r"do not make up the shape of the parameter, \[2, 3, 4\]"):
            Delta(param, **options)
