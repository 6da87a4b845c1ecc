"""The losses of this package and TorchRL's say the same of the same batch, gradients included."""

from __future__ import annotations

import warnings

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork.interop import to_torchrl
from keywork.modules import Categorical, IndependentNormal, NormalParamExtractor, ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule
from keywork.objectives import (
    GAE,
    A2CLoss,
    BCLoss,
    ClipPPOLoss,
    KLPENPPOLoss,
    ReinforceLoss,
    TD0Estimator,
    TDLambdaEstimator,
    VTrace,
)

pytest.importorskip("torchrl", reason="needs TorchRL, which `make interop` brings")

from torchrl import objectives as theirs
from torchrl.objectives import value as their_values
from torchrl.objectives.value.functional import vtrace_advantage_estimate

B, T = 3, 5


def choosing():
    net = TensorDictModule(nn.Linear(4, 3), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)


def steering():
    params = nn.Sequential(nn.Linear(4, 4), NormalParamExtractor())
    net = TensorDictModule(params, ["observation"], ["loc", "scale"])
    return ProbabilisticActor(net, ["loc", "scale"], distribution_class=IndependentNormal, return_log_prob=True)


@pytest.fixture(params=[choosing, steering])
def collected(request):
    """An actor, a critic, and a batch that the actor collected before it was changed; all in float64."""
    torch.manual_seed(0)
    actor, critic = request.param().double(), ValueOperator(nn.Linear(4, 1)).double()
    done = torch.zeros(B, T, 1, dtype=torch.bool)
    done[1, 2], done[2, 3] = True, True
    seen, last = torch.randn(2, B, T, 4, dtype=torch.float64)
    following = {
        "observation": torch.where(done, last, torch.cat([seen[:, 1:], last[:, -1:]], 1)),
        "reward": torch.randn(B, T, 1, dtype=torch.float64),
        "done": done,
        "terminated": done & (torch.arange(B).view(B, 1, 1) == 1),
    }
    td = TensorDict({"observation": seen}, batch_size=[B, T])
    td["next"] = TensorDict(following, batch_size=[B, T])
    with torch.no_grad():
        actor(td)
        for parameter in actor.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    GAE(0.9, 0.8, critic)(td)
    return actor, critic, td.detach()


