import pytest
import torch
from torch import nn

from keywork.modules._copies import Stacked


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("offset", torch.randn(3))

    def reset_parameters(self) -> None:
        self.first.reset_parameters()
        self.second.reset_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) + self.offset


def test_stacked_tensors_stand_where_the_modules_have_their_own_and_stay_shared():
    first, second = Tied(), Tied()
    before = {name: torch.stack([a, second.state_dict()[name]]) for name, a in first.state_dict().items()}
    stacked = Stacked([first, second])
    assert {name: tensor.shape for name, tensor in stacked.module.state_dict().items()} == {
        "first.weight": (2, 3, 3),
        "second.weight": (2, 3, 3),
        "second.bias": (2, 3),
        "offset": (2, 3),
    }
    assert all(torch.equal(tensor, before[name]) for name, tensor in stacked.module.state_dict().items())
    assert stacked.module.first.weight is stacked.module.second.weight
    assert len(stacked.tensors()) == 3


def test_a_call_sees_the_tensors_that_it_is_given_and_they_are_gone_afterwards():
    modules, x = [Tied(), Tied()], torch.randn(4, 3)
    expected = [module(x) for module in modules]
    stacked = Stacked(modules)
    held = stacked.tensors()
    for number in range(2):
        result = stacked.call([tensor[number] for tensor in held], stacked.module, x)
        assert torch.equal(result, expected[number])
    assert all(a is b for a, b in zip(stacked.tensors(), held, strict=True))


def test_they_are_gone_after_a_failure_too():
    stacked = Stacked([Tied(), Tied()])
    held = stacked.tensors()
    with pytest.raises(ZeroDivisionError):
        stacked.call([tensor[0] for tensor in held], lambda: 1 / 0)
    assert all(a is b for a, b in zip(stacked.tensors(), held, strict=True))


def test_tensors_that_have_replaced_parameters_are_found():
    stacked = Stacked([nn.Linear(3, 1, bias=False), nn.Linear(3, 1, bias=False)])
    # As TensorDict.to_module leaves a module: a plain tensor in place of the parameter.
    other = torch.arange(6.0).reshape(2, 1, 3)
    del stacked.module._parameters["weight"]
    stacked.module.__dict__["weight"] = other
    assert stacked.tensors()[0] is other
    assert stacked.call([other[1]], stacked.module, torch.ones(1, 3)).tolist() == [[12.0]]  # 3 + 4 + 5
    assert stacked.module.weight is other
