from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from keywork._errors import SpecError
from keywork.nets import MLP, orthogonal_


def gram(weight):
    flat = weight.flatten(1)
    return flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat


def test_every_layer_of_any_module():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 5, bias=False))
    assert orthogonal_(net, gain=2.0, last_gain=0.5) is net
    torch.testing.assert_close(gram(net[0].weight), 4.0 * torch.eye(4))
    torch.testing.assert_close(gram(net[4].weight), 0.25 * torch.eye(5))
    assert (net[0].bias == 0).all() and (net[3].weight == 1).all()
    assert net[4].weight.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_without_a_decomposition(dtype):
    layer = orthogonal_(nn.Linear(4, 3, dtype=dtype))
    assert layer.weight.dtype == dtype
    torch.testing.assert_close(gram(layer.weight).double(), torch.eye(3).double(), atol=0.02, rtol=0)


def test_a_seed_decides_the_weights():
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        weights.append(orthogonal_(nn.Linear(4, 3)).weight)
    assert torch.equal(*weights)


@pytest.mark.parametrize("way", [lambda net: net, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_lazy_layer_gets_its_weights_with_its_size(way):
    net = way(orthogonal_(MLP(out_features=2), last_gain=0.1))
    net(torch.zeros(1, 3))
    torch.testing.assert_close(gram(net[0].weight), 2.0 * torch.eye(3))
    torch.testing.assert_close(gram(net[-1].weight), 0.01 * torch.eye(2))
    assert (net[0].bias == 0).all()
    before = copy.deepcopy(net.state_dict())
    net(torch.zeros(1, 3))
    assert all(torch.equal(net.state_dict()[key], before[key]) for key in before)
    assert not net[0]._forward_pre_hooks


def test_a_state_that_is_loaded_into_a_lazy_layer_is_kept():
    saved = MLP(3, 2).state_dict()
    net = orthogonal_(MLP(out_features=2))
    net.load_state_dict(saved)
    net(torch.zeros(1, 3))
    assert all(torch.equal(net.state_dict()[key], saved[key]) for key in saved)


def test_a_module_without_layers_is_refused():
    with pytest.raises(SpecError) as error:
        orthogonal_(nn.Tanh())
    assert str(error.value) == (
        "orthogonal_ cannot initialise a Tanh: it has no linear or convolutional layer. Pass the network itself."
    )
