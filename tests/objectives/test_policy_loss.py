"""Losses of a policy and a critic, against the same numbers computed by hand in float64, for all kinds of policies."""

from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import UsageError
from keywork._keys import VALID
from keywork.distributions import Categorical, IndependentNormal, MaskedCategorical, TanhNormal
from keywork.modules import Actor, GRUModule, ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule
from keywork.objectives import A2CLoss, ClipPPOLoss, KLPENPPOLoss, ReinforceLoss

B, T = 3, 4


class Scales(nn.Module):
    """The first of two numbers, and exp of the second."""

    def __init__(self, n_in):
        super().__init__()
        self.linear = nn.Linear(n_in, 2)

    def forward(self, x):
        loc, log_scale = self.linear(x).chunk(2, -1)
        return loc, log_scale.exp()


class Both(nn.Module):
    """Parameters of a real number and of one of three choices."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 5)

    def forward(self, x):
        y = self.linear(x)
        return y[..., :1], y[..., 1:2].exp(), y[..., 2:]


def normal_log_prob(x, loc, scale):
    return -0.5 * ((x - loc) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)


def normal_kl(loc, scale, loc2, scale2):
    return (scale2 / scale).log() + (scale**2 + (loc - loc2) ** 2) / (2 * scale2**2) - 0.5


def choice(logits, action, old):
    """Log-probability, entropy, and KL from the old logits, of a choice."""
    p, q = torch.softmax(old, -1), torch.softmax(logits, -1)
    chosen = nn.functional.one_hot(action, logits.shape[-1])
    return (q.log() * chosen).sum(-1), -(q * q.log()).sum(-1), (p * (p.log() - q.log())).sum(-1)


class Plain:
    """One of three choices."""

    out = ("logits",)

    def actor(self):
        net = TensorDictModule(nn.Linear(3, 3), ["observation"], ["logits"])
        return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)

    def params(self, actor, td):
        return (td["observation"] @ actor[0].module.weight.T + actor[0].module.bias,)

    def says(self, params, td):
        return choice(params[0], td["action"], td["logits"])


class Masked(Plain):
    """The same where the second choice is forbidden: what is left is a choice of two."""

    def actor(self):
        net = TensorDictModule(nn.Linear(3, 3), ["observation"], ["logits"])
        return ProbabilisticActor(net, ["logits", "mask"], distribution_class=MaskedCategorical, return_log_prob=True)

    def says(self, params, td):
        return choice(params[0][..., [0, 2]], td["action"] // 2, td["logits"][..., [0, 2]])


class Squashed(Plain):
    """A real number within (-1, 1)."""

    out = ("loc", "scale")

    def actor(self):
        net = TensorDictModule(Scales(3), ["observation"], ["loc", "scale"])
        return ProbabilisticActor(net, ["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True)

    def params(self, actor, td):
        linear = actor[0].module.linear
        y = td["observation"] @ linear.weight.T + linear.bias
        return y[..., :1], y[..., 1:].exp()

    def says(self, params, td):
        (loc, scale), a = params, td["action"]
        log_prob = normal_log_prob(torch.atanh(a), loc, scale) - torch.log1p(-a * a)
        t = torch.linspace(-9.0, 9.0, 3001, dtype=torch.float64)  # the entropy is an integral: of the normal's, plus
        weight = torch.exp(-0.5 * t * t) / math.sqrt(2 * math.pi) * (t[1] - t[0])  # the mean of log(1 - tanh²)
        z = loc + scale * t
        slope = 2.0 * (math.log(2.0) - z - nn.functional.softplus(-2.0 * z))
        entropy = 0.5 * math.log(2 * math.pi * math.e) + scale.log() + (weight * slope).sum(-1, keepdim=True)
        kl = normal_kl(td["loc"], td["scale"], loc, scale)  # a bijection of both leaves it as it is
        return log_prob.squeeze(-1), entropy.squeeze(-1), kl.squeeze(-1)


class Several(Plain):
    """A real number and a choice."""

    out = ("loc", "scale", "logits")

    def actor(self):
        net = TensorDictModule(Both(), ["observation"], ["loc", "scale", "logits"])
        return ProbabilisticActor(
            net,
            {"x": {"loc": "loc", "scale": "scale"}, "k": {"logits": "logits"}},
            distribution_class={"x": IndependentNormal, "k": Categorical},
            return_log_prob=True,
        )

    def params(self, actor, td):
        linear = actor[0].module.linear
        y = td["observation"] @ linear.weight.T + linear.bias
        return y[..., :1], y[..., 1:2].exp(), y[..., 2:]

    def says(self, params, td):
        loc, scale, logits = params
        one = choice(logits, td["k"], td["logits"])
        entropy = 0.5 * math.log(2 * math.pi * math.e) + scale.log()
        other = normal_log_prob(td["x"], loc, scale), entropy, normal_kl(td["loc"], td["scale"], loc, scale)
        return tuple(a + b.squeeze(-1) for a, b in zip(one, other, strict=True))


class Recurrent(Plain):
    """A choice by what a GRU remembers: cell by cell, from zero where an episode begins."""

    out = ("logits",)

    def actor(self):
        memory = GRUModule(3, 4, in_key="observation", out_key="h")
        head = TensorDictModule(nn.Linear(4, 3), ["h"], ["logits"])
        return ProbabilisticActor([memory, head], ["logits"], distribution_class=Categorical, return_log_prob=True)

    def params(self, actor, td):
        layers, rows, state = actor[0].layers, [], td["recurrent_state"][:, 0, 0]
        for t in range(T):
            state = torch.where(td["is_init"][:, t], 0.0, state)
            from_x = td["observation"][:, t] @ layers.weight_ih_l0.T + layers.bias_ih_l0
            from_h = state @ layers.weight_hh_l0.T + layers.bias_hh_l0
            (rx, zx, nx), (rh, zh, nh) = from_x.chunk(3, -1), from_h.chunk(3, -1)
            r, z = torch.sigmoid(rx + rh), torch.sigmoid(zx + zh)
            state = (1 - z) * torch.tanh(nx + r * nh) + z * state
            rows.append(state)
        return (torch.stack(rows, 1) @ actor[1].module.weight.T + actor[1].module.bias,)


POLICIES = {
    "categorical": Plain(),
    "masked": Masked(),
    "tanh normal": Squashed(),
    "several actions": Several(),
    "gru": Recurrent(),
}


@pytest.fixture(params=POLICIES.values(), ids=POLICIES)
def policy(request):
    torch.manual_seed(0)
    return request.param


def collected(policy, gaps):
    """An actor, a critic, and a batch [B, T] that the actor collected before it was changed; all in float64."""
    actor, critic = policy.actor().double(), ValueOperator(nn.Linear(3, 1)).double()
    starts = torch.zeros(B, T, 1, dtype=torch.bool)
    starts[1, 2] = True
    td = TensorDict(
        {
            "observation": torch.randn(B, T, 3, dtype=torch.float64),
            "mask": torch.tensor([True, False, True]).expand(B, T, 3),
            "recurrent_state": torch.randn(B, T, 1, 4, dtype=torch.float64),
            "is_init": starts,
        },
        batch_size=[B, T],
    )
    with torch.no_grad():
        td.update(dict(zip(policy.out, policy.params(actor, td), strict=True)))
        acting = actor[-1](td.copy())
        td.update(acting.select(*actor.dist_sample_keys, *actor.log_prob_keys))
        for parameter in actor.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    td["advantage"] = torch.randn(B, T, 1, dtype=torch.float64)
    td["value_target"] = torch.randn(B, T, 1, dtype=torch.float64)
    td["state_value"] = torch.randn(B, T, 1, dtype=torch.float64)
    if gaps:
        td[VALID] = torch.rand(B, T, 1) < 0.7
    return actor, critic, td


class ByHand:
    """The numbers of a batch, of the steps alone that count."""

    def __init__(self, policy, actor, critic, td, normalize=False):
        counts = td[VALID].squeeze(-1) if VALID in td.keys(True) else torch.ones(B, T, dtype=torch.bool)
        self.log_prob, self.entropy, self.kl = (x[counts] for x in policy.says(policy.params(actor, td), td))
        self.ratio = torch.exp(self.log_prob - sum(td[key] for key in actor.log_prob_keys)[counts])
        self.advantage = td["advantage"][counts].squeeze(-1)
        if normalize:
            self.advantage = (self.advantage - self.advantage.mean()) / self.advantage.std(correction=0)
        value = td["observation"] @ critic.module.weight.T + critic.module.bias
        self.value, self.target = value[counts].squeeze(-1), td["value_target"][counts].squeeze(-1)
        self.old_value = td["state_value"][counts].squeeze(-1)

    def explained(self):
        return 1.0 - (self.target - self.value).var(correction=0) / self.target.var(correction=0)


def assert_agreement(loss, td, expected):
    """Every number that the loss writes, and the gradient of each of its losses, are those expected."""
    out = loss(td)
    assert list(out.keys()) == list(expected)
    own = [p for p in loss.parameters() if p.requires_grad]
    for name, value in expected.items():
        rtol = 1e-5 if "entropy" in name else 1e-8  # that of a TanhNormal is an integral
        torch.testing.assert_close(out[name], value, rtol=rtol, atol=1e-9)
        assert out[name].requires_grad == name.startswith("loss_")
        if name.startswith("loss_"):
            ours = torch.autograd.grad(out[name], own, retain_graph=True, allow_unused=True)
            theirs = torch.autograd.grad(value, own, retain_graph=True, allow_unused=True)
            for one, other in zip(ours, theirs, strict=True):
                assert (one is None) == (other is None)
                if one is not None:
                    torch.testing.assert_close(one, other, rtol=10 * rtol, atol=rtol)


GAPS = pytest.mark.parametrize("gaps", [False, True], ids=["", "gaps"])


@GAPS
def test_clip_ppo(policy, gaps):
    actor, critic, td = collected(policy, gaps)
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.1, entropy_coeff=0.3, normalize_advantage=True, clip_value=0.5)
    hand = ByHand(policy, actor, critic, td, normalize=True)
    clipped = hand.ratio.clamp(0.9, 1.1)
    near = hand.old_value + (hand.value - hand.old_value).clamp(-0.5, 0.5)
    worse = torch.maximum((hand.value - hand.target) ** 2, (near - hand.target) ** 2)
    expected = {
        "loss_objective": -torch.minimum(hand.ratio * hand.advantage, clipped * hand.advantage).mean(),
        "loss_critic": worse.mean(),
        "loss_entropy": -0.3 * hand.entropy.mean(),
        "entropy": hand.entropy.mean(),
        "kl_approx": (hand.ratio - 1.0 - hand.ratio.log()).mean(),
        "clip_fraction": (clipped != hand.ratio).double().mean(),
    }
    assert expected["clip_fraction"] > 0.0
    assert_agreement(loss, td, expected)


@GAPS
def test_kl_penalised_ppo(policy, gaps):
    actor, critic, td = collected(policy, gaps)
    loss = KLPENPPOLoss(actor, critic, beta=3.0, entropy_coeff=0.3, loss_critic_type="smooth_l1")
    hand = ByHand(policy, actor, critic, td)
    error = (hand.value - hand.target).abs()
    expected = {
        "loss_objective": -(hand.ratio * hand.advantage).mean(),
        "loss_critic": torch.where(error < 1.0, 0.5 * error**2, error - 0.5).mean(),
        "loss_entropy": -0.3 * hand.entropy.mean(),
        "entropy": hand.entropy.mean(),
        "loss_kl": 3.0 * hand.kl.mean(),
        "kl": hand.kl.mean(),
    }
    assert_agreement(loss, td, expected)


@GAPS
def test_a2c(policy, gaps):
    actor, critic, td = collected(policy, gaps)
    loss = A2CLoss(actor, critic, entropy_coeff=0.3, critic_coeff=0.5, normalize_advantage=True)
    hand = ByHand(policy, actor, critic, td, normalize=True)
    expected = {
        "loss_objective": -(hand.log_prob * hand.advantage).mean(),
        "loss_critic": 0.5 * ((hand.value - hand.target) ** 2).mean(),
        "loss_entropy": -0.3 * hand.entropy.mean(),
        "entropy": hand.entropy.mean(),
        "explained_variance": hand.explained(),
    }
    assert_agreement(loss, td, expected)


@GAPS
def test_reinforce_with_and_without_a_critic(policy, gaps):
    actor, critic, td = collected(policy, gaps)
    hand = ByHand(policy, actor, critic, td)
    expected = {
        "loss_objective": -(hand.log_prob * hand.advantage).mean(),
        "loss_entropy": -0.3 * hand.entropy.mean(),
        "entropy": hand.entropy.mean(),
    }
    assert_agreement(ReinforceLoss(actor, entropy_coeff=0.3), td.exclude("value_target", "state_value"), expected)
    baseline = {
        "loss_objective": expected["loss_objective"],
        "loss_critic": 0.5 * (hand.value - hand.target).abs().mean(),
        "loss_entropy": expected["loss_entropy"],
        "entropy": expected["entropy"],
        "explained_variance": hand.explained(),
    }
    assert_agreement(
        ReinforceLoss(actor, critic, entropy_coeff=0.3, critic_coeff=0.5, loss_critic_type="l1"), td, baseline
    )


LOSSES = {"clip": ClipPPOLoss, "penalty": KLPENPPOLoss, "a2c": A2CLoss, "reinforce": ReinforceLoss}
EVERY_LOSS = pytest.mark.parametrize("kind", LOSSES.values(), ids=LOSSES)


@EVERY_LOSS
def test_gradients_are_those_of_finite_differences(kind):
    torch.manual_seed(0)
    actor, critic, td = collected(Plain(), gaps=True)
    loss = kind(actor, critic)
    names = [name for name, _ in loss.named_parameters()]
    losses = [name for name in loss.out_keys if name.startswith("loss_")]

    def total(*values):
        out = torch.func.functional_call(loss, dict(zip(names, values, strict=True)), (td,))
        return sum(out[name] for name in losses)

    assert torch.autograd.gradcheck(total, tuple(loss.parameters()))


@EVERY_LOSS
def test_steps_that_are_none_may_hold_anything_that_can_be_scored(kind):
    torch.manual_seed(0)
    actor, critic, td = collected(Plain(), gaps=True)
    loss, other = kind(actor, critic, normalize_advantage=True), td.clone()
    gap = ~td[VALID].squeeze(-1)
    assert gap.any()
    for key in ("advantage", "value_target"):
        other[key][gap] = torch.nan
    other["observation"][gap], other["action"][gap] = 100.0, 2
    for one, another in zip(loss(td).values(), loss(other).values(), strict=True):
        torch.testing.assert_close(one, another, rtol=1e-12, atol=1e-12)
    grads = [torch.autograd.grad(loss(x)["loss_objective"], actor[0].module.weight)[0] for x in (td, other)]
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


@EVERY_LOSS
def test_a_batch_of_gaps_alone_teaches_nothing(kind):
    actor, critic, td = collected(Plain(), gaps=False)
    td[VALID] = torch.zeros(B, T, 1, dtype=torch.bool)
    out = kind(actor, critic, normalize_advantage=True)(td)
    assert all(value.item() == 0.0 for value in out.values())


@EVERY_LOSS
@pytest.mark.parametrize("gaps", [False, True])
def test_compiles_as_one_graph(policy, kind, gaps):
    actor, critic, td = collected(policy, gaps)
    loss = kind(actor, critic)
    inputs = loss.read(td)
    compiled = torch.compile(loss.run, fullgraph=True, backend="eager")(*inputs)
    torch.testing.assert_close(compiled, loss.run(*inputs))


@EVERY_LOSS
def test_takes_its_entries_under_other_names(kind):
    actor, critic, td = collected(Plain(), gaps=True)
    loss = kind(actor, critic)
    other = loss.renamed({"observation": "pixels", "advantage": ("a", "gain"), VALID: "counts", "entropy": "spread"})
    there = td.clone().rename_key_("observation", "pixels").rename_key_("advantage", ("a", "gain"))
    there["counts"] = there[VALID]
    out = other(there.exclude(VALID))
    assert out["spread"] == loss(td)["entropy"]
    assert out["loss_objective"] == loss(td)["loss_objective"]


@EVERY_LOSS
def test_each_loss_teaches_its_own_network_alone(kind):
    actor, critic, td = collected(Plain(), gaps=False)
    for name, value in kind(actor, critic, entropy_coeff=0.1)(td).items():
        if name.startswith("loss_"):
            weights = [actor[0].module.weight, critic.module.weight]
            grads = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
            assert [grad is None for grad in grads] == [name == "loss_critic", name != "loss_critic"]


def test_what_acts_without_a_log_probability_can_learn_by_a2c_and_reinforce():
    net = TensorDictModule(nn.Linear(3, 3), ["observation"], ["logits"])
    actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical)
    assert "sample_log_prob" not in ReinforceLoss(actor).in_keys
    assert "sample_log_prob" not in A2CLoss(actor, ValueOperator(nn.Linear(3, 1))).in_keys


@pytest.mark.parametrize("kind", [A2CLoss, ReinforceLoss])
def test_everything_that_is_missing_is_named_at_once(kind):
    with pytest.raises(ValueError) as error:
        kind(Actor(nn.Linear(3, 1)), Actor(nn.Linear(3, 1)))
    assert str(error.value) == (
        f"{kind.__name__} cannot be built: 2 findings.\n"
        "1. its actor (Actor (Linear 3 -> 1)) has no distribution to score actions with.\n"
        "   provided: it writes 'action'\n"
        "   pass a ProbabilisticActor(net, in_keys=['logits'], distribution_class=Categorical, return_log_prob=True).\n"
        "2. its critic (Actor (Linear 3 -> 1)) does not write 'state_value'.\n"
        "   provided: it writes 'action'\n"
        "   name the critic's output: ValueOperator(net, in_keys=[...]), or out_keys=['state_value']."
    )


@EVERY_LOSS
@pytest.mark.parametrize("number", [-0.5, math.nan, math.inf])
@pytest.mark.parametrize("name", ["entropy_coeff", "critic_coeff"])
def test_a_weight_that_cannot_be_is_refused(kind, name, number):
    actor, critic, _ = collected(Plain(), gaps=False)
    with pytest.raises(UsageError) as error:
        kind(actor, critic, **{name: number})
    assert str(error.value) == (
        f"{kind.__name__} cannot be built: {name} is out of range.\n"
        f"  where: {name}\n"
        "  expected: a finite number from zero on\n"
        f"  got: {number!r}\n"
        f"  fix: {name}=0.1"
    )


@EVERY_LOSS
def test_an_unknown_loss_of_the_critic_is_refused(kind):
    actor, critic, _ = collected(Plain(), gaps=False)
    with pytest.raises(UsageError) as error:
        kind(actor, critic, loss_critic_type="huber")
    assert str(error.value) == (
        f"{kind.__name__} cannot be built: there is no such loss_critic_type.\n"
        "  where: loss_critic_type\n"
        "  expected: 'l2', 'l1' or 'smooth_l1'\n"
        "  got: 'huber'\n"
        "  fix: loss_critic_type='l2'"
    )


@EVERY_LOSS
def test_networks_without_keys_are_refused(kind):
    with pytest.raises(ValueError, match=r"its actor .Linear 3 -> 1. does not say what it") as error:
        kind(nn.Linear(3, 1), nn.Linear(3, 1))
    assert "2. its critic (Linear 3 -> 1) does not say what it reads and writes." in str(error.value)
