import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import SpecError, UsageError
from keywork._keys import VALID
from keywork.distributions import Categorical, IndependentNormal, MaskedCategorical, TanhNormal
from keywork.modules import Actor, GRUModule, ProbabilisticActor
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import BCLoss


def batch(**entries):
    size = len(next(iter(entries.values())))
    return TensorDict(entries, batch_size=[size])


def constant(*numbers):
    """A network that says these numbers, whatever it sees."""
    net = nn.Linear(1, len(numbers))
    with torch.no_grad():
        net.weight.zero_()
        net.bias.copy_(torch.tensor(numbers))
    return net


def chooser(*logits, mask=False):
    net = TensorDictModule(constant(*logits), ["observation"], ["logits"])
    reads = ["logits", "mask"] if mask else ["logits"]
    return ProbabilisticActor(net, reads, distribution_class=MaskedCategorical if mask else Categorical)


def test_choices_by_hand():
    loss = BCLoss(chooser(math.log(3.0), 0.0))  # probabilities 3/4 and 1/4
    td = batch(observation=torch.zeros(3, 1), action=torch.tensor([0, 0, 1]))
    out = loss(td)
    # -(2 ln 3/4 + ln 1/4) / 3
    assert out["loss_bc"].item() == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3)
    out["loss_bc"].backward()
    # softmax minus the shares of the expert: 3/4 - 2/3, 1/4 - 1/3
    assert loss.actor[0].module.bias.grad.tolist() == pytest.approx([1 / 12, -1 / 12], abs=1e-6)
    td[VALID] = torch.tensor([[True], [False], [True]])
    assert loss(td)["loss_bc"].item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_a_mask_leaves_the_rest_of_the_choices():
    td = batch(
        observation=torch.zeros(2, 1),
        mask=torch.tensor([[True, False, True], [True, True, True]]),
        action=torch.tensor([2, 2]),
    )
    # even logits: one of two, and one of three
    expected = (math.log(2) + math.log(3)) / 2
    assert BCLoss(chooser(0.0, 0.0, 0.0, mask=True))(td)["loss_bc"].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "expected"), [("l2", (0.25 + 4.0) / 2), ("l1", (0.5 + 2.0) / 2), ("smooth_l1", (0.125 + 1.5) / 2)]
)
def test_distances_by_hand(kind, expected):
    loss = BCLoss(Actor(constant(0.5, -2.0)), loss_function=kind)
    td = batch(observation=torch.zeros(3, 1), action=torch.zeros(3, 2))
    assert loss(td)["loss_bc"].item() == pytest.approx(expected)
    td[VALID] = torch.tensor([[True], [False], [True]])
    td["action"][1] = torch.nan
    assert loss(td)["loss_bc"].item() == pytest.approx(expected)


def real(dist=IndependentNormal):
    net = TensorDictModule(lambda x: (x, torch.ones_like(x)), ["h"], ["loc", "scale"])
    first = TensorDictModule(constant(0.5), ["observation"], ["h"])
    return ProbabilisticActor([first, net], ["loc", "scale"], distribution_class=dist)


def test_a_policy_learns_by_distance_too_free_of_noise():
    loss = BCLoss(real(TanhNormal), loss_function="l2")
    td = batch(observation=torch.zeros(2, 1), action=torch.zeros(2, 1))
    assert loss(td)["loss_bc"].item() == pytest.approx(math.tanh(0.5) ** 2)
    loss(td)["loss_bc"].backward()
    assert loss.actor[0].module.bias.grad.item() == pytest.approx(2 * math.tanh(0.5) * (1 - math.tanh(0.5) ** 2))


def test_several_actions_add_up():
    net = TensorDictModule(lambda x: (x[..., :1], x[..., 1:2].exp(), x[..., 2:]), ["h"], ["loc", "scale", "logits"])
    actor = ProbabilisticActor(
        [TensorDictModule(constant(0.0, 0.0, 0.0, 0.0), ["observation"], ["h"]), net],
        {"x": {"loc": "loc", "scale": "scale"}, "k": {"logits": "logits"}},
        distribution_class={"x": IndependentNormal, "k": Categorical},
    )
    td = batch(observation=torch.zeros(2, 1), x=torch.tensor([[1.0], [3.0]]), k=torch.tensor([0, 1]))
    # -log N(x) = x² / 2 + log(2 pi) / 2: the mean of 1/2 and 9/2; and a choice of two
    expected = 2.5 + 0.5 * math.log(2 * math.pi) + math.log(2)
    assert BCLoss(actor)(td)["loss_bc"].item() == pytest.approx(expected)


