"""DQNLoss against numbers by hand and brute force; what it takes and refuses."""

import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torch.nn import functional as F

from keywork._errors import ContractError, SpecError, UsageError
from keywork.functional import n_step_return
from keywork.modules import (
    DistributionalQValueActor,
    EGreedyModule,
    NoisyLinear,
    QValueActor,
    QValueModule,
    ValueOperator,
)
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import DQNLoss
from keywork.specs import Categorical, Composite, MultiBinary, MultiDiscrete, OneHot, Unbounded


class Table(nn.Module):
    """Values of the states 0, 1, 2, ...: rows of a table."""

    def __init__(self, *rows):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, state):
        return self.rows[state.squeeze(-1)]


def table_actor(*rows, mask=None, spec=None):
    return QValueActor(Table(*rows), spec=spec or Categorical(len(rows[0])), action_mask_key=mask)


def steps(entries=None, *, reward, terminated=False, action=0, size=1):
    """Steps from state 0 to state 1, with further entries."""
    td = TensorDict(
        {
            "observation": torch.zeros(size, 1, dtype=torch.int64),
            "action": torch.as_tensor(action).expand(size).clone(),
            ("next", "observation"): torch.ones(size, 1, dtype=torch.int64),
            ("next", "reward"): torch.as_tensor(reward).reshape(-1, 1).expand(size, 1).clone(),
            ("next", "terminated"): torch.as_tensor(terminated).reshape(-1, 1).expand(size, 1).clone(),
        },
        [size],
    )
    return td.update(entries or {})


def set_target(loss, *rows):
    with torch.no_grad():
        table = next(part for part in loss.target_network.modules() if isinstance(part, Table))
        table.rows.copy_(torch.tensor(rows))


def test_a_loss_by_hand():
    loss = DQNLoss(table_actor([1.0, 2.0], [3.0, 5.0]), gamma=0.5)
    out = loss(steps(reward=[1.0, 1.0], action=torch.tensor([0, 1]), size=2, terminated=[False, True]))
    # Targets: 1 + 0.5 * max(3, 5) = 3.5, and 1 at the end. Errors: 3.5 - 1 = 2.5, and 1 - 2 = -1.
    assert out["td_error"].tolist() == [2.5, 1.0]
    assert out["loss"].item() == pytest.approx((2.5**2 + 1.0) / 2)
    assert out["q_mean"].item() == 1.5
    assert out["target_mean"].item() == 2.25
    assert out["td_error_mean"].item() == 1.75


def test_hubers_loss_by_hand():
    loss = DQNLoss(table_actor([1.0, 2.0], [3.0, 5.0]), gamma=0.5, loss_function="smooth_l1")
    out = loss(steps(reward=[1.0, 0.0], action=0, size=2))
    # Targets 3.5 and 2.5, errors 2.5 and 1.5: (2.5 - 0.5 + 1.5 - 0.5) / 2
    assert out["loss"].item() == pytest.approx(1.5)


def test_the_target_network_says_what_follows_is_worth():
    loss = DQNLoss(table_actor([1.0, 2.0], [3.0, 5.0]), gamma=1.0)
    set_target(loss, [0.0, 0.0], [10.0, 20.0])
    assert loss(steps(reward=0.0))["target_mean"].item() == 20.0


def test_double_chooses_by_one_network_and_judges_by_the_other():
    loss = DQNLoss(table_actor([1.0, 2.0], [5.0, 3.0]), gamma=1.0, double_dqn=True)
    set_target(loss, [0.0, 0.0], [10.0, 20.0])
    assert loss(steps(reward=0.0))["target_mean"].item() == 10.0  # the first action, of 5 > 3


def test_without_delay_the_network_is_its_own_target_and_has_no_gradient_there():
    loss = DQNLoss(table_actor([1.0, 2.0], [3.0, 5.0]), gamma=0.5, delay_value=False)
    out = loss(steps(reward=1.0))
    out["loss"].backward()
    assert out["target_mean"].item() == 3.5
    # d (1 - 3.5)^2 = 2 * (1 - 3.5) at the action taken, and nothing at the next state.
    assert next(loss.parameters()).grad.tolist() == [[-5.0, 0.0], [0.0, 0.0]]
    assert loss.targets == [] and loss.target_network is None


