import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, UsageError
from keywork.distributions import NormalParamExtractor, TanhNormal
from keywork.modules import GRUModule, ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import CQLLoss, SACLoss
from keywork.specs import Bounded, Unbounded

F64 = torch.float64


def actor(**options) -> ProbabilisticActor:
    net = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor("exp"))
    module = TensorDictModule(net, ["observation"], ["loc", "scale"])
    options = {"spec": Bounded([-2.0, 0.0], [2.0, 1.0])} | options
    return ProbabilisticActor(module, ["loc", "scale"], distribution_class=TanhNormal, **options)


def critic() -> ValueOperator:
    return ValueOperator(MLP(5, 1, num_cells=[4]), ["observation", "action"])


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


def test_penalty_and_gradients_equal_those_of_an_independent_float64_computation():
    torch.manual_seed(0)
    loss, td = CQLLoss(actor(), critic(), gamma=0.9, penalty_coeff=3.0, num_random=4).double(), batch()
    held = loss.sac._held(loss.read(td))
    with torch.no_grad():
        actions, log_prob = loss._actions(held)
    a = actions["action"]
    assert a.shape == (6, 12, 2) and log_prob.shape == (6, 12)
    assert (a[..., 0].abs() <= 2.0).all() and (a[..., 1] >= 0.0).all() and (a[..., 1] <= 1.0).all()
    # Uniform on an area of 4 * 1; the others from the policy at the step, and at the one after it.
    torch.testing.assert_close(log_prob[:, :4], torch.full((6, 4), -math.log(4.0), dtype=F64))
    for part, obs in ((slice(4, 8), td["observation"]), (slice(8, 12), td["next", "observation"])):
        dist = loss.sac.actor.get_dist(TensorDict({"observation": obs}, [6]))
        scored = torch.stack([dist.log_prob(a[:, i]) for i in range(part.start, part.stop)], -1)
        torch.testing.assert_close(log_prob[:, part], scored.detach(), rtol=1e-4, atol=1e-4)

    loss._actions = lambda held: (actions, log_prob)
    torch.manual_seed(3)
    terms = loss.qvalue_terms(*loss.read(td))
    torch.manual_seed(3)
    plain = loss.sac.qvalue_terms(*loss.read(td))
    obs = td["observation"].unsqueeze(1).expand(6, 12, 3)
    penalty = 0.0
    for each in loss.sac.qvalue_network:
        q = each.module(torch.cat([obs, a], -1)).squeeze(-1)
        total = torch.log(torch.exp(q - log_prob).sum(-1) / 12)
        penalty = penalty + (total - each.module(torch.cat([td["observation"], td["action"]], -1))[:, 0]).mean()
    torch.testing.assert_close(terms.penalty, penalty.detach())
    torch.testing.assert_close(terms.loss, plain.loss + 3.0 * penalty)
    parameters = list(loss.sac.qvalue_network.parameters())
    ours = torch.autograd.grad(terms.loss, parameters)
    for one, other in zip(ours, torch.autograd.grad(plain.loss + 3.0 * penalty, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_without_a_penalty_it_is_sac():
    policy, judges, td = actor(), [critic(), critic()], batch()
    one, other = CQLLoss(policy, judges, penalty_coeff=0.0).double(), SACLoss(policy, judges).double()
    assert one.in_keys == other.in_keys and one.out_keys == [*other.out_keys, "penalty"]
    torch.manual_seed(0)
    ours = one.actor_terms(*one.read(td))
    torch.manual_seed(0)
    for mine, theirs in zip(ours, other.actor_terms(*other.read(td)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_actions_taken_are_judged_once():
    loss, judged = CQLLoss(actor(), critic(), num_random=4).double(), []
    for each in loss.sac.qvalue_network:
        each.module.register_forward_hook(lambda module, inputs, output: judged.append(output.shape))
    loss.qvalue_terms(*loss.read(batch()))
    # Each of the two critics: the actions taken, and 3 * 4 others of each step. The targets are networks of their own.
    assert sorted(map(tuple, judged)) == [(6, 1), (6, 1), (6, 12, 1), (6, 12, 1)]


def test_it_lowers_the_values_of_actions_that_the_data_has_not():
    torch.manual_seed(0)
    loss, td = CQLLoss(actor(), critic(), penalty_coeff=10.0).double(), batch(32)
    td["action"][:, 0], td["next", "reward"][:] = 1.5, 0.0
    optimizer = torch.optim.Adam(loss.sac.qvalue_network.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss.qvalue_terms(*loss.read(td)).loss.backward()
        optimizer.step()
    other = td.clone()
    other["action"][:, 0] = -1.5
    q = [loss.sac.taken_values(loss.sac._held(loss.read(each))).mean() for each in (td, other)]
    assert q[0] > q[1] + 1.0


def test_each_term_moves_only_its_own_networks():
    loss, td = CQLLoss(actor(), critic()).double(), batch()
    acted = loss.actor_terms(*loss.read(td))
    terms = ((acted.loss, loss.sac.actor), (acted.loss_alpha, loss.sac.temperature))
    for term, network in (*terms, (loss.qvalue_terms(*loss.read(td)).loss, loss.sac.qvalue_network)):
        found = torch.autograd.grad(term, trained(loss), allow_unused=True, retain_graph=True)
        moved = {id(p) for p, g in zip(trained(loss), found, strict=True) if g is not None}
        assert moved == {id(p) for p in network.parameters()}


def remembering() -> TensorDictSequential:
    memory = GRUModule(3, 4, in_key="observation", out_key="features")
    return TensorDictSequential(memory, ValueOperator(MLP(6, 1), ["features", "action"], ["state_action_value"]))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CQLLoss(actor(), [remembering()]), "its critics carry 'recurrent_state', and they are asked for many"),
        (lambda: CQLLoss(actor(spec=None), critic()), "nobody has said within what bounds 'action' is."),
        (
            lambda: CQLLoss(actor(spec=None), critic(), action_spec=Unbounded((2,))),
            "'action' has no bounds between which to draw it.",
        ),
        (lambda: CQLLoss(actor(out_keys=["move"]), critic()), "does not read 'move'"),
    ],
)
def test_what_does_not_fit_is_refused(make, said):
    with pytest.raises(ContractError) as caught:
        make()
    assert said in str(caught.value) and str(caught.value).startswith("CQLLoss cannot be built")


@pytest.mark.parametrize(("name", "number"), [("penalty_coeff", -1.0), ("num_random", 0)])
def test_numbers_out_of_range_are_refused(name, number):
    with pytest.raises(UsageError, match=f"{name} is out of range"):
        CQLLoss(actor(), critic(), **{name: number})
