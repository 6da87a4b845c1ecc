"""Target networks: frozen copies, what holds gradients back, and what moves them."""

import pytest
import torch
from torch import nn

from keywork._errors import ContractError, UsageError
from keywork.modules import QValueActor
from keywork.objectives import DQNLoss, HardUpdate, SoftUpdate
from keywork.objectives._target import constant, frozen_copy
from keywork.specs import Categorical


def loss_of(*values, **options):
    """A loss whose network is one weight for each action, and whose target network begins with zeros."""
    loss = DQNLoss(QValueActor(nn.Linear(1, len(values), bias=False), spec=Categorical(len(values))), **options)
    ((online, target),) = loss.targets
    with torch.no_grad():
        next(online.parameters()).copy_(torch.tensor(values).unsqueeze(-1))
        next(target.parameters()).zero_()
    return loss


def weights(loss):
    ((_, target),) = loss.targets
    return next(target.parameters()).flatten().tolist()


def test_a_frozen_copy_is_apart_and_does_not_learn():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    copied = frozen_copy("Loss", net)
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())
    with torch.no_grad():
        net[0].weight.fill_(7.0)
    assert copied[0].weight.max() < 7.0


def test_a_network_without_sizes_is_refused():
    with pytest.raises(ContractError) as error:
        frozen_copy("Loss", nn.Sequential(nn.LazyLinear(2)))
    assert str(error.value) == (
        "Loss cannot be built: 1 finding.\n"
        "1. it cannot copy its network: the parameter '0.weight' has no size yet.\n"
        "   call the network once before, on an input of the right size."
    )


def test_what_is_constant_lets_gradients_through_to_its_inputs_alone():
    net, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)), torch.ones(2, requires_grad=True)
    expected = torch.autograd.grad(net(x).sum(), x)[0]
    before = dict(net.named_parameters())
    with constant(net):
        assert not any(parameter.requires_grad for parameter in net.parameters())
        net(x).sum().backward()
    assert torch.equal(x.grad, expected)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(parameter is before[name] and parameter.requires_grad for name, parameter in net.named_parameters())


def test_parameters_come_back_after_an_error():
    net = nn.Linear(2, 1)
    with pytest.raises(ZeroDivisionError), constant(net):
        raise ZeroDivisionError
    assert isinstance(net.weight, nn.Parameter) and net.weight.requires_grad


def test_what_was_frozen_stays_frozen():
    net = nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    with constant(net):
        pass
    assert net.weight.requires_grad and not net.bias.requires_grad


def test_a_soft_update_goes_a_share_of_the_way():
    loss = loss_of(8.0, -4.0)
    update = SoftUpdate(loss, tau=0.25)
    update.step()
    assert weights(loss) == [2.0, -1.0]
    update.step()  # 2 + 0.25 * (8 - 2), -1 + 0.25 * (-4 + 1)
    assert weights(loss) == [3.5, -1.75]


def test_a_soft_update_of_one_is_a_copy():
    loss = loss_of(0.1, -0.3)
    SoftUpdate(loss, tau=1.0).step()
    assert weights(loss) == torch.tensor([0.1, -0.3]).tolist()


def test_a_hard_update_waits_its_steps():
    loss = loss_of(8.0, -4.0)
    update = HardUpdate(loss, every=3)
    for expected in ([0.0, 0.0], [0.0, 0.0], [8.0, -4.0]):
        update.step()
        assert weights(loss) == expected


def test_a_hard_update_goes_on_counting_where_it_was():
    loss = loss_of(8.0, -4.0)
    update, other = HardUpdate(loss, every=3), HardUpdate(loss, every=3)
    update.step()
    other.load_state_dict(update.state_dict())
    other.step()
    assert weights(loss) == [0.0, 0.0]
    other.step()
    assert weights(loss) == [8.0, -4.0]


def test_the_networks_of_several_losses_move_together():
    losses = [loss_of(2.0, 4.0), loss_of(6.0, 8.0)]
    SoftUpdate(losses, tau=0.5).step()
    assert [weights(loss) for loss in losses] == [[1.0, 2.0], [3.0, 4.0]]


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 2))
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize("update", [lambda loss: SoftUpdate(loss, 0.1), lambda loss: HardUpdate(loss)])
def test_buffers_are_copied(update):
    net = Counts()
    loss = DQNLoss(QValueActor(net, spec=Categorical(2)))
    net.seen += 5
    moves = update(loss)
    assert loss.target_network[0].module.seen == 0
    moves.step()
    assert loss.target_network[0].module.seen == 5


def test_what_moves_is_what_is_saved_and_loaded():
    loss, other = loss_of(8.0, -4.0), loss_of(1.0, 1.0)
    update = SoftUpdate(other, tau=0.5)
    other.load_state_dict(loss.state_dict())
    update.step()
    assert weights(other) == [4.0, -2.0]


@pytest.mark.parametrize("tau", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(tau):
    with pytest.raises(UsageError) as error:
        SoftUpdate(loss_of(1.0, 2.0), tau)
    assert str(error.value) == (
        "SoftUpdate cannot be built: tau is out of range.\n"
        "  where: tau\n"
        "  expected: a number above 0, at most 1\n"
        f"  got: {tau!r}\n"
        "  fix: tau=0.005"
    )


def test_no_number_of_steps_is_refused():
    for every in (0, 2.5):
        with pytest.raises(UsageError, match="HardUpdate cannot be built: every is out of range"):
            HardUpdate(loss_of(1.0, 2.0), every=every)


@pytest.mark.parametrize("update", [SoftUpdate, HardUpdate])
def test_a_loss_without_targets_is_refused(update):
    with pytest.raises(UsageError) as error:
        update(DQNLoss(QValueActor(nn.Linear(1, 2), spec=Categorical(2)), delay_value=False))
    assert str(error.value) == (
        f"{update.__name__} has nothing to move.\n"
        "  where: the loss\n"
        "  expected: a loss with target networks, such as DQNLoss, TD3Loss or SACLoss\n"
        "  got: DQNLoss, which has none\n"
        "  fix: delay_value=True where the loss is built, or leave the update out"
    )
