import pytest
import torch
from torch import nn

from keywork.modules._copies import Stacked, copies_of, findings_of
from keywork.nets import MLP


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


def test_the_first_copy_is_as_the_module_and_the_others_are_new():
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    first, second, third = copies_of(module, 3, None)
    for name, parameter in module.named_parameters():
        assert torch.equal(first.get_parameter(name), parameter)
        assert first.get_parameter(name) is not parameter
        assert not torch.isclose(second.get_parameter(name), parameter).all()
        assert not torch.isclose(second.get_parameter(name), third.get_parameter(name)).all()
    assert not findings_of([first, second, third])


def test_a_function_initialises_them_instead():
    made = copies_of(nn.Linear(3, 4), 2, lambda linear: nn.init.constant_(linear.weight, 7.0))
    assert (made[1].weight == 7.0).all()
    assert torch.equal(made[0].bias, made[1].bias)


def test_a_module_that_can_initialise_itself_answers_for_its_parts():
    class Zeros(nn.Sequential):
        def reset_parameters(self) -> None:
            nn.init.zeros_(self[0].weight)

    assert not copies_of(Zeros(nn.Linear(3, 4)), 2, None)[1][0].weight.any()


def test_a_network_initialises_itself_as_it_was_built():
    net = nn.Sequential(MLP(4, 4, num_cells=[], init="orthogonal", last_gain=3.0), nn.Linear(4, 1))
    _, other = copies_of(net, 2, None)
    weight = other[0][0].weight
    torch.testing.assert_close(weight @ weight.T, 9.0 * torch.eye(4), atol=1e-5, rtol=0)
    assert not torch.isclose(weight, net[0][0].weight).any() and not other[0][0].bias.any()
    assert not torch.isclose(other[1].weight, net[1].weight).any()


class Raw(nn.Module):
    def __init__(self, start: torch.Tensor) -> None:
        super().__init__()
        self.raw = nn.Parameter(start)


def test_copies_that_would_start_out_equal_are_found():
    (found,) = findings_of(copies_of(Raw(torch.randn(3)), 3, None))
    assert str(found) == (
        "the parameter 'raw' is the same in members 0 and 1, which would learn the same.\n"
        "provided: no reset_parameters() that would change it\n"
        "pass parameter_init_function=function(module), or a list of modules in place of one."
    )


@pytest.mark.parametrize("start", [torch.zeros(3), torch.ones(1)])
def test_a_constant_may_be_the_same_everywhere(start):
    assert not findings_of(copies_of(Raw(start), 2, None))


def test_members_of_different_sizes_are_found():
    (found,) = findings_of([nn.Linear(3, 4), nn.Linear(3, 5)])
    assert found.problem == "member 1 has other parameters than member 0."


def test_a_lazy_module_is_found():
    (found,) = findings_of([nn.LazyLinear(3), nn.LazyLinear(3)])
    assert found.problem == "the parameter 'weight' has no size yet."


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
