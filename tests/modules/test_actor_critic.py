import torch
from tensordict import TensorDict
from torch import nn

from keywork.distributions import Categorical
from keywork.modules import ActorCriticWrapper, ActorValueOperator, ProbabilisticActor, ValueOperator
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictSequential


class Counted(nn.Linear):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(x)


def head(reads: str) -> ProbabilisticActor:
    net = TensorDictModule(nn.Linear(8 if reads == "hidden" else 3, 2), [reads], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)


def shared() -> tuple[Counted, ActorValueOperator]:
    trunk = Counted(3, 8)
    common = TensorDictModule(trunk, ["observation"], ["hidden"])
    return trunk, ActorValueOperator(common, head("hidden"), ValueOperator(nn.Linear(8, 1), ["hidden"]))


def observations() -> TensorDict:
    return TensorDict(observation=torch.randn(4, 3), batch_size=[4])


def test_a_wrapper_hands_out_the_parts_it_was_given():
    actor, critic = head("observation"), ValueOperator(nn.Linear(3, 1))
    both = ActorCriticWrapper(actor, critic)
    assert both.get_policy_operator() is actor is both.get_policy_head()
    assert both.get_value_operator() is critic is both.get_value_head()
    td = both(observations())
    assert {"action", "sample_log_prob", "state_value"} <= set(td.keys())


def test_a_call_runs_the_trunk_once():
    trunk, both = shared()
    td = both(observations())
    assert trunk.calls == 1
    assert both.out_keys == ["hidden", "logits", "action", "sample_log_prob", "state_value"]
    assert td["state_value"].shape == (4, 1)


def test_the_policy_operator_is_trunk_and_head_with_a_distribution():
    _, both = shared()
    policy = both.get_policy_operator()
    assert isinstance(policy, ProbabilisticTensorDictSequential)
    assert (policy.in_keys, policy.log_prob_keys) == (["observation"], ["sample_log_prob"])
    td = observations()
    logits = both(td.copy())["logits"]
    torch.testing.assert_close(policy.get_dist(td).logits, logits.log_softmax(-1))
    assert both.get_policy_head() is both[1]


def test_the_value_operator_is_trunk_and_head():
    _, both = shared()
    value = both.get_value_operator()
    td = observations()
    assert type(value) is TensorDictSequential
    assert torch.equal(value(td.copy())["state_value"], both(td.copy())["state_value"])
    assert both.get_value_head() is both[2]


def test_operators_share_their_parameters():
    trunk, both = shared()
    assert next(both.get_policy_operator().parameters()) is trunk.weight
    assert next(both.get_value_operator().parameters()) is trunk.weight
    both.get_value_operator()(observations())["state_value"].sum().backward()
    assert trunk.weight.grad is not None
