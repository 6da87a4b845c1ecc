import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torch.nn import functional as F

from keywork._errors import UsageError
from keywork.modules import NoisyLinear, QValueActor
from keywork.nets import MLP, MLPConfig
from keywork.nn import set_exploration_type
from keywork.specs import Categorical

OFF = ["deterministic", "mode", "mean"]


@pytest.mark.parametrize("kind", OFF)
@pytest.mark.parametrize("bias", [True, False])
def test_off_it_is_a_linear_layer_and_nothing_is_drawn(kind, bias):
    layer, x = NoisyLinear(4, 3, bias), torch.randn(5, 4)
    before = torch.get_rng_state()
    with set_exploration_type(kind):
        y = layer(x)
    assert torch.equal(y, F.linear(x, layer.weight_mu, layer.bias_mu))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("bias", [True, False])
def test_on_it_has_the_mean_and_variance_of_its_formula(bias):
    layer, x = NoisyLinear(3, 2, bias, std_init=2.0), torch.tensor([1.0, -2.0, 0.5])
    with torch.no_grad():
        layer.weight_sigma.mul_(torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]]))
        y = layer(x.expand(200_000, 3))
    # f(ε)² = |ε| has the mean m = √(2/π): Var y = m (m Σᵢ σᵢ² xᵢ² + σ_b²), as the noise of an input has mean zero.
    m = math.sqrt(2.0 / math.pi)
    spread = m * (layer.weight_sigma.square() @ x.square())
    expected = m * (spread + (layer.bias_sigma.square() if bias else 0.0))
    torch.testing.assert_close(y.var(0), expected.detach(), rtol=0.03, atol=0.0)
    error = expected.sqrt() / math.sqrt(200_000)
    assert ((y.mean(0) - F.linear(x, layer.weight_mu, layer.bias_mu)).abs() < 5 * error).all()


def test_the_noise_of_the_weights_is_factorised():
    layer = NoisyLinear(4, 3, bias=False)
    torch.manual_seed(5)
    noise = layer(torch.ones(1, 4)) - F.linear(torch.ones(1, 4), layer.weight_mu)
    torch.manual_seed(5)
    f = lambda e: e.sign() * e.abs().sqrt()  # noqa: E731
    first, second = f(torch.randn(1, 4)), f(torch.randn(1, 3))
    # Σᵢ σ f(ε_in)ᵢ f(ε_out)ⱼ xᵢ with x of ones and σ = 0.5 / √4
    torch.testing.assert_close(noise, 0.25 * first.sum() * second, rtol=1e-4, atol=1e-6)


def test_rows_of_a_batch_are_noisy_independently():
    y = NoisyLinear(4, 1)(torch.ones(6, 4))
    assert len(y.unique()) == 6


def test_on_by_default_whatever_the_mode_of_training():
    layer, x = NoisyLinear(4, 3).eval(), torch.ones(2, 4)
    assert not torch.equal(layer(x), layer(x))


def test_starts_as_the_paper_says():
    layer = NoisyLinear(16, 5, std_init=0.4)
    assert layer.weight_mu.abs().max() <= 0.25  # 1 / √16
    assert layer.weight_mu.abs().max() > 0.2
    for sigma in (layer.weight_sigma, layer.bias_sigma):
        torch.testing.assert_close(sigma, torch.full_like(sigma, 0.1))
    before = layer.weight_mu.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight_mu, before)


def test_all_its_parameters_are_learned():
    layer = NoisyLinear(4, 3)
    layer(torch.randn(5, 4)).sum().backward()
    names = {"weight_mu", "weight_sigma", "bias_mu", "bias_sigma"}
    assert {name for name, p in layer.named_parameters() if p.grad is not None and p.grad.any()} == names


def test_takes_the_arguments_of_a_linear_layer():
    layer = NoisyLinear(4, 3, False, "cpu", torch.float64)
    assert layer(torch.zeros(2, 5, 4, dtype=torch.float64)).shape == (2, 5, 3)
    assert repr(layer) == "NoisyLinear(in_features=4, out_features=3, bias=False)"
    net = MLP(4, 2, num_cells=[8], config=MLPConfig(layer_class=NoisyLinear))
    assert [type(part) for part in net if not isinstance(part, nn.Tanh)] == [NoisyLinear, NoisyLinear]


def test_a_policy_explores_by_it_and_is_evaluated_without():
    actor = QValueActor(NoisyLinear(4, 8, std_init=3.0), spec=Categorical(8))
    td = TensorDict(observation=torch.ones(200, 4), batch_size=[200])
    assert len(actor(td.copy())["action"].unique()) > 1
    with set_exploration_type("deterministic"):
        assert len(actor(td.copy())["action"].unique()) == 1


@pytest.mark.parametrize("sizes", [(0, 2, 0.5), (2, -1, 0.5), (2, 2, -0.5), (2, 2, math.nan)])
def test_numbers_out_of_range_are_refused(sizes):
    with pytest.raises(UsageError) as error:
        NoisyLinear(*sizes[:2], std_init=sizes[2])
    assert str(error.value) == (
        "NoisyLinear cannot be built: a number is out of range.\n"
        "  where: in_features, out_features, std_init\n"
        "  expected: positive sizes, and a finite std_init not below 0\n"
        f"  got: {sizes[0]}, {sizes[1]}, {sizes[2]}\n"
        "  fix: NoisyLinear(64, 2, std_init=0.5)"
    )
