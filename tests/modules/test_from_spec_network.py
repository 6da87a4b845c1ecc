from __future__ import annotations

import torch
from torch import nn

from keywork.modules import NetworkConfig
from keywork.modules._from_spec_network import network_of
from keywork.nets import MLP, Chain, DuelingMLP
from keywork.specs import Bounded, Categorical, Unbounded


def test_numbers_go_straight_in_and_all_else_through_features():
    assert isinstance(network_of({"x": Unbounded((3,))}, 2, NetworkConfig(), 1.0), MLP)
    for specs in ([Unbounded((3,), torch.float64)], [Unbounded(())], [Categorical(3)], [Unbounded((3,))] * 2):
        net = network_of(dict(enumerate(specs)), 2, NetworkConfig(), 1.0)
        assert isinstance(net, Chain)
        assert net(*[spec.rand((5,)) for spec in specs]).shape == (5, 2)


def test_its_layers_are_as_the_config_says():
    config = NetworkConfig(num_cells=(8, 8), activation_class=nn.ReLU, norm_class=nn.LayerNorm)
    net = network_of({"x": Unbounded((3,))}, 2, config, 0.01)
    assert [type(layer).__name__ for layer in net] == ["Linear", "LayerNorm", "ReLU"] * 2 + ["Linear"]
    # W Wᵀ = gain² I for a square matrix, with gain √2 for hidden layers
    torch.testing.assert_close(net[3].weight @ net[3].weight.T, 2.0 * torch.eye(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(net[6].weight @ net[6].weight.T, 1e-4 * torch.eye(2), atol=1e-9, rtol=0)
    net = network_of({"x": Unbounded((3,))}, 2, NetworkConfig(last_gain=0.5), 0.01)
    torch.testing.assert_close(net[4].weight @ net[4].weight.T, 0.25 * torch.eye(2), atol=1e-6, rtol=0)
    assert network_of({"x": Unbounded((3,))}, 2, NetworkConfig(init="torch"), 0.01)[0].bias.any()
    assert isinstance(network_of({"x": Unbounded((3,))}, 2, NetworkConfig(), 1.0, dueling=True), DuelingMLP)


def test_images_are_initialised_as_all_else():
    net = network_of({"x": Bounded(0, 255, (1, 84, 84), torch.uint8)}, 2, NetworkConfig(), 1.0)
    conv = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    flat = conv.weight.flatten(1)
    torch.testing.assert_close(flat @ flat.T, 2.0 * torch.eye(32), atol=1e-5, rtol=0)
