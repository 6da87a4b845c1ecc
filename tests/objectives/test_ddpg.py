import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, UsageError
from keywork.modules import Actor, AdditiveGaussianModule, GRUModule, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import DDPGLoss, SoftUpdate
from keywork.specs import Bounded


def actor(keys: str | list[str] = "action") -> Actor:
    return Actor(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), ["observation"], keys)


def critic(reads: str = "action") -> ValueOperator:
    return ValueOperator(MLP(5, 1, num_cells=[4]), ["observation", reads], ["state_action_value"])


def batch(size: int = 6, **entries: torch.Tensor) -> TensorDict:
    following = {
        "observation": torch.randn(size, 3, dtype=torch.float64),
        "reward": torch.randn(size, 1, dtype=torch.float64),
        "terminated": torch.arange(size).reshape(size, 1) % 3 == 0,
        "truncated": torch.arange(size).reshape(size, 1) % 3 == 1,
    }
    here = {
        "observation": torch.randn(size, 3, dtype=torch.float64),
        "action": torch.rand(size, 2, dtype=torch.float64) * 2 - 1,
    }
    return TensorDict({**here, "next": following, **entries}, [size])


def gradients(loss: DDPGLoss, td: TensorDict) -> list[torch.Tensor]:
    out = loss(td)
    return list(torch.autograd.grad(out["loss_actor"] + out["loss_qvalue"], trained(loss)))


def trained(loss: nn.Module) -> list[nn.Parameter]:
    return [p for p in loss.parameters() if p.requires_grad]


def apart(loss: DDPGLoss) -> DDPGLoss:
    """With target networks that are somewhere else than the networks."""
    torch.manual_seed(1)
    for _, target in loss.targets:
        for parameter in target.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return loss


def test_losses_and_gradients_equal_those_of_an_independent_float64_computation():
    torch.manual_seed(0)
    loss, td = apart(DDPGLoss(actor().double(), critic().double(), gamma=0.9)), batch()
    out, ours = loss(td), gradients(loss, td)

    mu, mu_target = loss.actor.module, loss.target_actor.module
    q, q_target = loss.qvalue_network.module, loss.target_qvalue_network.module
    obs, ahead, reward = td["observation"], td["next", "observation"], td["next", "reward"]
    # Values stop at termination, rows 0 and 3, and go on through truncation.
    goes_on = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 1.0], dtype=torch.float64)[:, None]
    target = reward + 0.9 * goes_on * q_target(torch.cat([ahead, mu_target(ahead)], -1))
    target = target.detach()
    error = q(torch.cat([obs, td["action"]], -1)) - target
    q_loss = (error**2).sum() / 6
    actor_loss = -q(torch.cat([obs, mu(obs)], -1)).sum() / 6
    torch.testing.assert_close(out["loss_qvalue"], q_loss)
    torch.testing.assert_close(out["loss_actor"], actor_loss)
    torch.testing.assert_close(out["td_error"], error.abs()[:, 0].detach())
    torch.testing.assert_close(out["target_mean"], target.mean())
    torch.testing.assert_close(out["q_mean"], (error + target).mean().detach())

    own, others = list(loss.actor.parameters()), list(loss.qvalue_network.parameters())
    theirs = [*torch.autograd.grad(actor_loss, own, retain_graph=True), *torch.autograd.grad(q_loss, others)]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_numbers_by_hand():
    mu, q = (
        Actor(nn.Linear(1, 1, bias=False)),
        TensorDictModule(lambda s, a: s + 2.0 * a, ["observation", "action"], ["state_action_value"]),
    )
    with torch.no_grad():
        mu.module.weight.fill_(0.5)
    loss = DDPGLoss(mu, q, gamma=0.5)
    following = {"observation": [[2.0], [4.0]], "reward": [[1.0], [1.0]], "terminated": [[False], [True]]}
    td = TensorDict(
        {
            "observation": torch.tensor([[1.0], [1.0]]),
            "action": torch.tensor([[1.0], [-1.0]]),
            "next": {key: torch.tensor(value) for key, value in following.items()},
        },
        [2],
    )
    out = loss(td)
    # q' = 2 + 2 * 1 = 4 in the first: targets 1 + 0.5 * 4 = 3, and 1. q = 1 + 2 = 3, and 1 - 2 = -1.
    assert out["td_error"].tolist() == [0.0, 2.0]
    assert out["loss_qvalue"].item() == 2.0  # (0 + 4) / 2
    assert out["q_mean"].item() == 1.0 and out["target_mean"].item() == 2.0
    assert out["loss_actor"].item() == -2.0  # q(1, 0.5) = 2
    # n steps: 0.25 in place of gamma, target 1 + 0.25 * 4 = 2.
    assert loss(td.clone().set("discount", torch.full((2, 1), 0.25)))["td_error"].tolist() == [1.0, 2.0]
    # weights 2 and 3: (2 * 0 + 3 * 4) / 2, and the actor's loss is as it was
    weighed = loss(td.clone().set("priority_weight", torch.tensor([2.0, 3.0])))
    assert weighed["loss_qvalue"].item() == 6.0 and weighed["loss_actor"].item() == -2.0


