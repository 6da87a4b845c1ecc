import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, UsageError
from keywork.distributions import Categorical, IndependentNormal, NormalParamExtractor, TanhNormal
from keywork.modules import Actor, GRUModule, ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictSequential, set_exploration_type
from keywork.objectives import SACLoss
from keywork.specs import Bounded

F64 = torch.float64


def actor(**options) -> ProbabilisticActor:
    net = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor("exp"))
    module = TensorDictModule(net, ["observation"], ["loc", "scale"])
    options = {"distribution_class": TanhNormal, "spec": Bounded(-2.0, 2.0, (2,))} | options
    return ProbabilisticActor(module, ["loc", "scale"], **options)


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


def drawn(net: nn.Module, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """a = 2 tanh(u), u = loc + scale · ε, and log N(u) - Σ log (2 (1 - tanh² u)), by hand."""
    loc, log_scale = net[0](obs).chunk(2, -1)
    noise = torch.randn_like(loc)
    u = loc + log_scale.exp() * noise
    log_normal = -0.5 * noise**2 - log_scale - 0.5 * math.log(2 * math.pi)
    return 2 * torch.tanh(u), (log_normal - torch.log(2 * (1 - torch.tanh(u) ** 2))).sum(-1, keepdim=True)


def test_losses_and_gradients_equal_those_of_an_independent_float64_computation():
    torch.manual_seed(0)
    loss, td = SACLoss(actor(), critic(), gamma=0.9, alpha_init=0.3).double(), batch()
    for _, target in loss.targets:
        for parameter in target.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    torch.manual_seed(7)
    out = loss(td)
    losses = [out[f"loss_{name}"] for name in ("actor", "qvalue", "alpha")]
    ours = torch.autograd.grad(sum(losses), trained(loss))

    torch.manual_seed(7)
    net, alpha = loss.actor[0].module, loss.temperature.log_alpha.exp()
    q1, q2 = (each.module for each in loss.qvalue_network)
    t1, t2 = (each.module for each in loss.target_qvalue_network)
    obs, ahead = td["observation"], td["next", "observation"]
    a, log_p = drawn(net, ahead)
    x = torch.cat([ahead, a], -1)
    goes_on = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 1.0], dtype=F64)[:, None]
    value = torch.min(t1(x), t2(x)) - 0.3 * log_p
    target = (td["next", "reward"] + 0.9 * goes_on * value).detach()
    x = torch.cat([obs, td["action"]], -1)
    q_loss = ((q1(x) - target) ** 2).mean() + ((q2(x) - target) ** 2).mean()
    a, log_p = drawn(net, obs)
    x = torch.cat([obs, a], -1)
    actor_loss = (0.3 * log_p - torch.min(q1(x), q2(x))).mean()
    alpha_loss = -(alpha * (log_p.detach() - 2.0)).mean()  # minus two numbers
    for name, mine, theirs in zip("aqt", losses, (actor_loss, q_loss, alpha_loss), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name, rtol=1e-6, atol=1e-7)  # 0.3 is a float32 in α
    torch.testing.assert_close(out["entropy"], -log_p.mean().detach())
    assert out["alpha"].item() == pytest.approx(0.3)
    theirs = [
        *torch.autograd.grad(actor_loss, list(loss.actor.parameters()), retain_graph=True),
        *torch.autograd.grad(q_loss, list(loss.qvalue_network.parameters())),
        *torch.autograd.grad(alpha_loss, [loss.temperature.log_alpha]),
    ]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_the_temperature_rises_while_the_entropy_is_below_its_target():
    def slope(target_entropy: float) -> float:
        loss, td = SACLoss(actor(), critic(), target_entropy=target_entropy).double(), batch()
        return torch.autograd.grad(loss(td)["loss_alpha"], [loss.temperature.log_alpha])[0].item()

    assert slope(100.0) < 0.0 < slope(-100.0)  # down the slope: α grows, α shrinks


def test_a_fixed_temperature():
    loss = SACLoss(actor(), critic(), alpha_init=0.25, fixed_alpha=True).double()
    assert loss.out_keys == ["loss_actor", "loss_qvalue", "alpha", "entropy", "td_error", "q_mean", "target_mean"]
    assert loss(batch())["alpha"].item() == pytest.approx(0.25)
    assert loss.actor_terms(*loss.read(batch())).loss_alpha is None
    assert not list(loss.temperature.parameters()) and "temperature.log_alpha" in loss.state_dict()


def test_it_draws_whatever_the_exploration_type_and_terms_are_there_by_themselves():
    loss, td = SACLoss(actor(), critic()).double(), batch()
    with set_exploration_type("deterministic"):
        assert loss(td)["entropy"] != loss(td)["entropy"]
    torch.manual_seed(0)
    out = loss(td)
    torch.manual_seed(0)
    terms, acted = loss.qvalue_terms(*loss.read(td)), loss.actor_terms(*loss.read(td))
    assert torch.equal(terms.loss, out["loss_qvalue"]) and torch.equal(acted.loss, out["loss_actor"])
    for term, network in ((terms.loss, loss.qvalue_network), (acted.loss, loss.actor), (acted.loss_alpha, None)):
        found = torch.autograd.grad(term, trained(loss), allow_unused=True, retain_graph=True)
        moved = {id(p) for p, g in zip(trained(loss), found, strict=True) if g is not None}
        assert moved == {id(p) for p in (network or loss.temperature).parameters()}


