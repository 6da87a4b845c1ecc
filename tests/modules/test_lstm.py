import math

import pytest
import torch
from torch import nn

from keywork.modules import LSTMModule
from keywork.nn import set_recurrent_mode

VARIANTS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 3},
        {"bias": False},
        {"proj_size": 2, "num_layers": 2},
        {"bidirectional": True, "num_layers": 2},
        {"bidirectional": True, "num_layers": 2, "proj_size": 2},
    ],
    ids=str,
)


def a_lstm(**options):
    return LSTMModule(3, 5, in_key="observation", out_key="features", **options).double()


def test_a_step_by_hand():
    lstm = LSTMModule(input_size=1, hidden_size=1, in_key="observation", out_key="features")
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.layers.weight_ih_l0.copy_(torch.tensor([[0.0], [0.0], [1.0], [0.0]]))
        lstm.layers.weight_hh_l0.copy_(torch.tensor([[0.0], [0.0], [2.0], [0.0]]))
    states = torch.tensor([[[0.25]]]), torch.tensor([[[3.0]]])
    features, h, c = lstm(torch.tensor([[0.5]]), *states, torch.tensor([[False]]))
    # i = f = o = sigmoid(0) = 1/2; g = tanh(0.5 + 2 * 0.25) = tanh(1); c = 3 / 2 + g / 2; h = tanh(c) / 2
    assert c.item() == pytest.approx(1.5 + math.tanh(1.0) / 2)
    assert features.item() == h.item() == pytest.approx(math.tanh(c.item()) / 2)
    features, h, c = lstm(torch.tensor([[0.5]]), *states, torch.tensor([[True]]))
    # As if both states were zero: g = tanh(0.5); c = g / 2
    assert c.item() == pytest.approx(math.tanh(0.5) / 2)


@VARIANTS
def test_without_resets_it_is_torchs_lstm_in_values_and_gradients(options):
    ours, theirs = a_lstm(**options), nn.LSTM(3, 5, batch_first=True, **options).double()
    theirs.load_state_dict(ours.lstm.state_dict())
    x = torch.randn(4, 6, 3, dtype=torch.float64, requires_grad=True)
    layers, width = len(ours.layers), options.get("proj_size", 5)
    first = [torch.randn(4, layers, n, dtype=torch.float64, requires_grad=True) for n in (width, 5)]
    stored = [state.unsqueeze(1).expand(4, 6, *state.shape[1:]) for state in first]
    with set_recurrent_mode(True):
        features, *states = ours(x, *stored, torch.zeros(4, 6, 1, dtype=torch.bool))
    out, last = theirs(x, tuple(state.transpose(0, 1).contiguous() for state in first))
    torch.testing.assert_close(features, out, rtol=0.0, atol=1e-12)
    if not options.get("bidirectional"):
        for state, theirs_last in zip(states, last, strict=True):
            torch.testing.assert_close(state[:, -1], theirs_last.transpose(0, 1), rtol=0.0, atol=1e-12)

    def gradients(value, module):
        return torch.autograd.grad(value.square().sum(), [x, *first, *module.parameters()])

    for left, right in zip(gradients(features, ours), gradients(out, theirs), strict=True):
        torch.testing.assert_close(left, right, rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_gradient_may_come_through_any_one_output(written):
    lstm = a_lstm()
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(2, 4, 1, 5, dtype=torch.float64) for _ in range(2)]
    is_init = torch.tensor([[False, True, False, False], [False] * 4]).unsqueeze(-1)
    with set_recurrent_mode(True):
        (ours,) = torch.autograd.grad(lstm(x, *states, is_init)[written].square().sum(), x)
    held, outputs = [state[:, 0] for state in states], []
    for t in range(4):
        outputs.append(lstm(x[:, t], *held, is_init[:, t]))
        held = outputs[-1][1:]
    (theirs,) = torch.autograd.grad(sum(step[written].square().sum() for step in outputs), x)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-12)


@VARIANTS
def test_parameters_are_torchs_by_name_and_by_seed(options):
    torch.manual_seed(3)
    ours = LSTMModule(3, 5, in_key="observation", out_key="features", **options)
    torch.manual_seed(3)
    theirs = nn.LSTM(3, 5, **options)
    assert list(ours.state_dict()) == [f"lstm.{name}" for name in theirs.state_dict()]
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(left, right)


def test_takes_a_ready_network_and_shares_its_parameters():
    network = nn.LSTM(3, 5, proj_size=2)
    lstm = LSTMModule(lstm=network, in_key="observation", out_key="features")
    assert all(ours is theirs for ours, theirs in zip(lstm.parameters(), network.parameters(), strict=True))
    assert [spec.shape for spec in lstm.carried_specs.values()] == [(1, 2), (1, 5)]


def test_keys_are_the_fields():
    lstm = LSTMModule(input_size=3, hidden_size=5, in_key="observation", out_key="features")
    assert lstm.in_keys == ["observation", "recurrent_state_h", "recurrent_state_c", "is_init"]
    assert lstm.out_keys == ["features", ("next", "recurrent_state_h"), ("next", "recurrent_state_c")]
    spelt = LSTMModule(3, 5, in_keys=["x", "h", "c", ("flags", "first")], out_keys=["y", ("next", "h"), ("next", "c")])
    assert spelt.contract.carries == ("h", "c")
    assert spelt.is_init_key == ("flags", "first")


def test_keys_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"in_keys has 3 keys: 'x', 'h', 'is_init'\."):
        LSTMModule(3, 5, in_keys=["x", "h", "is_init"], out_key="y")
    with pytest.raises(ValueError) as error:
        LSTMModule(3, 5, in_keys=["x", "h"], out_key="y")
    assert str(error.value) == (
        "LSTMModule cannot be built: 1 finding.\n"
        "1. in_keys has 2 keys: 'x', 'h'.\n"
        "   provided: what goes in, 2 states, and (if it is not 'is_init') the flag\n"
        "   in_keys=['x', 'recurrent_state_h', 'recurrent_state_c', 'is_init']."
    )
    with pytest.raises(ValueError) as error:
        LSTMModule(3, 5, in_keys=["x", "h", "c"], out_keys=["y", ("next", "c"), ("next", "h")])
    assert str(error.value) == (
        "LSTMModule cannot be built: 1 finding.\n"
        "1. out_keys is ['y', ('next', 'c'), ('next', 'h')], and the states are read from 'h', 'c'.\n"
        "   provided: what is written for the following step is under ('next', key)\n"
        "   out_keys=['y', ('next', 'h'), ('next', 'c')], or out_key='y' for the same."
    )
