from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from keywork._errors import SpecError
from keywork.nets import MLP, MLPConfig


def kinds(net):
    return [type(layer).__name__ for layer in net]


def test_it_is_the_sequence_of_the_same_layers():
    net = MLP(4, 2, num_cells=[8, 16])
    twin = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
    assert kinds(net) == kinds(twin)
    assert (
        list(net.state_dict()) == list(twin.state_dict()) == [f"{i}.{p}" for i in (0, 2, 4) for p in ("weight", "bias")]
    )
    twin.load_state_dict(net.state_dict())
    x = torch.randn(3, 5, 4)
    assert torch.equal(net(x), twin(x))
    assert net(x).shape == (3, 5, 2)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, [(4, 64), (64, 64), (64, 2)]),
        ({"num_cells": 8}, [(4, 8), (8, 8), (8, 2)]),
        ({"num_cells": 8, "depth": 1}, [(4, 8), (8, 2)]),
        ({"depth": 3}, [(4, 64), (64, 64), (64, 64), (64, 2)]),
        ({"num_cells": (8, 6), "depth": 2}, [(4, 8), (8, 6), (6, 2)]),
        ({"num_cells": []}, [(4, 2)]),
        ({"depth": 0}, [(4, 2)]),
    ],
)
def test_sizes(options, sizes):
    layers = [layer for layer in MLP(4, 2, **options) if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == sizes


def test_options():
    config = MLPConfig(activate_last_layer=True, norm_class=nn.LayerNorm, bias=False, bias_last_layer=True)
    net = MLP(4, 2, num_cells=[8], activation_class=nn.ReLU, config=config)
    assert kinds(net) == ["Linear", "LayerNorm", "ReLU", "Linear", "LayerNorm", "ReLU"]
    assert net[0].bias is None and net[3].bias is not None
    net = MLP(4, 2, config=MLPConfig(bias_last_layer=False, dtype=torch.float64, device="meta"))
    assert net[0].bias is not None and net[-1].bias is None
    assert net[0].weight.dtype == torch.float64 and net[0].weight.device.type == "meta"


def test_the_layers_can_be_of_another_class():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    net = MLP(4, 2, num_cells=[], config=MLPConfig(layer_class=Doubled))
    x = torch.randn(3, 4)
    torch.testing.assert_close(net(x), 2 * nn.functional.linear(x, net[0].weight, net[0].bias))


def test_several_inputs_are_joined():
    net = MLP(3 + 2, 1)
    observation, action = torch.randn(7, 3), torch.randn(7, 2)
    assert torch.equal(net(observation, action), net(torch.cat([observation, action], -1)))
    one_hot = torch.tensor([[0, 1], [1, 0]])  # an action of integers joins the floats
    assert torch.equal(net(observation[:2], one_hot), net(observation[:2], one_hot.float()))


def test_the_output_can_have_a_shape():
    net = MLP(4, (2, 3))
    assert net(torch.zeros(5, 4)).shape == (5, 2, 3)
    assert torch.equal(net(torch.ones(5, 4)).flatten(-2), net[:-1](torch.ones(5, 4)))


def test_a_size_that_is_left_out_is_found_at_the_first_call():
    net = MLP(out_features=2, config=MLPConfig(dtype=torch.float64))
    keys = list(net.state_dict())
    assert net(torch.zeros(5, 3, dtype=torch.float64), torch.zeros(5, 1, dtype=torch.float64)).shape == (5, 2)
    assert type(net[0]) is nn.Linear and net[0].in_features == 4
    assert list(net.state_dict()) == keys


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((4,), {}, "out_features=None is no size. Pass the size of the output, such as out_features=2."),
        ((4, ()), {}, r"out_features=\(\) is no size"),
        ((0, 2), {}, r"its layers would have the sizes \[0, 64, 64, 2\], and each must be a positive whole number"),
        ((4, 2), {"num_cells": [8, -1]}, r"sizes \[4, 8, -1, 2\]"),
        ((4, 2), {"num_cells": [8.5]}, r"sizes \[4, 8.5, 2\]"),
        ((4, 2), {"num_cells": [8], "depth": 2}, r"depth=2 contradicts num_cells=\[8\], which are 1 hidden layers"),
        ((4, 2), {"depth": -1}, "depth=-1 hidden layers"),
        ((4, 2), {"init": "ortho"}, "there is no init='ortho'. Pass init='torch' or init='orthogonal'"),
        (
            (None, 2),
            {"config": MLPConfig(layer_class=nn.Bilinear)},
            "in_features is left out, and only nn.Linear .*, not Bilinear",
        ),
    ],
)
def test_what_cannot_be_built(arguments, options, message):
    with pytest.raises(SpecError, match=f"MLP cannot be built: .*{message}"):
        MLP(*arguments, **options)


def test_orthogonal_initialisation():
    net = MLP(4, 2, num_cells=[8, 8], init="orthogonal", last_gain=0.01)
    first, hidden, last = (layer.weight for layer in net if isinstance(layer, nn.Linear))
    torch.testing.assert_close(first.T @ first, 2.0 * torch.eye(4))
    torch.testing.assert_close(hidden @ hidden.T, 2.0 * torch.eye(8))
    torch.testing.assert_close(last @ last.T, 1e-4 * torch.eye(2))
    assert all((layer.bias == 0).all() for layer in net if isinstance(layer, nn.Linear))
    gain = MLP(4, 2, num_cells=[8], init="orthogonal", config=MLPConfig(gain=3.0))[0].weight
    torch.testing.assert_close(gain.T @ gain, 9.0 * torch.eye(4))
    assert MLPConfig().gain == math.sqrt(2.0)


def test_slices_and_copies():
    net = MLP(4, 2, num_cells=[8])
    x = torch.randn(3, 4)
    assert torch.equal(net[-1](net[:-1](x)), net(x))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x), net(x))


def test_it_compiles_and_maps():
    net = MLP(4, 2)
    x, y = torch.randn(5, 3), torch.randn(5, 1)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(net, fullgraph=True, backend="eager")(x, y), net(x, y))
    torch.testing.assert_close(torch.vmap(net)(x, y), net(x, y))


def test_norms_go_with_lazy_sizes_and_orthogonal_weights():
    net = MLP(None, 2, num_cells=[8, 8], init="orthogonal", config=MLPConfig(norm_class=nn.LayerNorm))
    assert kinds(net) == ["LazyLinear", "LayerNorm", "Tanh", "Linear", "LayerNorm", "Tanh", "Linear"]
    assert net(torch.randn(5, 3)).isfinite().all()
    torch.testing.assert_close(net[0].weight.T @ net[0].weight, 2.0 * torch.eye(3), atol=1e-5, rtol=0)
    assert (net[1].weight == 1).all() and (net[1].bias == 0).all()


def test_logits_of_atoms():
    assert MLP(4, (51, 4))(torch.zeros(3, 4)).log_softmax(-2).exp().sum(-2).allclose(torch.ones(3, 4))
