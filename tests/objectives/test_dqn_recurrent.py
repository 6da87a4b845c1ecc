"""Losses of action values with recurrent networks: slices, against stepping by hand."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork.functional import categorical_loss, categorical_projection, quantile_huber_loss
from keywork.modules import DistributionalQValueActor, GRUModule, LSTMModule, QuantileQValueActor, QValueActor
from keywork.nn import TensorDictSequential
from keywork.objectives import DistributionalDQNLoss, DQNLoss, QuantileDQNLoss
from keywork.specs import Categorical

B, T, N = 3, 6, 5
KINDS = pytest.mark.parametrize("kind", [GRUModule, LSTMModule])
ATOMS = torch.linspace(-2.0, 2.0, N, dtype=torch.float64)


def policy(kind, head):
    torch.manual_seed(0)
    memory = kind(3, 8, in_key="observation", out_key="features").double()
    return TensorDictSequential(memory, head.double())


def slices(memory):
    generator = torch.Generator().manual_seed(1)

    def numbers(*shape):
        return torch.randn(B, T, *shape, generator=generator, dtype=torch.float64)

    done = torch.rand(B, T, 1, generator=generator) < 0.3
    is_init = torch.cat([torch.tensor([True, False, False]).view(B, 1, 1), done[:, :-1]], 1)
    td = TensorDict({"observation": numbers(3), "is_init": is_init}, [B, T])
    td["action"] = torch.randint(2, (B, T), generator=generator)
    for key in memory.contract.carries:
        td[key] = numbers(1, 8)
    terminated = done & (torch.rand(B, T, 1, generator=generator) < 0.5)
    td["next"] = TensorDict({"observation": numbers(3), "reward": numbers(1), "terminated": terminated}, [B, T])
    return td


def values_by_hand(network, td):
    """What is computed at every step, and one step on from the state after it; step after step."""
    states = {key: td[key][:, 0] for key in network.contract.carries}
    here, ahead = [], []
    for t in range(T):
        out = network(td[:, t].select("observation", "is_init").update(states))
        states = {key: out["next", key] for key in states}
        following = TensorDict({"observation": td["next", "observation"][:, t], **states}, [B])
        following["is_init"] = torch.zeros(B, 1, dtype=torch.bool)
        here.append(out["action_value"])
        ahead.append(network(following)["action_value"])
    return torch.stack(here, 1), torch.stack(ahead, 1)


def stirred(loss):
    with torch.no_grad():
        for parameter in loss.target_network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return loss


def same_gradients(loss, one, other):
    learning = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    ours, theirs = (torch.autograd.grad(value, learning) for value in (one, other))
    for gradient, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


@KINDS
@pytest.mark.parametrize("double", [False, True])
def test_values_along_a_slice_are_those_of_stepping(kind, double):
    network = policy(kind, QValueActor(nn.Linear(8, 2), in_keys=["features"], spec=Categorical(2)))
    loss, td = stirred(DQNLoss(network, gamma=0.9, double_dqn=double)), slices(network)
    q, judge = values_by_hand(network, td)
    with torch.no_grad():
        _, following = values_by_hand(loss.target_network, td)
        best = (judge if double else following).argmax(-1, keepdim=True)
        goal = td["next", "reward"] + 0.9 * following.gather(-1, best) * ~td["next", "terminated"]
    error = (q.gather(-1, td["action"].unsqueeze(-1)) - goal).squeeze(-1)
    out = loss(td)
    torch.testing.assert_close(out["td_error"], error.abs().detach())
    torch.testing.assert_close(out["loss"], error.square().mean())
    same_gradients(loss, out["loss"], error.square().mean())


@KINDS
def test_distributions_along_a_slice_are_those_of_stepping(kind):
    head = nn.Sequential(nn.Linear(8, 2 * N), nn.Unflatten(-1, (N, 2)))
    network = policy(kind, DistributionalQValueActor(head, ATOMS, ["features"], Categorical(2)))
    loss, td = stirred(DistributionalDQNLoss(network, gamma=0.9)), slices(network)
    log_p, _ = values_by_hand(network, td)
    index = td["action"].view(B, T, 1, 1).expand(B, T, N, 1)
    with torch.no_grad():
        # The target network ends before the choice, so that its values are log-probabilities as well.
        following = values_by_hand(loss.target_network, td)[1].exp()
        best = (ATOMS @ following).argmax(-1).view(B, T, 1, 1).expand(B, T, N, 1)
        following = following.gather(-1, best).squeeze(-1)
        goal = categorical_projection(following, td["next", "reward"], td["next", "terminated"], ATOMS, gamma=0.9)
    by_hand = categorical_loss(log_p.gather(-1, index).squeeze(-1), goal)
    out = loss(td)
    torch.testing.assert_close(out["td_error"], by_hand.detach())
    same_gradients(loss, out["loss"], by_hand.mean())


@KINDS
def test_quantiles_along_a_slice_are_those_of_stepping(kind):
    head = nn.Sequential(nn.Linear(8, 2 * N), nn.Unflatten(-1, (N, 2)))
    network = policy(kind, QuantileQValueActor(head, N, ["features"], Categorical(2)))
    loss, td = stirred(QuantileDQNLoss(network, gamma=0.9)), slices(network)
    quantiles, _ = values_by_hand(network, td)
    index = td["action"].view(B, T, 1, 1).expand(B, T, N, 1)
    with torch.no_grad():
        following = values_by_hand(loss.target_network, td)[1]
        best = following.mean(-2).argmax(-1).view(B, T, 1, 1).expand(B, T, N, 1)
        goal = td["next", "reward"] + 0.9 * following.gather(-1, best).squeeze(-1) * ~td["next", "terminated"]
    by_hand = quantile_huber_loss(quantiles.gather(-1, index).squeeze(-1), goal)
    out = loss(td)
    torch.testing.assert_close(out["td_error"], by_hand.detach())
    same_gradients(loss, out["loss"], by_hand.mean())


@KINDS
def test_without_a_target_network_the_states_are_the_same(kind):
    network = policy(kind, QValueActor(nn.Linear(8, 2), in_keys=["features"], spec=Categorical(2)))
    td = slices(network)
    delayed, direct = DQNLoss(network), DQNLoss(network, delay_value=False)
    torch.testing.assert_close(delayed(td)["loss"], direct(td)["loss"])


@KINDS
def test_compiles_as_one_graph(kind):
    network = policy(kind, QValueActor(nn.Linear(8, 2), in_keys=["features"], spec=Categorical(2)))
    loss, td = DQNLoss(network, double_dqn=True), slices(network)
    compiled = torch.compile(loss.run, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*loss.read(td))[0], loss.run(*loss.read(td))[0])