def test_what_is_truncated_goes_on_and_what_is_terminated_does_not():
    loss = DQNLoss(table_actor([0.0, 0.0], [7.0, 7.0]), gamma=1.0)
    cut = {("next", "truncated"): torch.ones(1, 1, dtype=torch.bool), ("next", "done"): torch.ones(1, 1) > 0}
    assert loss(steps(cut, reward=1.0))["target_mean"].item() == 8.0
    assert loss(steps(reward=1.0, terminated=True))["target_mean"].item() == 1.0


def test_a_masked_action_is_no_next_action():
    loss = DQNLoss(table_actor([0.0, 0.0, 0.0], [1.0, 9.0, 3.0], mask="mask"), gamma=1.0)
    assert ("next", "mask") in loss.in_keys and "mask" not in loss.in_keys
    mask = {("next", "mask"): torch.tensor([[True, False, True]])}
    assert loss(steps(mask, reward=0.0))["target_mean"].item() == 3.0
    double = DQNLoss(table_actor([0.0, 0.0, 0.0], [1.0, 9.0, 3.0], mask="mask"), gamma=1.0, double_dqn=True)
    set_target(double, [0.0, 0.0, 0.0], [10.0, 20.0, 30.0])
    assert double(steps(mask, reward=0.0))["target_mean"].item() == 30.0


def test_an_end_need_not_allow_anything():
    loss = DQNLoss(table_actor([0.0, 0.0], [1.0, 9.0], mask="mask"), gamma=1.0)
    nothing = {("next", "mask"): torch.tensor([[False, False]])}
    assert loss(steps(nothing, reward=2.0, terminated=True))["target_mean"].item() == 2.0
    with pytest.raises(SpecError, match=r"the action mask of row \[0\] allows none"):
        loss(steps(nothing, reward=2.0))
    none = {**nothing, ("collector", "valid"): torch.tensor([[False]])}
    assert loss(steps(none, reward=2.0))["loss"].item() == 0.0


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_priority_weights_multiply_the_losses_of_their_steps_alone(shape):
    loss = DQNLoss(table_actor([0.0, 0.0], [0.0, 0.0]), gamma=1.0)
    out = loss(steps({"priority_weight": torch.tensor([1.0, 0.25]).reshape(shape)}, reward=[2.0, 4.0], size=2))
    assert out["loss"].item() == (4.0 + 0.25 * 16.0) / 2
    assert out["td_error"].tolist() == [2.0, 4.0]


def test_a_discount_takes_the_place_of_gamma():
    loss = DQNLoss(table_actor([0.0, 0.0], [2.0, 8.0]), gamma=0.9)
    discount = torch.tensor([[0.5], [0.25]])
    # 1 + 0.5 * 8 = 5; 1 + 0.25 * 8 = 3
    assert loss(steps({"discount": discount}, reward=1.0, size=2))["td_error"].tolist() == [5.0, 3.0]


def test_three_steps_by_their_discounts_equal_the_return_of_three_steps():
    rows = torch.tensor([[1.0], [2.0], [4.0]])
    no = torch.zeros(3, 1, dtype=torch.bool)
    v = torch.tensor([[0.0], [0.0], [8.0]])
    by_hand = n_step_return(rows, v, no, no, gamma=0.5, n=3)[0]  # 1 + 1 + 1 + 0.125 * 8 = 4
    loss = DQNLoss(table_actor([0.0, 0.0], [2.0, 8.0]))
    out = loss(steps({"discount": torch.tensor([[0.125]])}, reward=1.0 + 0.5 * 2.0 + 0.25 * 4.0))
    assert out["target_mean"].item() == by_hand.item() == 4.0


