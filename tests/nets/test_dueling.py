from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from keywork._errors import SpecError
from keywork.nets import ConvConfig, ConvNet, DuelingCNN, DuelingMLP, MLPConfig


def test_by_hand():
    net = DuelingMLP(1, 3, num_cells=[1])
    net.features, net.value, net.advantage = nn.Identity(), nn.Identity(), nn.Linear(1, 3, bias=False)
    with torch.no_grad():
        net.advantage.weight.copy_(torch.tensor([[1.0], [2.0], [6.0]]))
    # V = 10, A = 10, 20, 60, of mean 30
    assert net(torch.tensor([10.0])).tolist() == [-10.0, 0.0, 40.0]


def nets():
    conv = ConvNet(1, [2], 2, 1, config=ConvConfig(image_size=(4, 4)))
    return {
        "mlp": (DuelingMLP(3, 5), torch.randn(7, 3)),
        "mlp-lazy": (DuelingMLP(None, 5, head_cells=8), torch.randn(7, 3)),
        "mlp-atoms": (DuelingMLP(3, (11, 5), num_cells=16), torch.randn(7, 3)),
        "cnn": (DuelingCNN(5, conv, num_cells=4), torch.randn(7, 1, 4, 4)),
        "cnn-atoms": (DuelingCNN((11, 5), conv, num_cells=4), torch.randn(7, 1, 4, 4)),
        "cnn-lazy": (DuelingCNN(5, num_cells=4), torch.rand(7, 2, 36, 36).mul(255).byte()),
    }


@pytest.mark.parametrize("name", nets())
def test_the_mean_over_actions_is_the_value_of_the_state(name):
    net, x = nets()[name]
    y = net(x)
    assert y.shape == ((7, 11, 5) if "atoms" in name else (7, 5))
    torch.testing.assert_close(y.mean(-1, keepdim=True), net.value(net.features(x)), atol=1e-5, rtol=1e-5)
    y.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(net, fullgraph=True, backend="eager")(x), y)
    assert torch.equal(copy.deepcopy(net)(x), y)
    assert net(x[0]).shape == y.shape[1:]


def test_orthogonal_initialisation():
    config = MLPConfig(gain=3.0)
    net = DuelingMLP(4, 2, num_cells=[8, 8], head_cells=[8], init="orthogonal", last_gain=0.1, config=config)
    for layer in (net.features[0], net.features[2], net.advantage[0], net.value[0]):
        flat = layer.weight if layer.weight.shape[0] <= layer.weight.shape[1] else layer.weight.T
        torch.testing.assert_close(flat @ flat.T, 9.0 * torch.eye(len(flat)), atol=1e-5, rtol=0)
    for layer in (net.advantage[-1], net.value[-1]):
        gram = layer.weight @ layer.weight.T
        torch.testing.assert_close(gram, 0.01 * torch.eye(len(gram)), atol=1e-6, rtol=0)
    assert isinstance(net.features[-1], nn.Tanh)


def test_of_a_known_image_nothing_is_lazy():
    conv = ConvNet(1, [2], 2, 1, config=ConvConfig(image_size=(4, 4)))
    assert DuelingCNN(5, conv).advantage[0].in_features == 2 * 3 * 3


@pytest.mark.parametrize(
    "options", [{"out_features": None}, {"out_features": 2, "num_cells": []}, {"out_features": ()}]
)
def test_sizes_that_are_missing(options):
    with pytest.raises(SpecError, match="MLP cannot be built"):
        DuelingMLP(4, **options)