def test_several_actions_of_an_actor_without_a_distribution():
    net = TensorDictModule(constant(1.0, 2.0), ["observation"], ["both"])
    split = TensorDictModule(lambda x: (x[..., :1], x[..., 1:]), ["both"], [("a", "action"), ("b", "action")])
    loss = BCLoss(TensorDictSequential(net, split))
    assert loss.contract.reads == ("observation", ("a", "action"), ("b", "action"))
    td = TensorDict({"observation": torch.zeros(2, 1)}, batch_size=[2])
    td["a", "action"], td["b", "action"] = torch.zeros(2, 1), torch.zeros(2, 1)
    assert loss(td)["loss_bc"].item() == 5.0  # 1² + 2²


def test_the_only_output_is_the_action_whatever_it_is_called():
    assert BCLoss(Actor(nn.Linear(1, 1), out_keys=["torque"])).contract.reads == ("observation", "torque")


def test_a_recurrent_actor_runs_along_time():
    torch.manual_seed(0)
    memory = GRUModule(1, 4, in_key="observation", out_key="h")
    actor = TensorDictSequential(memory, Actor(nn.Linear(4, 1), ["h"])).double()
    td = TensorDict(
        {
            "observation": torch.randn(2, 5, 1, dtype=torch.float64),
            "recurrent_state": torch.zeros(2, 5, 1, 4, dtype=torch.float64),
            "is_init": torch.zeros(2, 5, 1, dtype=torch.bool),
            "action": torch.randn(2, 5, 1, dtype=torch.float64),
        },
        batch_size=[2, 5],
    )
    wide = nn.GRU(1, 4, batch_first=True).double()
    wide.load_state_dict(memory.layers.state_dict())
    expected = ((actor[1].module(wide(td["observation"])[0]) - td["action"]) ** 2).mean()
    torch.testing.assert_close(BCLoss(actor)(td)["loss_bc"], expected)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    td = batch(observation=torch.randn(4, 1).double(), action=torch.rand(4, 1).double() * 1.8 - 0.9)
    for loss in (BCLoss(real(TanhNormal)), BCLoss(real(), loss_function="smooth_l1")):
        loss.double()
        names = [name for name, _ in loss.named_parameters()]

        def value(*values, loss=loss, names=names):
            return torch.func.functional_call(loss, dict(zip(names, values, strict=True)), (td,))["loss_bc"]

        assert torch.autograd.gradcheck(value, tuple(loss.parameters()))


def test_compiles_as_one_graph():
    loss = BCLoss(chooser(0.0, 1.0))
    inputs = [torch.zeros(3, 1), torch.tensor([0, 0, 1]), torch.tensor([[True], [False], [True]])]
    compiled = torch.compile(loss.run, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), loss.run(*inputs))


def test_a_distance_compiles_as_one_graph():
    loss = BCLoss(Actor(constant(0.5, -2.0)))
    inputs = [torch.zeros(3, 1), torch.zeros(3, 2), torch.tensor([[True], [False], [True]])]
    compiled = torch.compile(loss.run, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), loss.run(*inputs))


def test_takes_its_entries_under_other_names():
    td = batch(observation=torch.zeros(3, 1), action=torch.tensor([0, 0, 1]))
    loss = BCLoss(chooser(0.0, 1.0))
    other = loss.renamed({"observation": "pixels", "action": "move", "loss_bc": "loss_clone"})
    there = batch(pixels=td["observation"], move=td["action"])
    assert other(there)["loss_clone"] == loss(td)["loss_bc"]


def test_a_distance_between_choices_is_refused():
    loss = BCLoss(chooser(0.0, 1.0), loss_function="l2")
    with pytest.raises(SpecError) as error:
        loss(batch(observation=torch.zeros(3, 1), action=torch.tensor([0, 0, 1])))
    assert str(error.value) == (
        "BCLoss cannot run: there is no distance between choices to learn from.\n"
        "  where: the action\n"
        "  expected: real numbers\n"
        "  got: torch.int64\n"
        "  fix: loss_function='nll'"
    )


def test_an_unknown_loss_is_refused():
    with pytest.raises(UsageError) as error:
        BCLoss(chooser(0.0, 1.0), loss_function="mse")
    assert str(error.value) == (
        "BCLoss cannot be built: there is no such loss_function.\n"
        "  where: loss_function\n"
        "  expected: 'nll', 'l2', 'l1' or 'smooth_l1'\n"
        "  got: 'mse'\n"
        "  fix: loss_function='nll' for a policy with a distribution, 'l2' for any other actor"
    )


def test_an_actor_without_a_distribution_has_no_likelihood():
    with pytest.raises(ValueError, match="has no distribution to score actions with"):
        BCLoss(Actor(nn.Linear(1, 1)), loss_function="nll")


def test_a_network_without_an_action_is_refused():
    with pytest.raises(ValueError) as error:
        BCLoss(TensorDictModule(lambda x: (x, x), ["observation"], ["loc", "scale"]))
    assert str(error.value) == (
        "BCLoss cannot be built: 1 finding.\n"
        "1. its actor (TensorDictModule (<lambda>)) writes no 'action'.\n"
        "   provided: it writes 'loc', 'scale'\n"
        "   name the action: Actor(net), or out_keys=['action']."
    )