def test_what_is_no_step_counts_for_nothing():
    torch.manual_seed(0)
    loss, td = apart(DDPGLoss(actor().double(), critic().double())), batch()
    mask = torch.tensor([True, True, False, True, False, False])[:, None]
    td["observation"][2] = torch.nan
    td["next", "reward"][4] = torch.inf
    out = loss(td.clone().set(("collector", "valid"), mask))
    expected = loss(td[mask[:, 0]])
    for key in ("loss_actor", "loss_qvalue", "q_mean", "target_mean"):
        torch.testing.assert_close(out[key], expected[key])
    assert (out["td_error"] == 0.0).tolist() == [False, False, True, False, True, True]


def test_each_term_moves_only_its_own_network_and_is_there_by_itself():
    loss, td = DDPGLoss(actor().double(), critic().double()), batch()
    inputs, out = loss.read(td), loss(td)
    q_terms, actor_terms = loss.qvalue_terms(*inputs), loss.actor_terms(*inputs)
    assert torch.equal(q_terms.loss, out["loss_qvalue"]) and torch.equal(actor_terms.loss, out["loss_actor"])
    assert torch.equal(q_terms.td_error, out["td_error"])
    for term, network in ((q_terms.loss, loss.qvalue_network), (actor_terms.loss, loss.actor)):
        found = torch.autograd.grad(term, trained(loss), allow_unused=True)
        moved = {id(p) for p, g in zip(trained(loss), found, strict=True) if g is not None and g.any()}
        assert moved == {id(p) for p in network.parameters()}


def test_it_acts_without_noise_whatever_is_behind_the_actor():
    noisy = TensorDictSequential(actor(), AdditiveGaussianModule(Bounded(-1.0, 1.0, (2,)), 1.0, 1.0)).double()
    loss, td = DDPGLoss(noisy, critic().double()), batch()
    assert torch.equal(loss(td)["loss_actor"], loss(td)["loss_actor"])
    assert torch.equal(loss(td)["target_mean"], loss(td)["target_mean"])


def test_targets_follow():
    loss = DDPGLoss(actor(), critic())
    before = [p.clone() for p in loss.target_actor.parameters()]
    with torch.no_grad():
        for parameter in trained(loss):
            parameter += 1.0
    SoftUpdate(loss, tau=0.25).step()
    for now, then in zip(loss.target_actor.parameters(), before, strict=True):
        torch.testing.assert_close(now, then + 0.25)


def test_it_compiles_as_one_graph_with_the_same_gradients():
    loss, td = DDPGLoss(actor().double(), critic().double()), batch()
    inputs = loss.read(td)
    compiled = torch.compile(loss.run, fullgraph=True, backend="aot_eager")(*inputs)
    theirs = torch.autograd.grad(compiled[0] + compiled[1], trained(loss))
    for one, other in zip(gradients(loss, td), theirs, strict=True):
        torch.testing.assert_close(one, other)


def recurrent_pair() -> tuple[TensorDictSequential, TensorDictSequential]:
    memory = GRUModule(3, 4, in_key="observation", out_key="features")
    own = GRUModule(3, 4, in_keys=["observation", "critic_state"], out_keys=["seen", ("next", "critic_state")])
    judge = ValueOperator(MLP(6, 1, num_cells=[4]), ["seen", "action"], ["state_action_value"])
    mu = Actor(nn.Linear(4, 2), ["features"])
    return TensorDictSequential(memory, mu), TensorDictSequential(own, judge)