def test_what_is_no_step_counts_for_nothing():
    loss = DQNLoss(table_actor([1.0, 2.0], [3.0, 5.0]), gamma=0.5)
    valid = {("collector", "valid"): torch.tensor([[True], [False]])}
    out = loss(steps(valid, reward=[1.0, 100.0], size=2))
    alone = loss(steps(reward=1.0))
    for key in ("loss", "q_mean", "target_mean", "td_error_mean"):
        assert out[key] == alone[key], key
    assert out["td_error"].tolist() == [2.5, 0.0]
    nobody = loss(steps({("collector", "valid"): torch.tensor([[False]])}, reward=1.0))
    assert nobody["loss"].item() == 0.0


def random_batch(size=32, **entries):
    generator = torch.Generator().manual_seed(1)

    def numbers(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    td = TensorDict(
        {
            "observation": numbers(size, 3),
            "action": torch.randint(4, (size,), generator=generator),
            ("next", "observation"): numbers(size, 3),
            ("next", "reward"): numbers(size, 1),
            ("next", "terminated"): torch.rand(size, 1, generator=generator) < 0.3,
            ("next", "mask"): torch.rand(size, 4, generator=generator) < 0.6,
            "discount": torch.rand(size, 1, generator=generator, dtype=torch.float64),
            "priority_weight": torch.rand(size, generator=generator, dtype=torch.float64),
            ("collector", "valid"): torch.rand(size, 1, generator=generator) < 0.8,
        },
        [size],
    )
    td["next", "mask"][:, 0] = True
    return td.update(entries)


def network(n_out=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, n_out)).double()


