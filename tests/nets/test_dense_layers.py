from __future__ import annotations

import copy

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torch.nn import functional as F

from keywork.nets import MLP, MLPConfig
from keywork.nets._dense_layers import dense_layers

ROWS = 70  # enough for a gradient
ACTIVATIONS = pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])


def network(**options):
    torch.manual_seed(0)
    return MLP(3, 2, num_cells=[5, 4], **options)


def one_by_one(net, x):
    for layer in net:
        x = layer(x)
    return x


@pytest.mark.parametrize("shape", [(ROWS, 3), (7, 10, 3), (0, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("is_last", [False, True])
@ACTIVATIONS
def test_without_a_gradient_it_is_the_layers_one_after_the_other(shape, dtype, is_last, activation):
    net = network(activation_class=activation, config=MLPConfig(activate_last_layer=is_last, dtype=dtype))
    x = torch.randn(shape, dtype=dtype)
    kept = x.clone()
    with torch.no_grad():
        y = dense_layers(x, net)
        torch.testing.assert_close(y, one_by_one(net, x))
    assert torch.equal(x, kept) and not y.requires_grad


@pytest.mark.parametrize("shape", [(ROWS, 3), (7, 10, 3)])
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("frozen", [None, "0.weight", "2.bias", "4.weight"])
@pytest.mark.parametrize("cells", [[5, 4], [6, 40]])  # of 3 inputs to 6, and 6 to 40, the gradient is on its side
@ACTIVATIONS
def test_the_gradient_is_theirs(shape, is_last, frozen, cells, activation):
    config = MLPConfig(activate_last_layer=is_last, dtype=torch.float64)
    net = MLP(3, 2, num_cells=cells, activation_class=activation, config=config)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name != frozen)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    asked = [x, *[parameter for parameter in net.parameters() if parameter.requires_grad]]
    ours, theirs = dense_layers(x, net), one_by_one(net, x)
    weights = torch.randn_like(theirs)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, asked, weights), torch.autograd.grad(theirs, asked, weights))


@ACTIVATIONS
def test_the_gradient_has_a_gradient(activation):
    net = network(activation_class=activation, config=MLPConfig(dtype=torch.float64))
    x = torch.randn(ROWS, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for y in (dense_layers(x, net), one_by_one(net, x)):
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)  # as a gradient penalty asks for it
        asked = [x, *net.parameters()]
        found.append(torch.autograd.grad(slope.square().sum(), asked, allow_unused=True, materialize_grads=True))
    torch.testing.assert_close(found[0], found[1])


@ACTIVATIONS
def test_it_can_be_run_backwards_twice(activation):
    net, x = network(activation_class=activation), torch.randn(ROWS, 3)
    y = dense_layers(x, net).sum()
    first = torch.autograd.grad(y, list(net.parameters()), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(y, list(net.parameters())), first)


@ACTIVATIONS
def test_the_gradient_that_comes_in_is_left_as_it_is(activation):
    net = network(activation_class=activation, config=MLPConfig(activate_last_layer=True))
    y = dense_layers(torch.randn(ROWS, 3), net)
    d = torch.randn_like(y)
    kept = d.clone()
    torch.autograd.grad(y, list(net.parameters()), d)
    assert torch.equal(d, kept)


def test_a_weight_changed_before_the_way_back_is_noticed():
    net = network()
    y = dense_layers(torch.randn(ROWS, 3), net).sum()
    with torch.no_grad():
        net[2].weight.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@ACTIVATIONS
def test_nan_and_infinity_go_through_without_a_warning(activation):
    net = network(activation_class=activation)
    x = torch.tensor([[torch.nan, 0.0, 0.0], [torch.inf, 0.0, 0.0], [1e30, 1.0, 1.0]])
    with torch.no_grad():
        torch.testing.assert_close(dense_layers(x, net), one_by_one(net, x), equal_nan=True)


OTHERS = {
    "elu": lambda: network(activation_class=nn.ELU),
    "of two kinds": lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU()),
    "two in a row": lambda: nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.ReLU()),
    "norm": lambda: network(config=MLPConfig(norm_class=nn.LayerNorm)),
    "no bias": lambda: network(config=MLPConfig(bias=False)),
    "linear alone": lambda: MLP(3, 2, num_cells=[]),
    "a shape": lambda: MLP(3, (2, 2)),
    "bfloat16": lambda: network(config=MLPConfig(dtype=torch.bfloat16)),
    "meta": lambda: network(config=MLPConfig(device="meta")),
    "weight norm": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.Tanh()),
    "lazy": lambda: MLP(None, 2),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=list(OTHERS))
def test_other_layers_are_left_to_themselves(make):
    net = make()
    like = next(net.parameters())
    lazy = isinstance(like, nn.UninitializedParameter)
    x = torch.zeros(ROWS, 3, dtype=like.dtype, device="cpu" if lazy else like.device)
    assert dense_layers(x, net) is None


def test_a_gradient_of_few_rows_is_left_to_autograd():
    net = network()
    assert dense_layers(torch.zeros(63, 3), net) is None
    assert dense_layers(torch.zeros(64, 3), net) is not None