def test_recurrent_networks_along_time():
    policy, judge = recurrent_pair()
    loss, size = DDPGLoss(policy, judge, gamma=0.5), (2, 5)
    assert loss.in_keys[:3] == ["observation", "recurrent_state", "is_init"] and "critic_state" in loss.in_keys
    td = batch(10).apply(lambda x: x.float() if x.is_floating_point() else x).reshape(size)
    flags = torch.zeros(*size, 1, dtype=torch.bool)
    td.update({"recurrent_state": torch.randn(*size, 1, 4), "critic_state": torch.randn(*size, 1, 4), "is_init": flags})
    td["is_init"][0, 2] = True
    out = loss(td)
    # By hand, step after step.
    state, own, qs, targets, decided = td["recurrent_state"][:, 0], td["critic_state"][:, 0], [], [], []
    for t in range(5):
        step = (
            td[:, t].select("observation", "action", "is_init").set("recurrent_state", state).set("critic_state", own)
        )
        with torch.no_grad():
            acted, judged = policy(step.clone()), judge(step.clone())
            decided.append(judge(step.clone().set("action", acted["action"]))["state_action_value"])
        state, own = acted["next", "recurrent_state"], judged["next", "critic_state"]
        ahead = TensorDict({"observation": td["next", "observation"][:, t]}, [2])
        ahead.update({"recurrent_state": state, "critic_state": own, "is_init": torch.zeros(2, 1, dtype=torch.bool)})
        with torch.no_grad():
            following = judge(policy(ahead))["state_action_value"]
        goes_on = (~td["next", "terminated"][:, t]).float()
        targets.append(td["next", "reward"][:, t] + 0.5 * goes_on * following)
        qs.append(judged["state_action_value"])
    error = torch.stack(qs, 1) - torch.stack(targets, 1)
    torch.testing.assert_close(out["td_error"], error.abs().squeeze(-1))
    torch.testing.assert_close(out["loss_qvalue"].detach(), error.square().mean())
    torch.testing.assert_close(out["loss_actor"].detach(), -torch.stack(decided, 1).mean())
    names = [n for n, p in loss.named_parameters() if p.requires_grad]
    grads = torch.autograd.grad(out["loss_actor"] + out["loss_qvalue"], trained(loss))
    assert not [n for n, g in zip(names, grads, strict=True) if not g.any()]


def test_several_actions_and_several_observations():
    policy = Actor(lambda x, y: (x[..., :1], y[..., :2]), ["position", "goal"], ["steer", "push"])
    judge = ValueOperator(
        lambda x, y, a, b: (x.sum(-1) + y.sum(-1) + a.sum(-1) + b.sum(-1)).unsqueeze(-1),
        ["position", "goal", "steer", "push"],
        ["state_action_value"],
    )
    loss = DDPGLoss(policy, judge)
    assert loss.in_keys[:6] == ["position", "goal", "steer", "push", ("next", "position"), ("next", "goal")]
    ones = torch.ones(4, 3)
    following = {"position": ones, "goal": ones, "reward": torch.zeros(4, 1), "terminated": torch.zeros(4, 1) > 0}
    td = TensorDict({"position": ones, "goal": ones, "steer": ones[:, :1], "push": ones[:, :2], "next": following}, [4])
    assert loss(td)["loss_actor"].item() == -9.0  # 3 + 3 + 1 + 2


SHARED = nn.Linear(3, 3)


def with_shared_trunk() -> tuple[TensorDictSequential, TensorDictSequential]:
    trunk = TensorDictModule(SHARED, ["observation"], ["hidden"])
    judge = ValueOperator(MLP(5, 1), ["hidden", "action"], ["state_action_value"])
    return TensorDictSequential(trunk, Actor(nn.Linear(3, 2), ["hidden"])), TensorDictSequential(trunk, judge)


REFUSED = {
    "1. its critic (ValueOperator (MLP 5 -> 4 -> 1)) does not read 'action', which its actor (Actor (Sequential 3 -> "
    "2)) decides on.\n"
    "   provided: it reads 'observation', 'act'\n"
    "   did you mean 'act'? Rename one of the two.": lambda: (actor(), critic("act")),
    "1. its actor and its critic have 2 parameter tensors in common ('module.0.module.weight', 'module.0.module.bias' "
    "of the former).\n"
    "   provided: each learns from a loss of its own, and has a target that follows it alone\n"
    "   give the critic parameters of its own: copy.deepcopy what they share, or build it anew.": with_shared_trunk,
    "1. its actor (Linear 3 -> 2) does not say what it reads and writes.": lambda: (nn.Linear(3, 2), critic()),
    "1. its critic (Linear 5 -> 1) does not say what it reads and writes.": lambda: (actor(), nn.Linear(5, 1)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_pair_that_does_not_fit_is_refused(message):
    with pytest.raises(ContractError) as caught:
        DDPGLoss(*REFUSED[message]())
    assert str(caught.value).startswith(f"DDPGLoss cannot be built: 1 finding.\n{message}")


def test_a_discount_out_of_range_is_refused():
    with pytest.raises(UsageError, match="gamma is out of range"):
        DDPGLoss(actor(), critic(), gamma=1.5)
