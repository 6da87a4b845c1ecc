"""Losses of actors and critics beside TorchRL's, on the same networks and numbers, where both mean the same.

TorchRL's CQL takes its logarithm of sums over three actions at a time, not over all that it draws: not compared.
"""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork.interop import to_torchrl
from keywork.modules import (
    Actor,
    IndependentNormal,
    NormalParamExtractor,
    ProbabilisticActor,
    TanhNormal,
    ValueOperator,
)
from keywork.nets import MLP
from keywork.nn import TensorDictModule
from keywork.objectives import DDPGLoss, IQLLoss, SACLoss, TD3Loss
from keywork.specs import Bounded

torchrl = pytest.importorskip("torchrl", reason="needs TorchRL, which `make interop` brings")

from torchrl.data import Bounded as TheirBounded  # noqa: E402
from torchrl.objectives import DDPGLoss as TheirDDPGLoss  # noqa: E402
from torchrl.objectives import IQLLoss as TheirIQLLoss  # noqa: E402
from torchrl.objectives import SACLoss as TheirSACLoss  # noqa: E402
from torchrl.objectives import SoftUpdate as TheirSoftUpdate  # noqa: E402
from torchrl.objectives import TD3Loss as TheirTD3Loss  # noqa: E402

GAMMA, BOX = 0.9, Bounded(-1.0, 1.0, (2,))
THEIR_BOX = TheirBounded(-1.0, 1.0, (2,))


def batch(size: int = 7) -> TensorDict:
    ends = torch.arange(size).reshape(size, 1)
    following = {
        "observation": torch.randn(size, 3),
        "reward": torch.randn(size, 1),
        "terminated": ends % 3 == 0,
        "done": ends % 3 < 2,  # truncated where 1
    }
    action = torch.rand(size, 2) * 1.8 - 0.9
    return TensorDict({"observation": torch.randn(size, 3), "action": action, "next": following}, [size])


def critic() -> ValueOperator:
    return ValueOperator(MLP(5, 1, num_cells=[8]), ["observation", "action"])


def drawing(kind=TanhNormal) -> ProbabilisticActor:
    module = TensorDictModule(nn.Sequential(nn.Linear(3, 4), NormalParamExtractor()), ["observation"], ["loc", "scale"])
    return ProbabilisticActor(module, ["loc", "scale"], distribution_class=kind)


def pushing() -> Actor:
    return Actor(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), spec=BOX)


def assert_same(ours, theirs, td, names, seed=3):
    """The named losses, from the same seed."""
    theirs.make_value_estimator(gamma=GAMMA)
    TheirSoftUpdate(theirs, eps=0.99)  # never stepped; without one it warns
    torch.manual_seed(seed)
    mine = ours(td.clone())
    torch.manual_seed(seed)
    other = theirs(td.clone())
    for name, their_name in names.items():
        torch.testing.assert_close(mine[name], other[their_name], rtol=1e-5, atol=1e-6)
    return mine, other


def test_ddpg():
    torch.manual_seed(0)
    actor, judge = pushing(), critic()
    theirs = TheirDDPGLoss(to_torchrl(actor), to_torchrl(judge), loss_function="l2", delay_actor=True)
    names = {"loss_actor": "loss_actor", "loss_qvalue": "loss_value"}
    mine, other = assert_same(DDPGLoss(actor, judge, gamma=GAMMA), theirs, batch(), names)
    torch.testing.assert_close(mine["target_mean"], other["target_value"].mean())


def test_td3():
    torch.manual_seed(0)
    actor, judges = pushing(), [critic(), critic()]
    theirs = TheirTD3Loss(
        to_torchrl(actor), [to_torchrl(each) for each in judges], action_spec=THEIR_BOX, loss_function="l2"
    )
    # from -1 to 1 its noise and ours are the same; they draw it before the actor acts, which draws nothing
    names = {"loss_actor": "loss_actor", "loss_qvalue": "loss_qvalue"}
    assert_same(TD3Loss(actor, judges, gamma=GAMMA), theirs, batch(), names)


def test_sac():
    torch.manual_seed(0)
    actor, judges = drawing(), [critic(), critic()]
    theirs = TheirSACLoss(
        to_torchrl(actor), [to_torchrl(each) for each in judges], action_spec=THEIR_BOX, loss_function="l2"
    )
    ours = SACLoss(actor, judges, gamma=GAMMA)
    names = {"loss_actor": "loss_actor", "loss_qvalue": "loss_qvalue", "entropy": "entropy"}
    mine, other = assert_same(ours, theirs, batch(), names)
    # Its loss of the temperature is log α times what ours has α as a factor of: at α = 1 the slopes are the same.
    (slope,) = torch.autograd.grad(mine["loss_alpha"], [ours.temperature.log_alpha])
    (their_slope,) = torch.autograd.grad(other["loss_alpha"], [theirs.log_alpha])
    torch.testing.assert_close(slope, their_slope, rtol=1e-5, atol=1e-6)


def test_iql():
    torch.manual_seed(0)
    actor, judges, value = drawing(IndependentNormal), [critic(), critic()], ValueOperator(MLP(3, 1, num_cells=[8]))
    theirs = TheirIQLLoss(
        to_torchrl(actor),
        [to_torchrl(each) for each in judges],
        to_torchrl(value),
        loss_function="l2",
        temperature=3.0,
        expectile=0.7,
    )
    names = {"loss_actor": "loss_actor", "loss_qvalue": "loss_qvalue", "loss_value": "loss_value"}
    assert_same(IQLLoss(actor, judges, value, gamma=GAMMA, beta=3.0, expectile=0.7), theirs, batch(), names)
