import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork.modules import GRUModule
from keywork.nn import set_recurrent_mode

VARIANTS = pytest.mark.parametrize(
    "options", [{}, {"num_layers": 3}, {"bias": False}, {"bidirectional": True, "num_layers": 2}], ids=str
)


def a_gru(**options):
    return GRUModule(3, 5, in_key="observation", out_key="features", **options).double()


def test_a_step_by_hand():
    gru = GRUModule(input_size=1, hidden_size=1, in_key="observation", out_key="features")
    with torch.no_grad():
        gru.layers.weight_ih_l0.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
        gru.layers.weight_hh_l0.copy_(torch.tensor([[0.0], [0.0], [2.0]]))
        for bias in (gru.layers.bias_ih_l0, gru.layers.bias_hh_l0):
            bias.zero_()
    features, state = gru(torch.tensor([[0.5]]), torch.tensor([[[0.25]]]), torch.tensor([[False]]))
    # r = z = sigmoid(0) = 1/2; n = tanh(0.5 + r * 2 * 0.25) = tanh(0.75); h = n / 2 + 0.25 / 2
    assert features.item() == state.item() == pytest.approx(math.tanh(0.75) / 2 + 0.125)
    features, state = gru(torch.tensor([[0.5]]), torch.tensor([[[0.25]]]), torch.tensor([[True]]))
    # As if the state were zero: n = tanh(0.5); h = n / 2
    assert features.item() == state.item() == pytest.approx(math.tanh(0.5) / 2)


@VARIANTS
def test_without_resets_it_is_torchs_gru_in_values_and_gradients(options):
    ours, theirs = a_gru(**options), nn.GRU(3, 5, batch_first=True, **options).double()
    theirs.load_state_dict(ours.gru.state_dict())
    x = torch.randn(4, 6, 3, dtype=torch.float64, requires_grad=True)
    layers = len(ours.layers)
    h_0 = torch.randn(4, layers, 5, dtype=torch.float64, requires_grad=True)
    stored = h_0.unsqueeze(1).expand(4, 6, layers, 5)
    with set_recurrent_mode(True):
        features, states = ours(x, stored, torch.zeros(4, 6, 1, dtype=torch.bool))
    out, h_n = theirs(x, h_0.transpose(0, 1).contiguous())
    torch.testing.assert_close(features, out, rtol=0.0, atol=1e-12)
    if not options.get("bidirectional"):
        torch.testing.assert_close(states[:, -1], h_n.transpose(0, 1), rtol=0.0, atol=1e-12)

    def gradients(value, module):
        return torch.autograd.grad(value.square().sum(), [x, h_0, *module.parameters()])

    for left, right in zip(gradients(features, ours), gradients(out, theirs), strict=True):
        torch.testing.assert_close(left, right, rtol=0.0, atol=1e-10)


@VARIANTS
def test_parameters_are_torchs_by_name_and_by_seed(options):
    torch.manual_seed(3)
    ours = GRUModule(3, 5, in_key="observation", out_key="features", **options)
    torch.manual_seed(3)
    theirs = nn.GRU(3, 5, **options)
    assert list(ours.state_dict()) == [f"gru.{name}" for name in theirs.state_dict()]
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(left, right)
    for module in (ours.layers, theirs):
        torch.manual_seed(4)
        module.reset_parameters()
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(left, right)


def test_takes_a_ready_network_and_shares_its_parameters():
    network = nn.GRU(3, 5, num_layers=2)
    gru = GRUModule(gru=network, in_key="observation", out_key="features")
    assert all(ours is theirs for ours, theirs in zip(gru.parameters(), network.parameters(), strict=True))
    assert gru.carried_specs["recurrent_state"].shape == (2, 5)


def test_keys_are_the_fields():
    gru = GRUModule(input_size=3, hidden_size=5, in_key="observation", out_key="features")
    assert gru.in_keys == ["observation", "recurrent_state", "is_init"]
    assert gru.out_keys == ["features", ("next", "recurrent_state")]
    spelt = GRUModule(3, 5, in_keys=["x", "h"], out_keys=["y", ("next", "h")], batch_first=True, device="cpu")
    assert spelt.in_keys == ["x", "h", "is_init"]
    assert spelt.out_keys == ["y", ("next", "h")]
    assert (gru.label, gru.is_init_key) == ("GRUModule (3 -> 5)", "is_init")


