import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, UsageError
from keywork.distributions import IndependentNormal
from keywork.modules import Actor, ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule
from keywork.objectives import IQLLoss

F64 = torch.float64


def actor() -> ProbabilisticActor:
    net = nn.Linear(3, 2)
    module = TensorDictModule(net, ["observation"], ["loc"])
    spread = TensorDictModule(lambda loc: torch.full_like(loc, 0.5), ["loc"], ["scale"])
    return ProbabilisticActor([module, spread], ["loc", "scale"], distribution_class=IndependentNormal)


def critic() -> ValueOperator:
    return ValueOperator(MLP(5, 1, num_cells=[4]), ["observation", "action"])


def value() -> ValueOperator:
    return ValueOperator(MLP(3, 1, num_cells=[4]))


def batch(size: int = 6) -> TensorDict:
    following = {
        "observation": torch.randn(size, 3, dtype=F64),
        "reward": torch.randn(size, 1, dtype=F64),
        "terminated": torch.arange(size).reshape(size, 1) % 3 == 0,
    }
    here = {"observation": torch.randn(size, 3, dtype=F64), "action": torch.rand(size, 2, dtype=F64)}
    return TensorDict({**here, "next": following}, [size])


def trained(loss: nn.Module) -> list[nn.Parameter]:
    return [p for p in loss.parameters() if p.requires_grad]


def test_losses_and_gradients_equal_those_of_an_independent_float64_computation():
    torch.manual_seed(0)
    settings = {"gamma": 0.9, "expectile": 0.8, "beta": 2.0, "max_weight": 1.5}
    loss, td = IQLLoss(actor(), critic(), value(), **settings).double(), batch()
    for _, target in loss.targets:
        for parameter in target.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    out = loss(td)
    losses = [out[f"loss_{name}"] for name in ("actor", "qvalue", "value")]
    ours = torch.autograd.grad(sum(losses), trained(loss))

    q1, q2 = (each.module for each in loss.qvalue_network)
    t1, t2 = (each.module for each in loss.target_qvalue_network)
    v, loc = loss.value_network.module, loss.actor[0].module
    obs, ahead, action = td["observation"], td["next", "observation"], td["action"]
    x = torch.cat([obs, action], -1)
    u = torch.min(t1(x), t2(x)).detach() - v(obs)
    value_loss = (torch.where(u > 0, 0.8, 0.2) * u**2).mean()
    goes_on = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 1.0], dtype=F64)[:, None]
    target = (td["next", "reward"] + 0.9 * goes_on * v(ahead)).detach()
    q_loss = ((q1(x) - target) ** 2).mean() + ((q2(x) - target) ** 2).mean()
    z = (action - loc(obs)) / 0.5
    log_prob = (-0.5 * z**2 - math.log(0.5) - 0.5 * math.log(2 * math.pi)).sum(-1)
    weight = torch.exp(2.0 * u.detach()[:, 0]).clamp(max=1.5)
    assert ((weight < 1.5).any()) and (weight == 1.5).any()
    actor_loss = -(weight * log_prob).mean()
    for mine, theirs in zip(losses, (actor_loss, q_loss, value_loss), strict=True):
        torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(out["advantage_mean"], u.mean().detach())
    torch.testing.assert_close(out["value_mean"], v(obs).mean().detach())
    theirs = [
        *torch.autograd.grad(actor_loss, list(loss.actor.parameters())),
        *torch.autograd.grad(q_loss, list(loss.qvalue_network.parameters())),
        *torch.autograd.grad(value_loss, list(loss.value_network.parameters())),
    ]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_each_term_moves_only_its_own_network():
    loss, td = IQLLoss(actor(), critic(), value()).double(), batch()
    inputs = loss.read(td)
    for term, network in (
        (loss.actor_terms(*inputs), loss.actor),
        (loss.qvalue_terms(*inputs), loss.qvalue_network),
        (loss.value_terms(*inputs), loss.value_network),
    ):
        found = torch.autograd.grad(term.loss, trained(loss), allow_unused=True)
        moved = {id(p) for p, g in zip(trained(loss), found, strict=True) if g is not None}
        assert moved == {id(p) for p in network.parameters()}


def test_what_is_no_step_counts_for_nothing():
    loss, td = IQLLoss(actor(), critic(), value()).double(), batch()
    mask = torch.tensor([True, True, False, True, False, False])[:, None]
    td["next", "reward"][2] = torch.nan
    out, expected = loss(td.clone().set(("collector", "valid"), mask)), loss(td[mask[:, 0]])
    for key in loss.out_keys:
        if key != "td_error":
            torch.testing.assert_close(out[key], expected[key])


def test_no_action_of_the_policy_is_asked_for():
    loss = IQLLoss(actor(), critic(), value())
    assert ("next", "action") not in loss.in_keys and loss.in_keys[:3] == [
        "observation",
        "action",
        ("next", "observation"),
    ]


SHARED = MLP(3, 1)


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        (lambda: (Actor(nn.Linear(3, 2)), critic(), value()), "has no distribution to score actions with."),
        (lambda: (actor(), value(), value()), "its critic (ValueOperator (MLP 3 -> 4 -> 1)) does not write"),
        (lambda: (actor(), critic(), critic()), "does not write 'state_value'"),
        (
            lambda: (actor(), critic(), ValueOperator(MLP(5, 1), ["observation", "action"], ["state_value"])),
            "reads 'action', which the actor decides on.",
        ),
        (
            lambda: (actor(), ValueOperator(Judge(), ["observation", "action"]), ValueOperator(SHARED)),
            "its critic of actions and its critic of states have",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(networks, said):
    with pytest.raises(ContractError) as caught:
        IQLLoss(*networks(), num_qvalue_nets=1)
    assert said in str(caught.value)


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = SHARED

    def forward(self, x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return self.net(x) + a.sum(-1, keepdim=True)


@pytest.mark.parametrize(
    ("name", "number"), [("expectile", 0.0), ("expectile", 1.0), ("beta", 0.0), ("max_weight", -1)]
)
def test_numbers_out_of_range_are_refused(name, number):
    with pytest.raises(UsageError, match=f"{name} is out of range"):
        IQLLoss(actor(), critic(), value(), **{name: number})
