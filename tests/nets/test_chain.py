import torch
from torch import nn

from keywork.nets import Chain


def test_it_hands_several_tensors_to_its_first_part():
    chain = Chain(nn.Bilinear(2, 3, 4), nn.Tanh(), nn.Linear(4, 1))
    a, b = torch.randn(5, 2), torch.randn(5, 3)
    assert torch.equal(chain(a, b), chain[2](torch.tanh(chain[0](a, b))))


class Both(nn.Module):
    def forward(self, x):
        return x + 1, x * 2


class Difference(nn.Module):
    def forward(self, a, b):
        return a - b


def test_a_tuple_is_the_next_ones_arguments_and_may_come_out():
    # (3 + 1) - (3 * 2)
    assert Chain(Both(), Difference())(torch.tensor(3.0)).item() == -2.0
    assert [x.item() for x in Chain(Difference(), Both())(torch.tensor(3.0), torch.tensor(1.0))] == [3.0, 4.0]


def test_an_empty_one_hands_on():
    x = torch.ones(2)
    assert Chain()(x) is x
    assert Chain()(x, x) == (x, x)


def test_its_entries_are_those_of_a_sequential():
    layers = nn.Linear(2, 3), nn.Linear(3, 1)
    assert list(Chain(*layers).state_dict()) == list(nn.Sequential(*layers).state_dict())


def test_it_compiles():
    torch._dynamo.reset()
    chain = Chain(Both(), Difference(), nn.Linear(2, 2))
    x = torch.randn(3, 2)
    torch.testing.assert_close(torch.compile(chain, fullgraph=True, backend="eager")(x), chain(x))
