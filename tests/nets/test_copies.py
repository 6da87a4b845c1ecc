import pytest
import torch
from torch import nn

from keywork.nets import MLP, copies_of, copy_findings


def test_the_first_copy_is_as_the_module_and_the_others_are_new():
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    first, second, third = copies_of(module, 3, None)
    for name, parameter in module.named_parameters():
        assert torch.equal(first.get_parameter(name), parameter)
        assert first.get_parameter(name) is not parameter
        assert not torch.isclose(second.get_parameter(name), parameter).all()
        assert not torch.isclose(second.get_parameter(name), third.get_parameter(name)).all()
    assert not copy_findings([first, second, third])


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
    (found,) = copy_findings(copies_of(Raw(torch.randn(3)), 3, None))
    assert str(found) == (
        "the parameter 'raw' is the same in members 0 and 1, which would learn the same.\n"
        "provided: no reset_parameters() that would change it\n"
        "pass parameter_init_function=function(module), or a list of modules in place of one."
    )


@pytest.mark.parametrize("start", [torch.zeros(3), torch.ones(1)])
def test_a_constant_may_be_the_same_everywhere(start):
    assert not copy_findings(copies_of(Raw(start), 2, None))


def test_members_of_different_sizes_are_found():
    (found,) = copy_findings([nn.Linear(3, 4), nn.Linear(3, 5)])
    assert found.problem == "member 1 has other parameters than member 0."


def test_a_lazy_module_is_found():
    (found,) = copy_findings([nn.LazyLinear(3), nn.LazyLinear(3)])
    assert found.problem == "the parameter 'weight' has no size yet."