def assert_agreement(ours, other, td, names, parameters):
    """The sums of the named losses, and their gradients; ``names`` are of ours and theirs, first the actor's."""
    if hasattr(other.tensor_keys, "sample_log_prob"):
        other.set_keys(sample_log_prob="sample_log_prob")
    one, another = ours(td.clone()), other(td.clone())
    for mine, their in names.items():
        total = sum(one[name] for name in mine.split(" + "))
        torch.testing.assert_close(total, another[their], rtol=1e-6, atol=1e-8)
        if mine.startswith("loss_"):
            grads = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
            wanted = torch.autograd.grad(another[their], [*other.parameters()], retain_graph=True, allow_unused=True)
            for grad, expected in zip(grads, wanted, strict=True):
                if grad is not None or expected is not None:
                    torch.testing.assert_close(grad, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("options", [{}, {"normalize_advantage": True}, {"loss_critic_type": "smooth_l1"}])
def test_clip_ppo(collected, options):
    actor, critic, td = collected
    common = {"clip_epsilon": 0.1, "entropy_coeff": 0.3, "critic_coeff": 0.5, "loss_critic_type": "l2", **options}
    other = theirs.ClipPPOLoss(to_torchrl(actor), to_torchrl(critic), **common)
    ours = ClipPPOLoss(actor, critic, **common)
    names = {name: name for name in ("loss_objective", "loss_critic", "loss_entropy", "entropy", "clip_fraction")}
    if options.get("normalize_advantage"):  # theirs divides by the sample's deviation, n - 1
        del names["loss_objective"]
    assert_agreement(ours, other, td, names, [*actor.parameters(), *critic.parameters()])


def test_a2c(collected):
    actor, critic, td = collected
    other = theirs.A2CLoss(
        to_torchrl(actor), to_torchrl(critic), entropy_coeff=0.3, critic_coeff=0.5, loss_critic_type="l2"
    )
    ours = A2CLoss(actor, critic, entropy_coeff=0.3, critic_coeff=0.5)
    names = {name: name for name in ("loss_objective", "loss_critic", "loss_entropy", "entropy")}
    assert_agreement(ours, other, td, names, [*actor.parameters(), *critic.parameters()])


def test_reinforce(collected):
    actor, critic, td = collected
    other = theirs.ReinforceLoss(to_torchrl(actor), to_torchrl(critic), loss_critic_type="l2")
    ours = ReinforceLoss(actor, critic)
    names = {"loss_objective": "loss_actor", "loss_critic": "loss_value"}
    assert_agreement(ours, other, td, names, [*actor.parameters(), *critic.parameters()])


def test_kl_penalised_ppo(collected):
    actor, critic, td = collected
    ours = KLPENPPOLoss(actor, critic, beta=3.0, entropy_coeff=0.3, critic_coeff=0.5)
    common = {"entropy_coeff": 0.3, "critic_coeff": 0.5, "loss_critic_type": "l2"}
    # Theirs moves beta during the call, where the backward pass finds the new one: at its target it stays as it is.
    at = ours(td)["kl"].item()
    other = theirs.KLPENPPOLoss(to_torchrl(actor), to_torchrl(critic), beta=3.0, dtarg=at, **common)
    names = {"loss_objective + loss_kl": "loss_objective", "loss_entropy": "loss_entropy"}
    assert_agreement(ours, other, td, names, [*actor.parameters(), *critic.parameters()])


@pytest.mark.parametrize("collected", [steering], indirect=True)
def test_behaviour_cloning(collected):
    actor, _, td = collected  # theirs refuses choices by their number
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a network that its class does not annotate
        other = theirs.BCLoss(to_torchrl(actor))
    assert_agreement(BCLoss(actor), other, td, {"loss_bc": "loss_bc"}, list(actor.parameters()))


@pytest.mark.parametrize("kind", ["GAE", "TDLambda", "TD0"])
def test_estimates(collected, kind):
    _, critic, td = collected
    value = to_torchrl(critic)
    ours, other = {
        "GAE": lambda: (GAE(0.9, 0.8, critic), their_values.GAE(gamma=0.9, lmbda=0.8, value_network=value)),
        "TDLambda": lambda: (
            TDLambdaEstimator(0.9, 0.8, critic),
            their_values.TDLambdaEstimator(gamma=0.9, lmbda=0.8, value_network=value),
        ),
        "TD0": lambda: (TD0Estimator(0.9, critic), their_values.TD0Estimator(gamma=0.9, value_network=value)),
    }[kind]()
    td = td.exclude("advantage", "value_target", "state_value")
    mine, their = ours(td.clone()), other(td.clone())
    for key in ("advantage", "value_target"):
        torch.testing.assert_close(mine[key], their[key], rtol=1e-5, atol=1e-6)


def test_vtrace(collected):
    # Their function, as their module draws a new action, and scores that one in place of the one that was taken.
    actor, critic, td = collected
    log_prob, value = actor.log_prob(td).detach().unsqueeze(-1), critic(td.clone())["state_value"].detach()
    following = td["next"]
    ends = following["done"], following["terminated"]
    v_tp1 = critic(following.clone())["state_value"].detach()
    old = td["sample_log_prob"].unsqueeze(-1)
    advantage, target = vtrace_advantage_estimate(0.9, log_prob, old, value, v_tp1, following["reward"], *ends)
    ours = VTrace(0.9, actor, critic)(td)
    torch.testing.assert_close(ours["advantage"], advantage)
    torch.testing.assert_close(ours["value_target"], target)
