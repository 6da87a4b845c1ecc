import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, SpecError
from keywork.distributions import Categorical, MaskedCategorical, OneHotCategorical, TanhNormal
from keywork.modules import ProbabilisticActor, QValueActor
from keywork.nn import TensorDictModule
from keywork.objectives import DiscreteSACLoss
from keywork.specs import Categorical as Choice

F64 = torch.float64


def actor(distribution=Categorical) -> ProbabilisticActor:
    net = TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=distribution)


def critic(n: int = 4) -> TensorDictModule:
    return TensorDictModule(nn.Linear(3, n), ["observation"], ["action_value"])


def batch(size: int = 6) -> TensorDict:
    following = {
        "observation": torch.randn(size, 3, dtype=F64),
        "reward": torch.randn(size, 1, dtype=F64),
        "terminated": torch.arange(size).reshape(size, 1) % 3 == 0,
    }
    action = torch.arange(size) % 4
    return TensorDict({"observation": torch.randn(size, 3, dtype=F64), "action": action, "next": following}, [size])


def trained(loss: nn.Module) -> list[nn.Parameter]:
    return [p for p in loss.parameters() if p.requires_grad]


def test_losses_and_gradients_equal_those_of_an_independent_float64_computation():
    torch.manual_seed(0)
    loss, td = DiscreteSACLoss(actor(), critic(), gamma=0.9, alpha_init=0.3).double(), batch()
    for _, target in loss.targets:
        for parameter in target.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    out = loss(td)
    losses = [out[f"loss_{name}"] for name in ("actor", "qvalue", "alpha")]
    ours = torch.autograd.grad(sum(losses), trained(loss))

    net, alpha = loss.actor[0].module, loss.temperature.log_alpha.exp()
    q1, q2 = (each.module for each in loss.qvalue_network)
    t1, t2 = (each.module for each in loss.target_qvalue_network)
    obs, ahead = td["observation"], td["next", "observation"]
    p = torch.softmax(net(ahead), -1)
    v = (p * (torch.min(t1(ahead), t2(ahead)) - 0.3 * p.log())).sum(-1)
    goes_on = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 1.0], dtype=F64)
    target = (td["next", "reward"][:, 0] + 0.9 * goes_on * v).detach()
    rows = torch.arange(6)
    q_loss = sum(((q(obs)[rows, td["action"]] - target) ** 2).mean() for q in (q1, q2))
    p = torch.softmax(net(obs), -1)
    actor_loss = (p * (0.3 * p.log() - torch.min(q1(obs), q2(obs)).detach())).sum(-1).mean()
    entropy = -(p * p.log()).sum(-1).detach()
    alpha_loss = (alpha * (entropy - 0.98 * math.log(4))).mean()
    for mine, theirs in zip(losses, (actor_loss, q_loss, alpha_loss), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)  # 0.3 is a float32 in α
    torch.testing.assert_close(out["entropy"], entropy.mean())
    theirs = [
        *torch.autograd.grad(actor_loss, list(loss.actor.parameters())),
        *torch.autograd.grad(q_loss, list(loss.qvalue_network.parameters())),
        *torch.autograd.grad(alpha_loss, [loss.temperature.log_alpha]),
    ]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_a_one_hot_action_is_as_its_index():
    policy, judges = actor(), [critic(), critic()]
    vectors = ProbabilisticActor(policy[0], ["logits"], distribution_class=OneHotCategorical)
    td = batch().apply(lambda x: x.float() if x.is_floating_point() else x)
    one_hot = td.clone().set("action", nn.functional.one_hot(td["action"], 4))
    one, other = DiscreteSACLoss(policy, judges)(td), DiscreteSACLoss(vectors, judges)(one_hot)
    for key, value in one.items():
        torch.testing.assert_close(other[key], value)


