"""Every network initialises itself anew in the way of its construction."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork.nets import MLP, ConvNet, DuelingCNN, DuelingMLP, MLPConfig

NETS = {
    "mlp": lambda init: MLP(4, 2, num_cells=[4, 4], init=init, last_gain=0.1),
    "mlp-norm": lambda init: MLP(4, 2, num_cells=[4], init=init, config=MLPConfig(norm_class=nn.LayerNorm)),
    "conv": lambda init: ConvNet(2, [4, 4], 2, 1, init=init),
    "dueling-mlp": lambda init: DuelingMLP(4, 2, num_cells=[4], head_cells=[4], init=init, last_gain=0.1),
    "dueling-cnn": lambda init: DuelingCNN(2, ConvNet(2, [4], 2, 1, init=init), num_cells=4, init=init),
}


def lazy_input(net):
    return torch.rand(1, 2, 5, 5) if any(isinstance(m, nn.Conv2d) for m in net.modules()) else torch.rand(1, 4)


@pytest.mark.parametrize("init", ["torch", "orthogonal"])
@pytest.mark.parametrize("name", NETS)
def test_it_is_as_new(name, init):
    net = NETS[name](init)
    net(lazy_input(net))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(7.0)
    net.reset_parameters()
    for key, value in net.state_dict().items():
        if value.ndim > 1:
            assert not torch.isclose(value, before[key]).any()
            gram, old = (x.flatten(1) @ x.flatten(1).T for x in (value, before[key]))
            if init == "orthogonal" and value.flatten(1).shape[0] <= value.flatten(1).shape[1]:
                torch.testing.assert_close(gram, old, atol=1e-5, rtol=1e-4)  # gain² I of the same gain
        else:
            assert (value != 7.0).all()
            assert init == "torch" or torch.equal(value, before[key])  # zeros, and ones of a norm


@pytest.mark.parametrize("init", ["torch", "orthogonal"])
def test_a_network_without_a_size_stays_so(init):
    net = MLP(out_features=2, init=init, last_gain=0.1)
    net.reset_parameters()
    net.reset_parameters()
    net(torch.zeros(1, 3))
    if init == "orthogonal":
        torch.testing.assert_close(net[0].weight.T @ net[0].weight, 2.0 * torch.eye(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(net[-1].weight @ net[-1].weight.T, 0.01 * torch.eye(2), atol=1e-6, rtol=0)
    assert not net[0]._forward_pre_hooks