def test_what_the_policy_projects_to_its_spec_is_what_is_judged():
    net = TensorDictModule(lambda x: (x[..., :2] * 0 + 9.0, x[..., :2] * 0 + 1.0), ["observation"], ["loc", "scale"])
    policy = ProbabilisticActor(
        net, ["loc", "scale"], distribution_class=IndependentNormal, spec=Bounded(-2.0, 2.0, (2,)), safe=True
    )
    judge = ValueOperator(lambda x, a: a.sum(-1, keepdim=True), ["observation", "action"])
    loss = SACLoss(policy, [judge], alpha_init=1e-9, fixed_alpha=True)
    assert loss(batch())["loss_actor"].item() == pytest.approx(-4.0, abs=1e-6)  # both at their bound of 2


def test_several_actions_are_judged_and_scored_together():
    net = TensorDictModule(
        lambda x: (x[..., :1], x[..., 1:2].exp(), x[..., 2:], x[..., 2:].exp()),
        ["hidden"],
        [
            ("params", "steer", "loc"),
            ("params", "steer", "scale"),
            ("params", "push", "loc"),
            ("params", "push", "scale"),
        ],
    )
    policy = ProbabilisticActor(
        TensorDictSequential(TensorDictModule(nn.Linear(3, 3), ["observation"], ["hidden"]), net),
        {"steer": net.out_keys[:2], "push": net.out_keys[2:]},
        distribution_class={"steer": TanhNormal, "push": TanhNormal},
    )
    judge = ValueOperator(MLP(5, 1), ["observation", "steer", "push"], ["state_action_value"])
    loss, td = SACLoss(policy, judge).double(), batch()
    td.update({"steer": td["action"][:, :1], "push": td["action"][:, 1:]})
    torch.manual_seed(0)
    acted = loss.actor_terms(*loss.read(td))
    torch.manual_seed(0)
    with torch.no_grad():
        steer, push = (dist.rsample_and_log_prob() for dist in policy.get_dist(td).dists.values())
        q = [each(td["observation"], steer[0], push[0])[:, 0] for each in loss.qvalue_network]
    log_prob = steer[1] + push[1]
    torch.testing.assert_close(acted.loss.detach(), (log_prob - torch.min(*q)).mean())
    torch.testing.assert_close(acted.loss_alpha.detach(), -(log_prob - 2.0).mean())  # two numbers in all


def test_recurrent_policies_draw_along_time_and_one_step_on():
    memory = GRUModule(3, 4, in_key="observation", out_key="features")
    net = TensorDictModule(nn.Sequential(nn.Linear(4, 4), NormalParamExtractor("exp")), ["features"], ["loc", "scale"])
    policy = ProbabilisticActor([memory, net], ["loc", "scale"], distribution_class=TanhNormal)
    loss, td = SACLoss(policy, critic()), batch(10).reshape(2, 5)
    td = td.apply(lambda x: x.float() if x.is_floating_point() else x)
    flags = torch.zeros(2, 5, 1, dtype=torch.bool)
    td.update({"recurrent_state": torch.randn(2, 5, 1, 4), "is_init": flags})
    ahead = loss._drawing.dist_ahead(loss._held(loss.read(td)))
    state = td["recurrent_state"][:, 0]
    for t in range(5):
        with torch.no_grad():
            state = policy(
                TensorDict({"observation": td["observation"][:, t], "is_init": flags[:, t]}, [2]).set(
                    "recurrent_state", state
                )
            )["next", "recurrent_state"]
            look = TensorDict({"observation": td["next", "observation"][:, t], "is_init": flags[:, t]}, [2])
            dist = policy.get_dist(look.set("recurrent_state", state))
        torch.testing.assert_close(ahead.loc[:, t].detach(), dist.loc)
    out = loss(td)
    grads = torch.autograd.grad(sum(out[k] for k in loss.out_keys if k.startswith("loss")), trained(loss))
    assert all(each.any() for each in grads)


def test_it_compiles_as_one_graph():
    loss, td = SACLoss(actor(), critic()).double(), batch()
    torch.manual_seed(0)
    compiled = torch.compile(loss.run, fullgraph=True, backend="aot_eager")(*loss.read(td))
    torch.manual_seed(0)
    plain = loss.run(*loss.read(td))
    for one, other in zip(compiled, plain, strict=True):
        torch.testing.assert_close(one, other)
    for one, other in zip(
        *[torch.autograd.grad(sum(each[:3]), trained(loss)) for each in (compiled, plain)], strict=True
    ):
        torch.testing.assert_close(one, other)


def choosing() -> ProbabilisticActor:
    net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Actor(nn.Linear(3, 2)), "its actor (Actor (Linear 3 -> 2)) has no distribution"),
        (
            choosing,
            "its actor (ProbabilisticActor) draws from a Categorical, and no gradient comes through such a draw.",
        ),
        (lambda: actor(num_samples=3), "draws 3 samples an element"),
        (lambda: actor(out_keys=["move"], spec=None), "does not read 'move', which its actor"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(make, said):
    with pytest.raises(ContractError) as caught:
        SACLoss(make(), critic())
    assert said in str(caught.value)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_out_of_range_is_refused(alpha):
    with pytest.raises(UsageError, match=r"alpha_init is out of range.*\n.*\n.*a finite number above zero"):
        SACLoss(actor(), critic(), alpha_init=alpha)


@pytest.mark.parametrize("target", ["automatic", float("nan"), None])
def test_a_target_entropy_that_is_no_number_is_refused(target):
    with pytest.raises(UsageError, match="target_entropy is out of range"):
        SACLoss(actor(), critic(), target_entropy=target)


def test_what_only_tells_has_no_gradient():
    loss = SACLoss(actor(), critic()).double()
    out = loss(batch())
    assert {key for key in loss.out_keys if out[key].requires_grad} == {"loss_actor", "loss_qvalue", "loss_alpha"}
    assert not loss.temperature().requires_grad