def stirred(loss):
    """A target network that is another one."""
    with torch.no_grad():
        for parameter in loss.target_network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return loss


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", ["l2", "smooth_l1"])
def test_loss_and_gradients_are_those_of_a_loop_over_samples(kind, double):
    actor = QValueActor(network(), spec=Categorical(4), action_mask_key="mask")
    loss, td = stirred(DQNLoss(actor, double_dqn=double, loss_function=kind)), random_batch()
    out = loss(td)
    online, target = actor[0].module, loss.target_network[0].module
    total, count = torch.zeros((), dtype=torch.float64), 0
    for i in range(32):
        q, row = online(td["observation"][i])[td["action"][i]], td[i]
        following, mask = target(row["next", "observation"]), row["next", "mask"]
        judge = online(row["next", "observation"]) if double else following
        best = max((a for a in range(4) if mask[a]), key=lambda a: judge[a].item())
        goal = row["next", "reward"].item()
        if not row["next", "terminated"].item():
            goal += row["discount"].item() * following[best].item()
        difference = q - goal
        square = difference**2
        huber = 0.5 * square if abs(difference.item()) < 1 else difference.abs() - 0.5
        if row["collector", "valid"].item():
            assert out["td_error"][i].item() == pytest.approx(abs(difference.item()), abs=1e-12)
            total, count = total + row["priority_weight"] * (square if kind == "l2" else huber), count + 1
    torch.testing.assert_close(out["loss"], total / count)
    ours = torch.autograd.grad(out["loss"], list(online.parameters()))
    theirs = torch.autograd.grad(total / count, list(online.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_forms_of_one_choice_say_the_same():
    index, vector = random_batch(), random_batch()
    vector["action"] = F.one_hot(index["action"], 4)
    one = DQNLoss(QValueActor(network(), spec=Categorical(4)))(index)["loss"]
    assert one == DQNLoss(QValueActor(network(), spec=OneHot(4)))(vector)["loss"]
    assert one == DQNLoss(QValueActor(network(), action_space="one-hot"))(vector)["loss"]


def test_of_several_choices_the_values_add_up():
    actor = QValueActor(network(5), spec=MultiDiscrete([2, 3]))
    td = random_batch(action=torch.tensor([[1, 2]]).expand(32, 2).clone()).exclude("priority_weight", "discount")
    loss, net = DQNLoss(actor, gamma=0.9), actor[0].module
    q, following = net(td["observation"]), net(td["next", "observation"])
    goal = following[:, :2].amax(1) + following[:, 2:].amax(1)
    goal = td["next", "reward"][:, 0] + 0.9 * goal * ~td["next", "terminated"][:, 0]
    error = (q[:, 1] + q[:, 2 + 2] - goal).abs() * td["collector", "valid"][:, 0]
    torch.testing.assert_close(loss(td)["td_error"], error.detach())


def test_of_bits_the_values_of_the_ones_add_up():
    actor = QValueActor(network(3), spec=MultiBinary(3))
    td = random_batch(action=torch.tensor([[1, 0, 1]], dtype=torch.int8).expand(32, 3).clone())
    td = td.exclude("priority_weight", "discount", ("collector", "valid"))
    loss, net = DQNLoss(actor, gamma=0.9), actor[0].module
    q, following = net(td["observation"]), net(td["next", "observation"])
    goal = td["next", "reward"][:, 0] + 0.9 * following.clamp_min(0.0).sum(1) * ~td["next", "terminated"][:, 0]
    torch.testing.assert_close(loss(td)["td_error"], (q[:, 0] + q[:, 2] - goal).abs().detach())


def test_exploration_after_the_policy_changes_nothing():
    actor = QValueActor(network(), spec=Categorical(4))
    explores = TensorDictSequential(actor, EGreedyModule(Categorical(4), eps_init=1.0))
    loss = DQNLoss(explores)
    assert loss(random_batch())["loss"] == DQNLoss(actor)(random_batch())["loss"]
    assert next(name for name, _ in loss.named_parameters()).startswith("value_network.")


def test_features_may_come_from_steps_before_and_observations_be_several():
    torch.manual_seed(0)
    body = TensorDictModule(lambda x, y: torch.cat([x, y], -1), ["left", ("right", "eye")], ["both"])
    actor = QValueActor(nn.Linear(5, 4), in_keys=["both"], spec=Categorical(4))
    unused = TensorDictModule(nn.Linear(3, 1), ["other"], ["novelty"])
    loss = DQNLoss(TensorDictSequential(unused, body, actor))
    assert loss.in_keys[:6] == [
        *("left", ("right", "eye"), "action", ("next", "left"), ("next", "right", "eye"), ("next", "reward"))
    ]
    following = {"left": torch.ones(7, 2), ("right", "eye"): torch.ones(7, 3), "reward": torch.zeros(7, 1)}
    td = TensorDict(
        {"left": torch.ones(7, 2), ("right", "eye"): torch.zeros(7, 3), "action": torch.zeros(7).long()}, [7]
    )
    td["next"] = TensorDict({**following, "terminated": torch.zeros(7, 1, dtype=torch.bool)}, [7])
    assert loss(td)["td_error"].shape == (7,)


def test_policies_that_fit_specs_are_taken_as_they_are():
    actor = QValueActor.from_spec(Composite(a=Unbounded((2,)), b=Unbounded((3,))), Categorical(4), dueling=True)
    assert DQNLoss(actor).in_keys[:3] == ["a", "b", "action"]


def test_noise_is_drawn_anew_for_each_network_and_call():
    torch.manual_seed(0)
    loss = DQNLoss(QValueActor(nn.Sequential(NoisyLinear(3, 4)), spec=Categorical(4)).double())
    first, second = loss(random_batch()), loss(random_batch())
    assert first["q_mean"] != second["q_mean"] and first["target_mean"] != second["target_mean"]
    first["loss"].backward()
    assert all(parameter.grad is not None for parameter in loss.value_network.parameters())


def test_targets_never_learn():
    loss = DQNLoss(QValueActor(network(), spec=Categorical(4)))
    loss(random_batch())["loss"].backward()
    ((online, target),) = loss.targets
    assert all(p.grad is not None and p.requires_grad for p in online.parameters())
    assert all(p.grad is None and not p.requires_grad for p in target.parameters())
    learning = [p for p in loss.parameters() if p.requires_grad]
    assert len(learning) == len(list(online.parameters())) == 4


def test_a_state_comes_back():
    loss = stirred(DQNLoss(QValueActor(network(), spec=Categorical(4))))
    other = DQNLoss(QValueActor(network(), spec=Categorical(4)))
    assert other(random_batch())["loss"] != loss(random_batch())["loss"]
    other.load_state_dict(loss.state_dict())
    assert other(random_batch())["loss"] == loss(random_batch())["loss"]


def test_compiles_as_one_graph():
    actor = QValueActor(network(), spec=Categorical(4), action_mask_key="mask")
    loss, td = DQNLoss(actor, double_dqn=True), random_batch()
    compiled = torch.compile(loss.run, fullgraph=True, backend="eager")
    for ours, theirs in zip(compiled(*loss.read(td)), loss.run(*loss.read(td)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_other_names():
    loss = DQNLoss(QValueActor(network(), spec=Categorical(4)))
    renamed = loss.renamed({"observation": "pixels", "action": ("agent", "action"), "td_error": "error"})
    td = random_batch()
    other = td.exclude("observation", "action", ("next", "observation"))
    other["pixels"], other["agent", "action"] = td["observation"], td["action"]
    other["next", "pixels"] = td["next", "observation"]
    assert renamed(other)["error"].equal(loss(td)["td_error"])


def refusal_of(*args, **options):
    with pytest.raises((ContractError, UsageError)) as error:
        DQNLoss(*args, **options)
    return str(error.value)


def test_what_is_no_policy_of_values_is_refused():
    assert refusal_of(ValueOperator(nn.Linear(3, 1))) == (
        "DQNLoss cannot be built: 1 finding.\n"
        "1. its value network (ValueOperator (Linear 3 -> 1)) does not choose actions by their values.\n"
        "   provided: it writes 'state_value'\n"
        "   pass a QValueActor(net, spec=env.action_spec), or a sequential that has one."
    )
    assert "its value network (Linear 3 -> 4) does not say what it reads and writes." in refusal_of(nn.Linear(3, 4))


def test_a_choice_without_a_network_is_refused():
    assert "(QValueModule) has no network that computes 'action_value'." in refusal_of(QValueModule("categorical"))


def test_distributions_are_refused():
    net = nn.Sequential(nn.Linear(3, 20), nn.Unflatten(-1, (5, 4)))
    actor = DistributionalQValueActor(net, torch.linspace(-1.0, 1.0, 5), spec=Categorical(4))
    assert refusal_of(actor) == (
        "DQNLoss cannot be built: 1 finding.\n"
        "1. its value network (DistributionalQValueActor) computes values of another kind.\n"
        "   provided: it ends in a DistributionalQValueModule\n"
        "   pass a QValueActor(net, spec=env.action_spec), or a sequential that has one."
    )


def test_two_choices_are_refused():
    keys = {"action_key": "other", "action_value_key": "others", "chosen_action_value_key": "chosen"}
    both = TensorDictSequential(
        QValueActor(network(), spec=Categorical(4)), QValueActor(network(), spec=Categorical(4), **keys)
    )
    assert refusal_of(both) == (
        "DQNLoss cannot be built: 1 finding.\n"
        "1. its value network (TensorDictSequential) makes 2 choices by values.\n"
        "   provided: it chooses 'action', 'other'\n"
        "   give each a loss of its own, or make them one action: spec=MultiDiscrete([...])."
    )


def test_elements_with_values_of_their_own_are_refused():
    message = refusal_of(QValueActor(nn.Linear(3, 4), spec=Categorical(4, shape=(3,))))
    assert "has no one value of an action: each element of the action has a value of its own." in message
    assert message.endswith("spec=MultiDiscrete([n, ...]), whose value is the sum of its choices'.")


def test_a_network_without_sizes_is_refused():
    assert "weight' has no size yet" in refusal_of(QValueActor(nn.LazyLinear(4), spec=Categorical(4)))


@pytest.mark.parametrize("gamma", [-0.1, 1.1, math.nan])
def test_a_discount_out_of_range_is_refused(gamma):
    assert "gamma is out of range" in refusal_of(QValueActor(network(), spec=Categorical(4)), gamma=gamma)


def test_an_unknown_loss_function_is_refused():
    assert refusal_of(QValueActor(network(), spec=Categorical(4)), loss_function="l1") == (
        "DQNLoss cannot be built: there is no such loss_function.\n"
        "  where: loss_function\n"
        "  expected: 'l2' or 'smooth_l1'\n"
        "  got: 'l1'\n"
        "  fix: loss_function='l2'"
    )
