"""DistributionalDQNLoss against numbers by hand and a loop over samples and atoms."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torch.nn import functional as F

from keywork._errors import ContractError
from keywork.modules import DistributionalQValueActor, EGreedyModule, NoisyLinear, QValueActor
from keywork.nn import TensorDictSequential
from keywork.objectives import DistributionalDQNLoss
from keywork.specs import Categorical, MultiDiscrete, OneHot

N, CHOICES = 5, 3
ATOMS = torch.linspace(-2.0, 2.0, N, dtype=torch.float64)


def actor(spec=None, mask=None, layer=nn.Linear):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), layer(8, N * CHOICES), nn.Unflatten(-1, (N, CHOICES)))
    return DistributionalQValueActor(net.double(), ATOMS, spec=spec or Categorical(CHOICES), action_mask_key=mask)


def batch(size=32):
    generator = torch.Generator().manual_seed(1)

    def numbers(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mask = torch.rand(size, CHOICES, generator=generator) < 0.6
    mask[:, 0] = True
    following = {
        "observation": numbers(size, 3),
        "reward": numbers(size, 1),
        "terminated": torch.rand(size, 1, generator=generator) < 0.3,
        "mask": mask,
    }
    return TensorDict(
        {
            "observation": numbers(size, 3),
            "action": torch.randint(CHOICES, (size,), generator=generator),
            "next": TensorDict(following, [size]),
            "discount": torch.rand(size, 1, generator=generator, dtype=torch.float64),
            "priority_weight": torch.rand(size, 1, generator=generator, dtype=torch.float64),
            ("collector", "valid"): torch.rand(size, 1, generator=generator) < 0.8,
        },
        [size],
    )


def stirred(loss):
    with torch.no_grad():
        for parameter in loss.target_network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return loss


class Fixed(nn.Module):
    """The same log-probabilities in every state."""

    def __init__(self, probabilities):
        super().__init__()
        self.log_p = nn.Parameter(torch.tensor(probabilities).log())

    def forward(self, x):
        return self.log_p.expand(*x.shape[:-1], *self.log_p.shape)


def test_a_loss_by_hand():
    # Three atoms -1, 0, 1 (rows) of two actions (columns), expectations 0 and 0.5: the second action is the best.
    net = Fixed([[0.25, 0.0], [0.5, 0.5], [0.25, 0.5]])
    policy = DistributionalQValueActor(net, torch.tensor([-1.0, 0.0, 1.0]), action_space="categorical")
    loss = DistributionalDQNLoss(policy, gamma=0.5)
    following = {"observation": torch.zeros(2, 1), "reward": torch.tensor([[0.5], [0.5]])}
    following["terminated"] = torch.tensor([[False], [True]])
    td = TensorDict({"observation": torch.zeros(2, 1), "action": torch.tensor([0, 0]), "next": following}, [2])
    out = loss(td)
    # Going on: atoms 0 and 1 become 0.5 and 1, of 0.5 each: 0.25 on 0, 0.25 + 0.5 on 1.
    # Cross-entropy: -(0.25 ln 0.5 + 0.75 ln 0.25) = 0.173287 + 1.039721
    # At the end all is on 0.5, half on 0 and half on 1: -(0.5 ln 0.5 + 0.5 ln 0.25) = 0.346574 + 0.693147
    assert out["td_error"].tolist() == pytest.approx([1.213008, 1.039721], abs=1e-5)
    assert out["loss"].item() == pytest.approx((1.213008 + 1.039721) / 2, abs=1e-5)
    assert out["q_mean"].item() == pytest.approx(0.0)
    assert out["target_mean"].item() == pytest.approx((0.75 + 0.5) / 2)


@pytest.mark.parametrize("double", [False, True])
def test_loss_and_gradients_are_those_of_a_loop_over_samples(double):
    policy = actor(mask="mask")
    loss, td = stirred(DistributionalDQNLoss(policy, double_dqn=double)), batch()
    out, width = loss(td), float(ATOMS[1] - ATOMS[0])
    online, target = policy[0].module, loss.target_network[0].module
    total, count = torch.zeros((), dtype=torch.float64), 0
    for i in range(32):
        row = td[i]
        following = target(row["next", "observation"]).softmax(0)
        judge = online(row["next", "observation"]).softmax(0) if double else following
        allowed = [a for a in range(CHOICES) if row["next", "mask"][a]]
        best = max(allowed, key=lambda a: (judge[:, a] * ATOMS).sum().item())
        goal = [0.0] * N
        for j in range(N):
            place = row["next", "reward"].item()
            if not row["next", "terminated"].item():
                place += row["discount"].item() * ATOMS[j].item()
            place = min(max(place, -2.0), 2.0)
            for k in range(N):
                goal[k] += following[j, best].item() * max(0.0, 1.0 - abs(place - ATOMS[k].item()) / width)
        log_p = online(row["observation"]).log_softmax(0)[:, row["action"]]
        entropy = -(torch.tensor(goal, dtype=torch.float64) * log_p).sum()
        if row["collector", "valid"].item():
            assert out["td_error"][i].item() == pytest.approx(entropy.item(), abs=1e-10)
            total, count = total + row["priority_weight"].item() * entropy, count + 1
    torch.testing.assert_close(out["loss"], total / count)
    ours = torch.autograd.grad(out["loss"], list(online.parameters()))
    theirs = torch.autograd.grad(total / count, list(online.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_vectors_say_the_same_as_indices_and_exploration_changes_nothing():
    vector = batch()
    vector["action"] = F.one_hot(vector["action"], CHOICES)
    expected = DistributionalDQNLoss(actor())(batch())["loss"]
    assert DistributionalDQNLoss(actor(OneHot(CHOICES)))(vector)["loss"] == expected
    explores = TensorDictSequential(actor(), EGreedyModule(Categorical(CHOICES)))
    assert DistributionalDQNLoss(explores)(batch())["loss"] == expected


def test_log_probabilities_may_come_from_the_network_itself():
    net = nn.Sequential(nn.Linear(3, N * CHOICES), nn.Unflatten(-1, (N, CHOICES)), nn.LogSoftmax(-2)).double()
    made = DistributionalQValueActor(net, ATOMS, action_space="categorical", make_log_softmax=False)
    plain = DistributionalQValueActor(net[:2], ATOMS, action_space="categorical")
    torch.testing.assert_close(*[DistributionalDQNLoss(policy)(batch())["loss"] for policy in (made, plain)])


def test_noise_is_drawn_anew():
    loss = DistributionalDQNLoss(actor(layer=NoisyLinear))
    assert loss(batch())["loss"] != loss(batch())["loss"]


def test_targets_never_learn_and_the_atoms_are_saved_once():
    loss = DistributionalDQNLoss(actor())
    loss(batch())["loss"].backward()
    assert all(p.grad is None and not p.requires_grad for p in loss.target_network.parameters())
    assert all(p.grad is not None for p in loss.value_network.parameters())
    assert [name for name in loss.state_dict() if name.endswith("support")] == ["value_network.module.2.support"]


def test_compiles_as_one_graph():
    loss, td = DistributionalDQNLoss(actor(mask="mask"), double_dqn=True), batch()
    compiled = torch.compile(loss.run, fullgraph=True, backend="eager")
    for ours, theirs in zip(compiled(*loss.read(td)), loss.run(*loss.read(td)), strict=True):
        torch.testing.assert_close(ours, theirs)


def refusal_of(policy):
    with pytest.raises(ContractError) as error:
        DistributionalDQNLoss(policy)
    return str(error.value)


def test_plain_values_are_refused():
    assert refusal_of(QValueActor(nn.Linear(3, 2), spec=Categorical(2))) == (
        "DistributionalDQNLoss cannot be built: 1 finding.\n"
        "1. its value network (QValueActor) computes values of another kind.\n"
        "   provided: it ends in a QValueModule\n"
        "   pass a DistributionalQValueActor(net, support, spec=env.action_spec), or a sequential that has one."
    )


def test_several_choices_are_refused():
    message = refusal_of(actor(MultiDiscrete([2, 1])))
    assert "has no one value of an action: an action is several choices." in message
    assert message.endswith("make it a single choice: spec=Categorical(n).")


@pytest.mark.parametrize("atoms", [[0.0, 1.0, 3.0, 4.0, 5.0], [4.0, 3.0, 2.0, 1.0, 0.0]])
def test_atoms_that_do_not_ascend_in_even_steps_are_refused(atoms):
    policy = DistributionalQValueActor(actor()[0], torch.tensor(atoms), action_space="categorical")
    assert refusal_of(policy) == (
        "DistributionalDQNLoss cannot be built: 1 finding.\n"
        "1. the atoms of its value network do not ascend in even steps.\n"
        f"   provided: support {atoms[:4]} ...\n"
        "   support=torch.linspace(-10.0, 10.0, 51)."
    )
