import torch
from tensordict import TensorDict
from torch import nn

from keywork.distributions import IndependentNormal, NormalParamExtractor
from keywork.modules import ActorCriticOperator, ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, set_exploration_type


class Counted(nn.Linear):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(x)


def build(critic: ValueOperator | None = None) -> tuple[Counted, ActorCriticOperator]:
    trunk = Counted(3, 8)
    params = TensorDictModule(nn.Sequential(nn.Linear(8, 4), NormalParamExtractor()), ["hidden"], ["loc", "scale"])
    actor = ProbabilisticActor(params, ["loc", "scale"], distribution_class=IndependentNormal)
    critic = critic or ValueOperator(MLP(8 + 2, 1), ["hidden", "action"])
    return trunk, ActorCriticOperator(TensorDictModule(trunk, ["observation"], ["hidden"]), actor, critic)


def observations(**others: torch.Tensor) -> TensorDict:
    return TensorDict(observation=torch.randn(4, 3), **others, batch_size=[4])


def test_the_critic_judges_the_action_that_the_actor_wrote_and_the_trunk_runs_once():
    trunk, both = build()
    assert (both.in_keys, both.out_keys) == (
        ["observation"],
        ["hidden", "loc", "scale", "action", "state_action_value"],
    )
    td = both(observations(action=torch.full((4, 2), 100.0)))
    assert trunk.calls == 1
    assert td["action"].abs().max() < 50.0
    assert torch.equal(td["state_action_value"], both.get_value_head()(td["hidden"], td["action"]))


def test_the_value_operator_judges_an_action_that_is_given():
    _, both = build()
    given = observations(action=torch.full((4, 2), 3.0))
    value = both.get_value_operator()
    assert value.in_keys == ["observation", "action"]
    td = value(given)
    assert torch.equal(td["action"], torch.full((4, 2), 3.0))
    expected = both.get_value_head()(both[0](td["observation"]), td["action"])
    assert torch.equal(td["state_action_value"], expected)


def test_the_critic_operator_is_all_of_it_and_the_actor_learns_through_it():
    _, both = build()
    assert both.get_critic_operator() is both
    both.get_critic_operator()(observations())["state_action_value"].sum().backward()
    assert both.get_policy_head()[0].module[0].weight.grad.any()


def test_the_policy_operator_has_a_distribution():
    _, both = build()
    policy = both.get_policy_operator()
    assert isinstance(policy, ProbabilisticTensorDictSequential)
    assert policy.in_keys == ["observation"]
    with set_exploration_type("mode"):
        td = policy(observations())
    assert torch.equal(td["action"], policy.get_dist(td).mean)


def test_a_critic_of_states_will_do_too():
    _, both = build(ValueOperator(nn.Linear(8, 1), ["hidden"]))
    assert both(observations())["state_value"].shape == (4, 1)
    assert both.get_value_operator().in_keys == ["observation"]


def test_operators_share_their_parameters():
    trunk, both = build()
    for part in (both.get_policy_operator(), both.get_value_operator(), both.get_critic_operator()):
        assert next(part.parameters()) is trunk.weight
    assert (both.get_policy_head(), both.get_value_head()) == (both[1], both[2])
