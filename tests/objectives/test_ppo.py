import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import MissingKeyError, UsageError
from keywork.distributions import Categorical, IndependentNormal
from keywork.modules import Actor, ActorValueOperator, GRUModule, ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import ClipPPOLoss


def actor(return_log_prob: bool = True) -> ProbabilisticActor:
    net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=return_log_prob)


def set_logits(policy: ProbabilisticActor, *logits: float) -> None:
    linear = policy[0].module
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor(logits))


def batch(size: int = 2, **entries: torch.Tensor) -> TensorDict:
    given = {
        "observation": torch.zeros(size, 3),
        "action": torch.zeros(size, dtype=torch.int64),
        "sample_log_prob": torch.full((size,), math.log(0.5)),
        "advantage": torch.ones(size, 1),
        "value_target": torch.ones(size, 1),
    }
    return TensorDict(given | entries, batch_size=[size])


def test_losses_by_hand():
    policy, critic = actor(), ValueOperator(nn.Linear(3, 1))
    set_logits(policy, math.log(3.0), 0.0)  # probabilities 3/4 and 1/4
    with torch.no_grad():
        critic.module.weight.zero_()
        critic.module.bias.fill_(3.0)
    loss = ClipPPOLoss(policy, critic, clip_epsilon=0.2, entropy_coeff=0.1, critic_coeff=0.5)
    out = loss(batch(advantage=torch.tensor([[1.0], [-1.0]])))
    # ratio = 0.75 / 0.5 = 1.5 for both. Objective: min(1.5, 1.2) = 1.2 and min(-1.5, -1.2) = -1.5; mean -0.15.
    assert out["loss_objective"].item() == pytest.approx(0.15)
    # 0.5 * mean (3 - 1)^2 = 2
    assert out["loss_critic"].item() == pytest.approx(2.0)
    # H = -(3/4 ln 3/4 + 1/4 ln 1/4) = 0.562335
    assert out["entropy"].item() == pytest.approx(0.562335, abs=1e-6)
    assert out["loss_entropy"].item() == pytest.approx(-0.0562335, abs=1e-6)
    # k3: (1.5 - 1) - ln 1.5 = 0.094535
    assert out["kl_approx"].item() == pytest.approx(0.094535, abs=1e-6)
    assert out["clip_fraction"].item() == 1.0  # |1.5 - 1| > 0.2


def test_a_call_returns_numbers_and_leaves_the_batch_alone():
    td = batch()
    out = ClipPPOLoss(actor(), ValueOperator(nn.Linear(3, 1)))(td)
    assert out.batch_size == torch.Size([])
    assert all(value.shape == () for _, value in out.items())
    assert set(td.keys()) == {"observation", "action", "sample_log_prob", "advantage", "value_target"}


