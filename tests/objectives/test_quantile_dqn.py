"""QuantileDQNLoss against numbers by hand and a loop over samples and pairs of quantiles."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torch.nn import functional as F

from keywork._errors import ContractError, UsageError
from keywork.modules import EGreedyModule, NoisyLinear, QuantileQValueActor, QValueActor
from keywork.nn import TensorDictSequential
from keywork.objectives import QuantileDQNLoss
from keywork.specs import Categorical, MultiDiscrete, OneHot

N, CHOICES = 4, 3


def actor(spec=None, mask=None, layer=nn.Linear):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), layer(8, N * CHOICES), nn.Unflatten(-1, (N, CHOICES)))
    return QuantileQValueActor(net.double(), N, spec=spec or Categorical(CHOICES), action_mask_key=mask)


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
    """The same quantiles in every state."""

    def __init__(self, quantiles):
        super().__init__()
        self.quantiles = nn.Parameter(torch.tensor(quantiles))

    def forward(self, x):
        return self.quantiles.expand(*x.shape[:-1], *self.quantiles.shape)


def test_a_loss_by_hand():
    # Two quantiles (rows) of two actions (columns), means 0 and 2.
    policy = QuantileQValueActor(Fixed([[-1.0, 0.0], [1.0, 4.0]]), 2, action_space="categorical")
    following = {"observation": torch.zeros(1, 1), "reward": torch.ones(1, 1), "terminated": torch.zeros(1, 1) > 0}
    td = TensorDict({"observation": torch.zeros(1, 1), "action": torch.zeros(1).long(), "next": following}, [1])
    out = QuantileDQNLoss(policy, gamma=0.5)(td)
    # Targets 1 + 0.5 * (0, 4) = (1, 3); predictions (-1, 1) at tau 0.25 and 0.75.
    # tau 0.25: errors 2 and 4, Huber 1.5 and 3.5, times 0.25: mean 0.625
    # tau 0.75: errors 0 and 2, Huber 0 and 1.5, times 0.75: mean 0.5625
    assert out["loss"].item() == pytest.approx(1.1875)
    assert out["td_error"].tolist() == pytest.approx([1.1875])
    assert (out["q_mean"].item(), out["target_mean"].item()) == (0.0, 2.0)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0])
def test_loss_and_gradients_are_those_of_a_loop_over_pairs(double, kappa):
    policy = actor(mask="mask")
    loss, td = stirred(QuantileDQNLoss(policy, double_dqn=double, kappa=kappa)), batch()
    out = loss(td)
    online, target = policy[0].module, loss.target_network[0].module
    total, count = torch.zeros((), dtype=torch.float64), 0
    for i in range(32):
        row = td[i]
        following = target(row["next", "observation"])
        judge = online(row["next", "observation"]) if double else following
        allowed = [a for a in range(CHOICES) if row["next", "mask"][a]]
        best = max(allowed, key=lambda a: judge[:, a].mean().item())
        theta, own = online(row["observation"])[:, row["action"]], torch.zeros((), dtype=torch.float64)
        for k in range(N):
            for j in range(N):
                goal = row["next", "reward"].item()
                if not row["next", "terminated"].item():
                    goal += row["discount"].item() * following[j, best].item()
                u = goal - theta[k]
                if kappa == 0.0:
                    size = u.abs()
                else:
                    size = u**2 / (2 * kappa) if abs(u.item()) <= kappa else u.abs() - kappa / 2
                own = own + abs((2 * k + 1) / (2 * N) - (u.item() < 0)) * size / N
        if row["collector", "valid"].item():
            assert out["td_error"][i].item() == pytest.approx(own.item(), abs=1e-10)
            total, count = total + row["priority_weight"].item() * own, count + 1
    torch.testing.assert_close(out["loss"], total / count)
    ours = torch.autograd.grad(out["loss"], list(online.parameters()))
    theirs = torch.autograd.grad(total / count, list(online.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_vectors_say_the_same_as_indices_and_exploration_changes_nothing():
    vector = batch()
    vector["action"] = F.one_hot(vector["action"], CHOICES)
    expected = QuantileDQNLoss(actor())(batch())["loss"]
    assert QuantileDQNLoss(actor(OneHot(CHOICES)))(vector)["loss"] == expected
    explores = TensorDictSequential(actor(), EGreedyModule(Categorical(CHOICES)))
    assert QuantileDQNLoss(explores)(batch())["loss"] == expected


def test_noise_is_drawn_anew():
    loss = QuantileDQNLoss(actor(layer=NoisyLinear))
    assert loss(batch())["loss"] != loss(batch())["loss"]


def test_compiles_as_one_graph():
    loss, td = QuantileDQNLoss(actor(mask="mask"), double_dqn=True), batch()
    compiled = torch.compile(loss.run, fullgraph=True, backend="eager")
    for ours, theirs in zip(compiled(*loss.read(td)), loss.run(*loss.read(td)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_other_policies_are_refused():
    with pytest.raises(ContractError, match=r"pass a QuantileQValueActor\(net, num_quantiles, spec=env.action_spec\)"):
        QuantileDQNLoss(QValueActor(nn.Linear(3, 2), spec=Categorical(2)))
    with pytest.raises(ContractError, match="an action is several choices"):
        QuantileDQNLoss(actor(MultiDiscrete([2, 1])))


@pytest.mark.parametrize("kappa", [-1.0, float("nan")])
def test_a_square_that_ends_below_zero_is_refused(kappa):
    with pytest.raises(UsageError) as error:
        QuantileDQNLoss(actor(), kappa=kappa)
    assert str(error.value) == (
        "QuantileDQNLoss cannot be built: kappa is out of range.\n"
        "  where: kappa\n"
        "  expected: a finite number from zero on\n"
        f"  got: {kappa!r}\n"
        "  fix: kappa=1.0"
    )