def test_what_a_mask_forbids_counts_for_nothing():
    net = TensorDictModule(lambda x, m: (x @ torch.ones(3, 4), m), ["observation", "action_mask"], ["logits", "mask"])
    policy = ProbabilisticActor(net, ["logits", "mask"], distribution_class=MaskedCategorical)
    values = torch.tensor([1.0, 3.0, 100.0, 100.0])
    judge = TensorDictModule(lambda x: values.expand(*x.shape[:-1], 4), ["observation"], ["action_value"])
    loss = DiscreteSACLoss(policy, [judge], gamma=1.0, alpha_init=2.0, fixed_alpha=True)
    allowed = torch.tensor([True, True, False, False]).expand(3, 4)
    td = batch(3).apply(lambda x: x.float() if x.is_floating_point() else x)
    td["next", "reward"].zero_()
    td["action_mask"], td["next", "action_mask"] = allowed, allowed
    td["action"], td["next", "terminated"] = torch.zeros(3, dtype=torch.int64), torch.zeros(3, 1) > 0
    out = loss(td)
    # Two choices, equally likely: v = (1 + 3) / 2 + 2 ln 2.
    v = 2.0 + 2.0 * math.log(2.0)
    assert out["loss_actor"].item() == pytest.approx(-v) and out["target_mean"].item() == pytest.approx(v)
    assert out["loss_qvalue"].item() == pytest.approx((1.0 - v) ** 2, rel=1e-5)
    assert out["entropy"].item() == pytest.approx(math.log(2.0))


def test_the_entropy_aimed_at_is_one_that_the_mask_leaves_room_for():
    net = TensorDictModule(lambda x, m: (x @ torch.zeros(3, 4), m), ["observation", "action_mask"], ["logits", "mask"])
    policy = ProbabilisticActor(net, ["logits", "mask"], distribution_class=MaskedCategorical)
    loss = DiscreteSACLoss(policy, [critic()], alpha_init=2.0)
    td = batch(3).apply(lambda x: x.float() if x.is_floating_point() else x)
    rows = torch.tensor([[True, True, False, False], [True, False, False, False], [True, True, True, True]])
    td["action"] = torch.zeros(3, dtype=torch.int64)
    td["action_mask"], td["next", "action_mask"] = rows, rows
    # alpha mean (H - 0.98 log n) with H = log n, of 2, 1 and 4 choices: 2 * 0.02 (log 2 + 0 + log 4) / 3.
    assert loss(td)["loss_alpha"].item() == pytest.approx(0.04 * math.log(8.0) / 3, rel=1e-4)


def test_a_policy_of_action_values_judges():
    loss = DiscreteSACLoss(actor(), QValueActor(nn.Linear(3, 4), spec=Choice(4))).double()
    assert loss(batch())["td_error"].shape == (6,)


def test_each_term_moves_only_its_own_networks():
    loss, td = DiscreteSACLoss(actor(), critic()).double(), batch()
    acted = loss.actor_terms(*loss.read(td))
    terms = ((acted.loss, loss.actor), (acted.loss_alpha, loss.temperature))
    for term, network in (*terms, (loss.qvalue_terms(*loss.read(td)).loss, loss.qvalue_network)):
        found = torch.autograd.grad(term, trained(loss), allow_unused=True, retain_graph=True)
        moved = {id(p) for p, g in zip(trained(loss), found, strict=True) if g is not None}
        assert moved == {id(p) for p in network.parameters()}


def test_a_fixed_temperature_has_no_loss():
    loss = DiscreteSACLoss(actor(), critic(), fixed_alpha=True).double()
    assert "loss_alpha" not in loss.out_keys and "loss_alpha" not in loss(batch())


def test_a_policy_of_numbers_is_refused():
    net = TensorDictModule(lambda x: (x, x.exp()), ["observation"], ["loc", "scale"])
    policy = ProbabilisticActor(net, ["loc", "scale"], distribution_class=TanhNormal)
    with pytest.raises(ContractError) as caught:
        DiscreteSACLoss(policy, critic())
    assert str(caught.value) == (
        "DiscreteSACLoss cannot be built: 1 finding.\n"
        "1. its actor (ProbabilisticActor) does not decide on one choice of n.\n"
        "   provided: it draws 'action' from TanhNormal\n"
        "   SACLoss learns numbers; for choices pass a Categorical policy."
    )


def test_an_action_of_another_shape_is_refused():
    td = batch()
    td["action"] = td["action"].unsqueeze(-1)
    with pytest.raises(SpecError, match="cannot tell which value is that of the action"):
        DiscreteSACLoss(actor(), critic()).double()(td)
    with pytest.raises(SpecError, match="its tensors differ in shape"):
        DiscreteSACLoss(actor(), critic(5)).double()(batch())
