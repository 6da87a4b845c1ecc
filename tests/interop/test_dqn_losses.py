"""Losses of action values beside TorchRL's own, on the same numbers."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork.modules import DistributionalQValueActor, QValueActor
from keywork.objectives import DistributionalDQNLoss, DQNLoss
from keywork.specs import OneHot

torchrl = pytest.importorskip("torchrl", reason="needs TorchRL, which `make interop` brings")

from torchrl.modules import DistributionalQValueActor as TheirDistributional  # noqa: E402
from torchrl.modules import QValueActor as TheirActor  # noqa: E402
from torchrl.objectives import DistributionalDQNLoss as TheirDistributionalLoss  # noqa: E402
from torchrl.objectives import DQNLoss as TheirLoss  # noqa: E402
from torchrl.objectives import SoftUpdate as TheirUpdate  # noqa: E402

SIZE, N = 16, 5


def batch() -> TensorDict:
    torch.manual_seed(1)
    terminated = torch.rand(SIZE, 1) < 0.3
    following = {"observation": torch.randn(SIZE, 3), "reward": torch.randn(SIZE, 1), "terminated": terminated}
    action = nn.functional.one_hot(torch.randint(4, (SIZE,)), 4)
    following["done"] = terminated
    return TensorDict({"observation": torch.randn(SIZE, 3), "action": action, "next": following}, [SIZE])


def gradients(loss, network):
    return torch.autograd.grad(loss, list(network.parameters()))


@pytest.mark.parametrize("kind", ["l2", "smooth_l1"])
@pytest.mark.parametrize("double", [False, True])
def test_dqn(kind, double):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
    ours = DQNLoss(QValueActor(net, spec=OneHot(4)), gamma=0.9, double_dqn=double, loss_function=kind)
    their_actor = TheirActor(net, in_keys=["observation"], action_space="one-hot")
    theirs = TheirLoss(their_actor, loss_function=kind, delay_value=True, double_dqn=double, action_space="one-hot")
    theirs.make_value_estimator(gamma=0.9)
    TheirUpdate(theirs, eps=0.99)  # never stepped
    with torch.no_grad():  # the targets are those of another network, the same one on both sides
        target = ours.target_network[0].module
        for parameter in target.parameters():
            parameter.add_(torch.randn_like(parameter))
        values = [value for _, value in sorted(theirs.target_value_network_params.items(True, True), key=str)]
        for value, (_, parameter) in zip(values, sorted(_named(target)), strict=True):
            value.data.copy_(parameter)
    td = batch()
    mine, other = ours(td), theirs(td.clone())
    torch.testing.assert_close(mine["loss"], other["loss"])
    names = [name for name, _ in theirs.value_network_params.items(True, True)]
    their_gradients = torch.autograd.grad(other["loss"], [theirs.value_network_params[name] for name in names])
    by_shape = {tuple(gradient.shape): gradient for gradient in their_gradients}  # no two are alike
    for gradient in gradients(mine["loss"], net):
        torch.testing.assert_close(gradient, by_shape[tuple(gradient.shape)])


def _named(module):
    return list(module.named_parameters())


def test_distributional_dqn():
    torch.manual_seed(0)
    atoms = torch.linspace(-2.0, 2.0, N)
    net = nn.Sequential(nn.Linear(3, 4 * N), nn.Unflatten(-1, (N, 4)))
    ours = DistributionalDQNLoss(DistributionalQValueActor(net, atoms, spec=OneHot(4)), gamma=0.9)
    their_actor = TheirDistributional(net, in_keys=["observation"], support=atoms, action_space="one-hot")
    theirs = TheirDistributionalLoss(their_actor, gamma=0.9, delay_value=True)
    TheirUpdate(theirs, eps=0.99)  # never stepped
    td = batch()
    torch.testing.assert_close(ours(td)["loss"], theirs(td.clone())["loss"], rtol=1e-4, atol=1e-5)