def test_gradients_equal_those_of_an_independent_float64_computation():
    torch.manual_seed(0)
    policy, critic = actor().double(), ValueOperator(nn.Linear(3, 1)).double()
    td = batch(
        16,
        observation=torch.randn(16, 3, dtype=torch.float64),
        action=torch.randint(2, (16,)),
        sample_log_prob=torch.randn(16, dtype=torch.float64) * 0.2 - 0.7,
        advantage=torch.randn(16, 1, dtype=torch.float64),
        value_target=torch.randn(16, 1, dtype=torch.float64),
    )
    loss = ClipPPOLoss(policy, critic, clip_epsilon=0.1, entropy_coeff=0.01, critic_coeff=0.5, normalize_advantage=True)
    out = loss(td)
    total = out["loss_objective"] + out["loss_critic"] + out["loss_entropy"]
    ours = torch.autograd.grad(total, list(loss.parameters()))

    logits, linear = policy[0].module(td["observation"]), critic.module
    log_p = torch.log(torch.softmax(logits, -1))
    ratio = torch.exp(log_p[torch.arange(16), td["action"]] - td["sample_log_prob"])
    advantage = td["advantage"][:, 0]
    advantage = (advantage - advantage.mean()) / advantage.std(correction=0)
    objective = torch.min(ratio * advantage, torch.clamp(ratio, 0.9, 1.1) * advantage).mean()
    entropy = -(log_p.exp() * log_p).sum(-1).mean()
    value = ((linear(td["observation"]) - td["value_target"]) ** 2).mean()
    theirs = torch.autograd.grad(-objective + 0.5 * value - 0.01 * entropy, list(loss.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_value_clipping_reads_the_collected_value():
    critic = ValueOperator(nn.Linear(3, 1))
    with torch.no_grad():
        critic.module.weight.zero_()
        critic.module.bias.fill_(3.0)
    loss = ClipPPOLoss(actor(), critic, clip_value=0.5)
    assert loss.contract.reads[-1] == "state_value"
    out = loss(batch(state_value=torch.zeros(2, 1), value_target=torch.full((2, 1), 4.0)))
    # max((3 - 4)^2, (0.5 - 4)^2) = 12.25
    assert out["loss_critic"].item() == pytest.approx(12.25)


def test_normalising_makes_scale_and_offset_of_advantages_irrelevant():
    loss = ClipPPOLoss(actor(), ValueOperator(nn.Linear(3, 1)), normalize_advantage=True)
    advantage = torch.tensor([[1.0], [-2.0], [4.0]])
    one = loss(batch(3, advantage=advantage))["loss_objective"]
    other = loss(batch(3, advantage=7.0 * advantage + 3.0))["loss_objective"]
    torch.testing.assert_close(one, other)


def test_takes_continuous_actions_and_a_shared_trunk():
    trunk = TensorDictModule(nn.Linear(3, 8), ["observation"], ["hidden"])
    net = TensorDictModule(lambda h: (h[..., :2], h[..., 2:4].exp()), ["hidden"], ["loc", "scale"])
    head = ProbabilisticActor(net, ["loc", "scale"], distribution_class=IndependentNormal, return_log_prob=True)
    both = ActorValueOperator(trunk, head, ValueOperator(nn.Linear(8, 1), ["hidden"]))
    loss = ClipPPOLoss(both.get_policy_operator(), both.get_value_operator())
    assert len(list(loss.parameters())) == 4  # trunk and value head; the trunk counts once
    td = both.get_policy_operator()(TensorDict(observation=torch.randn(5, 3), batch_size=[5]))
    td = td.select("observation", "action", "sample_log_prob").detach()
    td["advantage"], td["value_target"] = torch.ones(5, 1), torch.ones(5, 1)
    assert loss(td)["kl_approx"].item() == pytest.approx(0.0, abs=1e-6)  # the policy has not moved


def two_actions(**options):
    net = TensorDictModule(lambda h: (h[..., :1], h[..., 1:2].exp(), h[..., 2:]), ["h"], ["loc", "scale", "logits"])
    return ProbabilisticActor(
        [TensorDictModule(nn.Linear(3, 4), ["observation"], ["h"]), net],
        {"x": {"loc": "loc", "scale": "scale"}, "k": {"logits": "logits"}},
        distribution_class={"x": IndependentNormal, "k": Categorical},
        return_log_prob=True,
        **options,
    )


@pytest.mark.parametrize(
    ("options", "old"), [({}, {"x_log_prob": -1.0, "k_log_prob": -0.5}), ({"log_prob_key": "lp"}, {"lp": -1.5})]
)
def test_of_several_actions_the_ratio_is_that_of_all_together(options, old):
    policy = two_actions(**options)
    for parameter in policy.parameters():
        nn.init.zeros_(parameter)
    loss = ClipPPOLoss(policy, ValueOperator(nn.Linear(3, 1)), clip_epsilon=0.9, entropy_coeff=1.0)
    assert loss.contract.reads == ("observation", "x", "k", *old, "advantage", "value_target")
    td = batch(x=torch.full((2, 1), 1.0), k=torch.zeros(2, dtype=torch.int64))
    out = loss(td.update({key: torch.full((2,), value) for key, value in old.items()}))
    # loc 0, scale 1, even logits: log p = -1/2 - log(2 pi) / 2 - log 2 = -0.5 - 0.918939 - 0.693147 = -2.112086
    # ratio = exp(-2.112086 + 1.5) = 0.542219, within [0.1, 1.9]; advantages of one
    assert out["loss_objective"].item() == pytest.approx(-0.542219, abs=1e-5)
    # log(2 pi e) / 2 + log 2 = 1.418939 + 0.693147
    assert out["entropy"].item() == pytest.approx(2.112086, abs=1e-5)


def test_a_step_on_several_actions_makes_good_ones_likelier():
    torch.manual_seed(0)
    policy = two_actions()
    loss = ClipPPOLoss(policy, ValueOperator(nn.Linear(3, 1)), entropy_coeff=0.0)
    td = policy(TensorDict(observation=torch.randn(64, 3), batch_size=[64])).detach()
    good = ((td["k"] == 0) & (td["x"].squeeze(-1) > 0)).float()
    td["advantage"], td["value_target"] = (good - good.mean()).unsqueeze(-1), torch.zeros(64, 1)
    optimiser = torch.optim.Adam(loss.parameters(), 1e-2)
    before = policy.log_prob(td)[good.bool()].mean().item()
    assert loss(td)["kl_approx"].item() == pytest.approx(0.0, abs=1e-6)
    for _ in range(3):
        optimiser.zero_grad()
        out = loss(td)
        (out["loss_objective"] + out["loss_critic"] + out["loss_entropy"]).backward()
        optimiser.step()
    assert policy.log_prob(td)[good.bool()].mean().item() > before


def test_every_log_prob_that_is_not_written_is_named():
    policy = two_actions()
    policy.select_out_keys("x", "k", "x_log_prob")
    with pytest.raises(ValueError, match="it reads 'k_log_prob', which its actor"):
        ClipPPOLoss(policy, ValueOperator(nn.Linear(3, 1)))


def test_an_actor_of_several_samples_is_refused():
    with pytest.raises(ValueError, match="draws 4 samples an element, of which one is taken"):
        ClipPPOLoss(two_actions(num_samples=4), ValueOperator(nn.Linear(3, 1)))


def test_compiles_as_one_graph():
    loss = ClipPPOLoss(actor(), ValueOperator(nn.Linear(3, 1)))
    td = batch()
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(td)["loss_objective"], loss(td)["loss_objective"])


def test_everything_that_is_missing_is_named_at_once():
    with pytest.raises(ValueError) as error:
        ClipPPOLoss(actor(return_log_prob=False), Actor(nn.Linear(3, 1)))
    assert str(error.value) == (
        "ClipPPOLoss cannot be built: 2 findings.\n"
        "1. it reads 'sample_log_prob', which its actor (ProbabilisticActor) does not write.\n"
        "   provided: it writes 'logits', 'action'\n"
        "   pass return_log_prob=True to it.\n"
        "2. its critic (Actor (Linear 3 -> 1)) does not write 'state_value'.\n"
        "   provided: it writes 'action'\n"
        "   name the critic's output: ValueOperator(net, in_keys=[...]), or out_keys=['state_value']."
    )


def test_an_actor_without_a_distribution_is_refused():
    with pytest.raises(ValueError, match="has no distribution to score actions with"):
        ClipPPOLoss(Actor(nn.Linear(3, 1)), ValueOperator(nn.Linear(3, 1)))


def test_a_critic_that_reads_the_action_is_refused():
    with pytest.raises(ValueError) as error:
        ClipPPOLoss(actor(), ValueOperator(nn.Linear(5, 1), ["observation", "action"], ["state_value"]))
    assert str(error.value) == (
        "ClipPPOLoss cannot be built: 1 finding.\n"
        "1. its critic (ValueOperator (Linear 5 -> 1)) reads 'action', which the actor decides on.\n"
        "   provided: it reads 'observation', 'action'\n"
        "   let it read the state alone: in_keys=['observation']."
    )


def memory():
    return GRUModule(4, 8, in_key="observation", out_key="features")


def test_two_memories_under_one_key_are_refused_and_one_memory_of_both_is_not():
    body, head = memory(), TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    policy = ProbabilisticActor([body, head], ["logits"], distribution_class=Categorical, return_log_prob=True)
    value = ValueOperator(nn.Linear(8, 1), ["features"])
    ClipPPOLoss(policy, TensorDictSequential(body, value))
    with pytest.raises(ValueError) as error:
        ClipPPOLoss(policy, TensorDictSequential(memory(), value))
    assert str(error.value) == (
        "ClipPPOLoss cannot be built: 1 finding.\n"
        "1. its actor and its critic each carry a state of their own under 'recurrent_state'.\n"
        "   give the critic's another key, such as 'recurrent_state_2', or share one module."
    )


@pytest.mark.parametrize("name", ["clip_epsilon", "clip_value"])
@pytest.mark.parametrize("number", [-1.0, 0.0, float("nan")])
def test_a_clipping_that_is_not_above_zero_is_refused_when_built(name, number):
    with pytest.raises(UsageError) as error:
        ClipPPOLoss(actor(), ValueOperator(nn.Linear(3, 1)), **{name: number})
    assert str(error.value) == (
        f"ClipPPOLoss cannot be built: {name} is out of range.\n"
        f"  where: {name}\n"
        "  expected: a number above zero\n"
        f"  got: {number!r}\n"
        f"  fix: {name}=0.2"
    )


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("sample_log_prob", "Let the actor write it: ProbabilisticActor(..., return_log_prob=True)"),
        ("advantage", "Add the estimator that writes it before: GAE(gamma, lmbda, critic)"),
        ("value_target", "Add the estimator that writes it before: GAE(gamma, lmbda, critic)"),
        ("action", "Store the entry under 'action'"),
    ],
)
def test_a_missing_entry_is_asked_of_what_writes_it(key, advice):
    with pytest.raises(MissingKeyError) as error:
        ClipPPOLoss(actor(), ValueOperator(nn.Linear(3, 1)))(batch().exclude(key))
    assert str(error.value).endswith(f"\n   {advice}, or let another be read: renamed({{{key!r}: ...}}).")