def test_a_tensordict_and_tensors_give_the_same():
    gru = a_gru()
    td = TensorDict(
        observation=torch.randn(2, 3, dtype=torch.float64),
        recurrent_state=torch.randn(2, 1, 5, dtype=torch.float64),
        is_init=torch.tensor([[True], [False]]),
        batch_size=[2],
    )
    features, state = gru(td["observation"], td["recurrent_state"], is_init=td["is_init"])
    assert gru(td) is td
    assert torch.equal(td["features"], features)
    assert torch.equal(td["next", "recurrent_state"], state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {},
            "GRUModule cannot be built: 3 findings.\n"
            "1. neither in_key nor in_keys was given.\n"
            "   give one of them, such as in_key='observation'.\n"
            "2. neither out_key nor out_keys was given.\n"
            "   give one of them, such as out_key='features'.\n"
            "3. input_size is None and hidden_size None, and no gru was given.\n"
            "   give input_size=4, hidden_size=64 or gru=nn.GRU(4, 64).",
        ),
        (
            {"input_size": 3, "hidden_size": 5, "in_key": "x", "in_keys": ["x", "h"], "out_key": "y"},
            "GRUModule cannot be built: 1 finding.\n"
            "1. both in_key and in_keys was given.\n"
            "   give one of them, such as in_key='observation'.",
        ),
        (
            {"input_size": 3, "hidden_size": 5, "in_keys": ["x"], "out_key": "y"},
            "GRUModule cannot be built: 1 finding.\n"
            "1. in_keys has 1 key: 'x'.\n"
            "   provided: what goes in, 1 state, and (if it is not 'is_init') the flag\n"
            "   in_keys=['x', 'recurrent_state', 'is_init'].",
        ),
        (
            {"input_size": 3, "hidden_size": 5, "in_keys": ["x", "h"], "out_keys": ["y", ("next", "g")]},
            "GRUModule cannot be built: 1 finding.\n"
            "1. out_keys is ['y', ('next', 'g')], and the state is read from 'h'.\n"
            "   provided: what is written for the following step is under ('next', key)\n"
            "   out_keys=['y', ('next', 'h')], or out_key='y' for the same.",
        ),
        (
            {"gru": nn.LSTM(3, 5), "in_key": "x", "out_key": "y"},
            "GRUModule cannot be built: 1 finding.\n"
            "1. gru is LSTM, which is no nn.GRU.\n"
            "   give input_size=4, hidden_size=64 or gru=nn.GRU(4, 64).",
        ),
        (
            {"gru": nn.GRU(3, 5), "hidden_size": 6, "in_key": "x", "out_key": "y"},
            "GRUModule cannot be built: 1 finding.\n"
            "1. gru was given, and sizes or options as well.\n"
            "   provided: gru has its own: 3 -> 5\n"
            "   give one of the two: input_size=4, hidden_size=64 or gru=nn.GRU(4, 64).",
        ),
        (
            {"input_size": 3, "hidden_size": 5, "in_key": "x", "out_key": "y", "batch_first": False},
            "GRUModule cannot be built: 1 finding.\n"
            "1. batch_first is False, and entries always are [*B, T, F].\n"
            "   leave batch_first out.",
        ),
    ],
)
def test_what_cannot_be_is_refused_all_at_once(arguments, message):
    with pytest.raises(ValueError) as error:
        GRUModule(**arguments)
    assert str(error.value) == message


def test_a_network_whose_parameters_are_computed_is_refused_as_it_would_not_be_followed():
    network = torch.nn.utils.parametrizations.weight_norm(nn.GRU(3, 5), "weight_hh_l0")
    with pytest.raises(ValueError) as error:
        GRUModule(gru=network, in_key="x", out_key="y")
    assert str(error.value) == (
        "GRUModule cannot be built: 1 finding.\n"
        "1. gru is parametrised, and only its parameters would be taken.\n"
        "   parametrise the layers of what is built: module.gru."
    )


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'proj_size'"):
        GRUModule(3, 5, in_key="x", out_key="y", proj_size=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'drop_out'"):
        GRUModule(3, 5, in_key="x", out_key="y", drop_out=0.1)
