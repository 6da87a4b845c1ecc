"""Monte-Carlo, TD(0), TD(lambda) and V-trace estimates as key modules, and gaps in a batch."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import SpecError, UsageError
from keywork._keys import VALID
from keywork.distributions import Categorical
from keywork.functional import clipped_weights, lambda_return, vtrace
from keywork.modules import Actor, ActorValueOperator, GRUModule, ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule, set_recurrent_mode
from keywork.objectives import GAE, MonteCarlo, TD0Estimator, TDLambdaEstimator, VTrace


class Identity(nn.Module):
    """A critic that knows: the value of a state is the observation itself."""

    def forward(self, observation):
        return observation


def column(*numbers, dtype=torch.float64):
    return torch.tensor([numbers], dtype=dtype).unsqueeze(-1)


def batch():
    """Four steps: 0 running, 1 truncated, 2 terminated, 3 running when the batch ends."""
    following = {
        "observation": column(2.0, 6.0, 9.0, 8.0),
        "reward": column(1.0, 1.0, 1.0, 1.0),
        "done": column(False, True, True, False, dtype=torch.bool),
        "terminated": column(False, False, True, False, dtype=torch.bool),
    }
    root = {"observation": column(1.0, 2.0, 3.0, 4.0), "next": TensorDict(following, batch_size=[1, 4])}
    return TensorDict(root, batch_size=[1, 4])


def critic():
    return ValueOperator(Identity())


def estimates(estimator, td=None):
    td = batch() if td is None else td
    estimator(td)
    return tuple(td[key].flatten().tolist() for key in ("advantage", "value_target"))


def test_whole_returns_by_hand():
    # gamma = 1/2, and nothing after a cut: 1 + 1/2, 1, 1, 1
    assert estimates(MonteCarlo(0.5)) == ([1.5, 1.0, 1.0, 1.0], [1.5, 1.0, 1.0, 1.0])
    assert MonteCarlo(0.5).out_keys == ["advantage", "value_target"]


def test_whole_returns_less_the_value_by_hand():
    # where a critic says what follows a cut: G3 = 1 + 8/2 = 5, G2 = 1, G1 = 1 + 6/2 = 4, G0 = 1 + 4/2 = 3
    assert estimates(MonteCarlo(0.5, critic())) == ([2.0, 2.0, -2.0, 1.0], [3.0, 4.0, 1.0, 5.0])


def test_one_step_targets_by_hand():
    # 1 + 2/2, 1 + 6/2, 1, 1 + 8/2
    assert estimates(TD0Estimator(0.5, critic())) == ([1.0, 2.0, -2.0, 1.0], [2.0, 4.0, 1.0, 5.0])


def test_lambda_returns_by_hand():
    # G0 = 1 + 1/2 (1/2 * 2 + 1/2 * G1) = 1 + 1/2 + 1 = 2.5, and the rest is cut off after one step
    assert estimates(TDLambdaEstimator(0.5, 0.5, critic())) == ([1.5, 2.0, -2.0, 1.0], [2.5, 4.0, 1.0, 5.0])


def test_they_meet_at_the_ends_of_lambda():
    assert estimates(TDLambdaEstimator(0.9, 0.0, critic())) == estimates(TD0Estimator(0.9, critic()))
    assert estimates(TDLambdaEstimator(0.9, 1.0, critic())) == estimates(MonteCarlo(0.9, critic()))
    # the values of both ends of this batch agree, so the two ways to one estimate do
    for ours, theirs in zip(
        estimates(TDLambdaEstimator(0.9, 0.7, critic())), estimates(GAE(0.9, 0.7, critic())), strict=True
    ):
        assert ours == pytest.approx(theirs)


def chooser(n_in=1, reads="observation"):
    head = TensorDictModule(nn.Linear(n_in, 3), [reads], ["logits"])
    actor = ProbabilisticActor(head, ["logits"], distribution_class=Categorical, return_log_prob=True)
    return actor.double()


def acted(actor, td):
    with torch.no_grad(), set_recurrent_mode(True):
        return actor(td)


def test_vtrace_of_an_actor_that_has_not_moved_is_gae():
    actor = chooser()
    td = acted(actor, batch())
    estimated = estimates(VTrace(0.9, actor, critic(), lmbda=0.7), td.clone())
    targets = estimates(GAE(0.9, 0.7, critic()), td.clone())[1]
    assert estimated[1] == pytest.approx(targets)
    # the advantage looks on to the target of the next step: r + gamma vs(t+1) - v
    assert estimated[0][0] == pytest.approx(1.0 + 0.9 * targets[1] - 1.0)


def test_vtrace_weighs_by_the_actor_as_it_is_now():
    actor = chooser()
    td = acted(actor, batch())
    with torch.no_grad():
        actor[0].module.bias += torch.tensor([1.0, 0.0, -1.0])
    log_prob = torch.log_softmax(actor[0].module(td["observation"]), -1).gather(-1, td["action"].unsqueeze(-1))
    weights = clipped_weights(log_prob, td["sample_log_prob"].unsqueeze(-1), rho_clip=1.3, c_clip=0.9, lmbda=0.8)
    assert len(set(weights.rho_t.flatten().tolist())) > 1
    ends = td["next", "terminated"], td["next", "done"]
    v_t, v_tp1 = td["observation"], td["next", "observation"]
    target, advantage = vtrace(td["next", "reward"], v_t, v_tp1, *ends, weights, gamma=0.9)
    VTrace(0.9, actor, critic(), lmbda=0.8, rho_clip=1.3, c_clip=0.9)(td)
    torch.testing.assert_close(td["value_target"], target.detach())
    torch.testing.assert_close(td["advantage"], advantage.detach())
    assert not td["advantage"].requires_grad


def test_the_actor_of_vtrace_runs_along_time_and_may_share_the_critics_memory():
    memory = GRUModule(1, 4, in_key="observation", out_key="h")
    both = ActorValueOperator(memory, chooser(4, "h"), ValueOperator(nn.Linear(4, 1), ["h"])).double()
    actor = both.get_policy_operator()
    td = batch().set("recurrent_state", torch.randn(1, 4, 1, 4).double())
    td["is_init"] = column(True, False, True, True, dtype=torch.bool)
    td = acted(actor, td)
    there = td.clone()
    VTrace(0.9, actor, both.get_value_operator(), lmbda=0.8)(td)
    GAE(0.9, 0.8, both.get_value_operator())(there)
    torch.testing.assert_close(td["value_target"], td["state_value"] + there["advantage"])  # all weights are one


def test_several_actions_weigh_together():
    net = TensorDictModule(lambda x: (x.expand(*x.shape[:-1], 2), -x.expand(*x.shape[:-1], 2)), ["h"], ["a", "b"])
    actor = ProbabilisticActor(
        [TensorDictModule(nn.Linear(1, 1), ["observation"], ["h"]), net],
        {"x": {"logits": "a"}, "y": {"logits": "b"}},
        distribution_class={"x": Categorical, "y": Categorical},
        return_log_prob=True,
    ).double()
    td = acted(actor, batch())
    td["x_log_prob"] += 0.5
    td["y_log_prob"] -= 0.5  # the two together are as they were
    targets = estimates(GAE(0.9, 1.0, critic()), td.clone())[1]
    assert estimates(VTrace(0.9, actor, critic()), td)[1] == pytest.approx(targets)


ALL = {
    "mc": lambda: MonteCarlo(0.9),
    "mc less v": lambda: MonteCarlo(0.9, critic()),
    "td0": lambda: TD0Estimator(0.9, critic()),
    "td": lambda: TDLambdaEstimator(0.9, 0.8, critic()),
    "gae": lambda: GAE(0.9, 0.8, critic(), average_gae=True),
    "vtrace": lambda: VTrace(0.9, chooser(), critic()),
}
EVERY = pytest.mark.parametrize("make", ALL.values(), ids=ALL)


@EVERY
def test_compiles_as_one_graph(make):
    estimator, td = make(), acted(chooser(), batch())
    inputs = estimator.read(td)
    compiled = torch.compile(estimator.run, fullgraph=True, backend="eager")(*inputs)
    torch.testing.assert_close(compiled, estimator.run(*inputs))


@EVERY
def test_single_steps_are_refused(make):
    with pytest.raises(SpecError, match="cannot run: single steps in one dimension are no rows of consecutive steps"):
        make()(acted(chooser(), batch()).reshape(-1))


@EVERY
def test_takes_its_entries_under_other_names(make):
    estimator, td = make(), acted(chooser(), batch())
    there = td.clone().rename_key_(("next", "reward"), ("next", "gold"))
    there = estimator.renamed({"reward": "gold", "advantage": "gain"})(there)
    torch.testing.assert_close(there["gain"], estimator(td)["advantage"])


@EVERY
def test_a_gap_changes_nothing_around_it(make):
    """A row that is no step: closed off as a truncated episode of its own, reward 0, nothing learnt from it."""
    estimator = make()
    actor = getattr(estimator, "actor", chooser())
    td = acted(actor, batch())
    gap = td[:, 1:2].clone()
    gap["observation"] = gap["next", "observation"]
    gap["next", "reward"] = torch.zeros_like(gap["next", "reward"])
    td[VALID] = torch.ones(1, 4, 1, dtype=torch.bool)
    gap[VALID] = torch.zeros(1, 1, 1, dtype=torch.bool)
    with_gap = torch.cat([td[:, :2], gap, td[:, 2:]], 1)
    estimator(td)
    estimator(with_gap)
    for key in estimator.out_keys:
        kept = with_gap[key][:, [0, 1, 3, 4]]
        torch.testing.assert_close(kept, td[key])


def test_averaging_leaves_gaps_out():
    td = batch()
    td[VALID] = column(True, True, False, True, dtype=torch.bool)
    plain = estimates(GAE(0.5, 0.5, critic()), td.clone())[0]
    assert plain == [1.5, 2.0, -2.0, 1.0]
    averaged = estimates(GAE(0.5, 0.5, critic(), average_gae=True), td)[0]
    # of 1.5, 2, 1: mean 1.5, variance (0 + 1/4 + 1/4) / 3 = 1/6; 1/2 over its root is 1.224745
    assert averaged == pytest.approx([0.0, 1.224745, 0.0, -1.224745], abs=1e-6)


@pytest.mark.parametrize("kind", [MonteCarlo, TD0Estimator])
def test_a_discount_that_is_no_fraction_is_refused_when_built(kind):
    with pytest.raises(UsageError, match=f"{kind.__name__} cannot be built: gamma is out of range"):
        kind(1.5, critic())


def test_numbers_of_the_traces_are_looked_at_when_built():
    with pytest.raises(UsageError, match="TDLambdaEstimator cannot be built: lmbda is out of range"):
        TDLambdaEstimator(0.9, -0.1, critic())
    for name in ("rho_clip", "c_clip"):
        with pytest.raises(UsageError, match=f"VTrace cannot be built: {name} is out of range"):
            VTrace(0.9, chooser(), critic(), **{name: 0.0})
        assert getattr(VTrace(0.9, chooser(), critic(), **{name: float("inf")}), name) == float("inf")  # no limit


@pytest.mark.parametrize("kind", [MonteCarlo, TD0Estimator])
def test_a_critic_without_a_value_is_refused(kind):
    with pytest.raises(ValueError, match="does not write 'state_value'"):
        kind(0.9, Actor(nn.Linear(1, 1)))


def test_what_vtrace_lacks_is_named_at_once():
    actor = chooser()
    actor.select_out_keys("action")
    with pytest.raises(ValueError) as error:
        VTrace(0.9, actor, Actor(nn.Linear(1, 1)))
    assert str(error.value) == (
        "VTrace cannot be built: 2 findings.\n"
        "1. it reads 'sample_log_prob', which its actor (ProbabilisticActor) does not write.\n"
        "   provided: it writes 'action'\n"
        "   pass return_log_prob=True to it.\n"
        "2. its critic (Actor (Linear 1 -> 1)) does not write 'state_value'.\n"
        "   provided: it writes 'action'\n"
        "   name the critic's output: ValueOperator(net, in_keys=[...]), or out_keys=['state_value']."
    )


def test_a_recurrent_critic_gives_the_returns_of_its_values():
    torch.manual_seed(0)
    memory = GRUModule(1, 4, in_key="observation", out_key="h")
    head = TensorDictModule(nn.Linear(4, 1), ["h"], ["action"])
    value = ActorValueOperator(memory, head, ValueOperator(nn.Linear(4, 1), ["h"])).double().get_value_operator()
    td = batch().set("recurrent_state", torch.randn(1, 4, 1, 4).double())
    td["is_init"] = column(True, False, True, True, dtype=torch.bool)
    TD0Estimator(1.0, value)(td)
    v_tp1 = (td["value_target"] - td["next", "reward"])[:, [0, 1, 3]]  # the third step terminates
    ends = [x[:, [0, 1, 3]] for x in (td["next", "terminated"], td["next", "done"])]
    there = td.exclude("advantage", "value_target")
    TDLambdaEstimator(1.0, 0.5, value)(there)
    expected = lambda_return(td["next", "reward"][:, [0, 1, 3]], v_tp1, *ends, gamma=1.0, lmbda=0.5)
    torch.testing.assert_close(there["value_target"][:, [0, 1, 3]], expected)