@pytest.mark.parametrize(
    "hook",
    [
        lambda layer, seen: layer.register_forward_hook(lambda *_: seen.append(1)),
        lambda layer, seen: layer.register_forward_pre_hook(lambda *_: seen.append(1)),
        lambda layer, seen: layer.register_full_backward_hook(lambda *_: seen.append(1)),
        lambda layer, seen: layer.register_full_backward_pre_hook(lambda *_: seen.append(1)),
        lambda _, seen: nn.modules.module.register_module_forward_hook(lambda *_: seen.append(1)),
    ],
)
def test_hooks_of_a_layer_are_called(hook):
    net, seen = network(), []
    handle = hook(net[1], seen)
    try:
        net(torch.ones(ROWS, 3)).sum().backward()
    finally:
        handle.remove()
    assert seen


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch
@pytest.mark.parametrize("number", [0, 1])
def test_a_patched_layer_is_called(number):
    net, x = MLP(3, 2, num_cells=[6]), torch.ones(ROWS, 3)
    net[number].forward = lambda x: torch.zeros(len(x), 6)
    with torch.no_grad():
        torch.testing.assert_close(net(x), one_by_one(net, x))
    torch.testing.assert_close(torch.compile(net, backend="eager")(x), one_by_one(net, x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, for itself
def test_transforms_and_modes_see_the_layers():
    net = network()
    x = torch.randn(ROWS, 3)
    expected = one_by_one(net, x).detach()
    parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}
    torch.testing.assert_close(torch.func.functional_call(net, parameters, (x,)), expected)
    torch.testing.assert_close(torch.vmap(net)(x), expected)
    ours, slope = torch.func.jvp(net, (x,), (torch.ones_like(x),))
    theirs, reference = torch.func.jvp(lambda x: one_by_one(net, x), (x,), (torch.ones_like(x),))
    torch.testing.assert_close((ours, slope), (theirs, reference))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(net(dual)).tangent, reference)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x).dtype is torch.bfloat16
    traced = torch.jit.trace(net, x, check_trace=False)
    torch.testing.assert_close(traced(x + 1.0), one_by_one(net, x + 1.0))
    exported = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(exported(x + 1.0), one_by_one(net, x + 1.0))
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        assert net(x).shape == (ROWS, 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch
def test_compiled_for_a_cpu_it_has_another_tanh():
    graphs = []

    def kept(graph, _):
        graphs.append(str(graph.code))
        return graph

    for dtype in (torch.float32, torch.float64):
        net = network(config=MLPConfig(activate_last_layer=True, dtype=dtype))
        x = torch.linspace(-20.0, 20.0, 3 * ROWS, dtype=dtype).view(ROWS, 3).requires_grad_()
        ours, theirs = torch.compile(net, backend=kept, fullgraph=True)(x), one_by_one(net, x)
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=5e-7)
        torch.testing.assert_close(*(torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs)))
    assert [("sigmoid" in graph, "tanh" in graph) for graph in graphs] == [(True, False), (False, True)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(ROWS, 3), (7, 10, 3)])
def test_compiled_for_a_cpu_few_inputs_are_multiplied_on_their_side(shape, bias):
    graphs = []

    def kept(graph, _):
        graphs.append(str(graph.code))
        return graph

    net = MLP(3, 2, num_cells=[6], config=MLPConfig(bias=bias))
    x = torch.randn(shape, requires_grad=True)
    ours, theirs = torch.compile(net, backend=kept, fullgraph=True)(x), one_by_one(net, x)
    torch.testing.assert_close(ours, theirs)
    asked = [x, *net.parameters()]
    torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), asked) for y in (ours, theirs)))
    assert ("contiguous" in graphs[0]) == (len(shape) == 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch
def test_a_hooked_tanh_is_called_where_it_is_compiled():
    net, x = network(), torch.randn(ROWS, 3)
    handles = [net[1].register_forward_hook(lambda *_: torch.zeros(ROWS, 5))]
    handles.append(net[3].register_forward_pre_hook(lambda _, given: (given[0] + 1.0,)))
    torch.testing.assert_close(torch.compile(net, backend="eager")(x), one_by_one(net, x))
    for handle in handles:
        handle.remove()


def test_it_learns_like_the_layers():
    net = network()
    twin = nn.Sequential(*copy.deepcopy(list(net)))
    x = torch.randn(ROWS, 3)
    for each in (net, twin):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            F.mse_loss(each(x), x[:, :2]).backward()
            optimizer.step()
    torch.testing.assert_close(list(net.parameters()), list(twin.parameters()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [nn.Parameter, torch.Tensor.clone], ids=["parameters", "tensors"])
def test_parameters_that_a_tensordict_has_exchanged_are_those_that_count(kind):
    net, x = MLP(4, 2, num_cells=[8]), torch.randn(70, 4)
    others = TensorDict.from_module(net).data.apply(lambda weight: kind(torch.randn_like(weight)))
    first, last = others["0"], others["2"]
    expected = F.linear(F.linear(x, first["weight"], first["bias"]).tanh(), last["weight"], last["bias"])
    before = net(x)
    with others.to_module(net), torch.no_grad():
        torch.testing.assert_close(net(x), expected)
    torch.testing.assert_close(net(x), before)


def test_layers_without_parameters_are_left_to_themselves():
    layers = [nn.Linear(3, 3), nn.Tanh()]
    for name in ("weight", "bias"):
        layers[0].__dict__[name] = layers[0]._parameters.pop(name).detach()
    assert dense_layers(torch.ones(64, 3), layers) is None
