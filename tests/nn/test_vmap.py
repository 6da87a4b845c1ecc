"""Over a batch of data or of parameters, and with parameters of another: the functional side of key modules."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import MissingKeyError
from keywork.distributions import NormalParamExtractor, TanhNormal
from keywork.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
    TensorDictSequential,
)


class Plain(TensorDictModuleBase):
    in_keys = ["h"]
    out_keys = ["y"]

    def forward(self, tensordict):
        return tensordict.set("y", tensordict["h"] + 1)


def net():
    return TensorDictModule(nn.Linear(3, 4), "x", "h")


def chain():
    return TensorDictSequential(net(), TensorDictModule(torch.tanh, "h", "y"))


def policy():
    extract = TensorDictModule(NormalParamExtractor(), "h", ["loc", "scale"])
    head = ProbabilisticTensorDictModule(
        ["loc", "scale"], "action", distribution_class=TanhNormal, return_log_prob=True
    )
    return ProbabilisticTensorDictSequential(net(), extract, head)


def data():
    return TensorDict(x=torch.randn(5, 3), batch_size=[5])


class TestVmap:
    def test_over_a_batch_of_tensordicts(self):
        module, td = chain(), data()
        assert torch.allclose(torch.vmap(module)(td)["y"], module(td.copy())["y"])

    def test_over_a_batch_of_tensors(self):
        module, x = chain(), torch.randn(5, 3)
        assert torch.allclose(torch.vmap(module)(x)[1], module(x)[1])

    def test_over_steps_that_run_on_tensordicts(self):
        module, x = TensorDictSequential(net(), Plain()), torch.randn(5, 3)
        assert torch.allclose(torch.vmap(module)(x)[1], module(x)[1])

    def test_over_draws(self):
        td = torch.vmap(policy(), randomness="different")(data())
        assert (td["action"].shape, td["sample_log_prob"].shape) == ((5, 2), (5,))
        same_noise = torch.vmap(policy(), randomness="same")(TensorDict(x=torch.ones(5, 3), batch_size=[5]))
        assert (same_noise["action"] == same_noise["action"][0]).all()

    @pytest.mark.parametrize("container", [True, False])
    def test_over_stacked_parameters(self, container):
        modules, x = [chain() for _ in range(3)], torch.randn(5, 3)
        params = TensorDict.from_modules(*modules)
        one = chain()

        def call(params, data):
            with params.to_module(one):
                return one(data)["y"] if container else one(data)[1]

        given = TensorDict(x=x, batch_size=[5]) if container else x
        outputs = torch.vmap(call, (0, None))(params, given)
        assert outputs.shape == (3, 5, 4)
        for module, output in zip(modules, outputs, strict=True):
            assert torch.allclose(module(x)[1], output, atol=1e-6)


class TestFunctionalSwap:
    def test_parameters_are_replaced_inside_and_restored_after(self):
        module, x = chain(), torch.randn(5, 3)
        weight, expected = module[0].module.weight, module(x)[1]
        params = TensorDict.from_module(module)
        assert set(params.keys(True, True)) == {("module", "0", "module", key) for key in ("weight", "bias")}
        with params.data.clone().zero_().to_module(module):
            assert module(x)[1].abs().sum() == 0
            assert module(TensorDict(x=x))["y"].abs().sum() == 0
        assert module[0].module.weight is weight
        assert torch.equal(module(x)[1], expected)

    def test_gradients_flow_to_what_was_swapped_in(self):
        module, x = chain(), torch.randn(5, 3)
        params = TensorDict.from_module(module).data.clone().requires_grad_()
        with params.to_module(module):
            module(x)[1].sum().backward()
        assert params["module", "0", "module", "weight"].grad.abs().sum() > 0
        assert module[0].module.weight.grad is None

    def test_a_module_that_fails_inside_has_its_own_parameters_again(self):
        module = chain()
        weight = module[0].module.weight
        zeros = TensorDict.from_module(module).data.clone().zero_()
        with pytest.raises(MissingKeyError), zeros.to_module(module):
            module(TensorDict())
        assert module[0].module.weight is weight

    def test_torchs_own_functional_call(self):
        module, x = chain(), torch.randn(5, 3)
        zeros = {name: torch.zeros_like(value) for name, value in module.named_parameters()}
        assert torch.func.functional_call(module, zeros, (x,))[1].abs().sum() == 0
        assert module(x)[1].abs().sum() > 0

    def test_nothing_remembers_a_parameter(self):
        module, x = chain(), torch.ones(1, 3)
        module(x)
        module[0].module.weight = nn.Parameter(torch.zeros(4, 3))
        module[0].module.bias = nn.Parameter(torch.zeros(4))
        assert module(x)[1].abs().sum() == 0
