"""What comes out of to_torchrl: its classes, its keys, whose parameters it has, and whose modes hold in it."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import (
    CompositeDistribution,
    InteractionType,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    set_composite_lp_aggregate,
)
from tensordict.nn import TensorDictModule as TheirModule
from tensordict.nn import TensorDictModuleBase as TheirModuleBase
from tensordict.nn import TensorDictSequential as TheirSequential
from torch import nn

from keywork._errors import ContractError, MissingKeyError
from keywork.interop import from_torchrl, to_torchrl
from keywork.modules import (
    Actor,
    ActorCriticOperator,
    ActorCriticWrapper,
    ActorValueOperator,
    Categorical,
    EGreedyModule,
    GRUModule,
    NormalParamExtractor,
    ProbabilisticActor,
    QValueActor,
    TanhNormal,
    ValueOperator,
    WrapModule,
)
from keywork.nets import MLP
from keywork.nn import (
    ExplorationType,
    TensorDictModule,
    TensorDictModuleBase,
    TensorDictSequential,
    set_exploration_type,
)
from keywork.specs import Bounded
from keywork.specs import Categorical as CategoricalSpec

torchrl = pytest.importorskip("torchrl", reason="needs TorchRL, which `make interop` brings")

import torchrl.modules as theirs  # noqa: E402
from torchrl.envs.utils import set_exploration_type as set_theirs  # noqa: E402
from torchrl.objectives import ClipPPOLoss  # noqa: E402


def observations(n=4):
    return TensorDict(observation=torch.randn(5, n), batch_size=[5])


def tanh_actor(in_key="observation", n=4, **options):
    params = nn.Sequential(nn.Linear(n, 4), NormalParamExtractor())
    net = TensorDictModule(params, [in_key], ["loc", "scale"])
    return ProbabilisticActor(net, ["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True, **options)


def pointers(module):
    return [p.data_ptr() for p in module.parameters()]


class TestClasses:
    def test_a_policy(self):
        actor = tanh_actor(spec=Bounded(-2.0, 2.0, (2,)))
        policy = to_torchrl(actor)
        assert isinstance(policy, theirs.SafeProbabilisticTensorDictSequential)
        assert isinstance(policy, ProbabilisticTensorDictSequential)
        assert isinstance(policy[-1], ProbabilisticTensorDictModule)
        assert isinstance(policy[0], theirs.SafeModule)
        assert policy.in_keys == actor.in_keys
        assert policy.out_keys == actor.out_keys
        assert policy.log_prob_keys == ["sample_log_prob"]
        assert policy.dist_sample_keys == ["action"]
        assert policy.dist_params_keys == ["loc", "scale"]
        assert policy.default_interaction_type is InteractionType.RANDOM
        assert policy.spec["action"].shape == torch.Size([2])
        assert policy.spec["loc"] is None

    @pytest.mark.parametrize(
        ("module", "kind", "key"),
        [
            (Actor(nn.Linear(4, 1), spec=Bounded(-1.0, 1.0, (1,))), "SafeModule", "action"),
            (ValueOperator(nn.Linear(4, 1)), "SafeModule", "state_value"),
            (TensorDictModule(nn.Linear(4, 1), ["observation"], [("a", "b")]), "SafeModule", ("a", "b")),
            (QValueActor(nn.Linear(4, 2), spec=CategoricalSpec(2)), "SafeSequential", "chosen_action_value"),
        ],
    )
    def test_others(self, module, kind, key):
        other = to_torchrl(module)
        assert type(other) is getattr(theirs, kind)
        assert isinstance(other, TheirModule)
        td = observations()
        assert torch.equal(other(td.clone())[key], module(td.clone())[key])
        assert other.in_keys == module.in_keys
        # of a key that two steps write, theirs keeps the last place
        assert set(other.out_keys) == set(module.out_keys)

    def test_the_spec_of_an_action(self):
        spec = Bounded(-1.0, 1.0, (1,))
        assert to_torchrl(Actor(nn.Linear(4, 1), spec=spec)).spec["action"].shape == torch.Size([1])
        q_actor = to_torchrl(QValueActor(nn.Linear(4, 2), spec=CategoricalSpec(2)))
        assert type(q_actor.spec["action"]) is torchrl.data.Categorical
        assert q_actor.spec["action_value"] is None

    def test_a_sequential_in_a_sequential_with_a_policy_in_its_middle(self):
        chain = TensorDictSequential(
            TensorDictModule(nn.Linear(4, 4), ["observation"], ["h"]),
            TensorDictSequential(tanh_actor("h"), ValueOperator(nn.Linear(2, 1), ["action"], ["q"])),
        )
        other = to_torchrl(chain)
        assert isinstance(other, TheirSequential)
        assert isinstance(other[1][0], ProbabilisticTensorDictSequential)
        with set_theirs(InteractionType.DETERMINISTIC), set_exploration_type("deterministic"):
            td = observations()
            assert torch.equal(other(td.clone())["q"], chain(td.clone())["q"])


class TestOperators:
    def parts(self, critic_keys=("hidden",)):
        trunk = TensorDictModule(nn.Linear(4, 8), ["observation"], ["hidden"])
        wide = 8 + 2 * ("action" in critic_keys)
        return trunk, tanh_actor("hidden", 8), ValueOperator(MLP(wide, 1), list(critic_keys))

    def test_actor_value(self):
        both = ActorValueOperator(*self.parts())
        other = to_torchrl(both)
        assert type(other) is theirs.ActorValueOperator
        policy, value = other.get_policy_operator(), other.get_value_operator()
        assert isinstance(policy, ProbabilisticTensorDictSequential)
        td = observations()
        assert torch.equal(policy.get_dist(td).mode, both.get_policy_operator().get_dist(td).mode)
        assert torch.equal(value(td.clone())["state_value"], both.get_value_operator()(td.clone())["state_value"])
        assert policy[0] is value[0]  # one trunk
        assert pointers(other) == pointers(both)

    def test_actor_critic(self):
        both = ActorCriticOperator(*self.parts(("hidden", "action")))
        other = to_torchrl(both)
        assert type(other) is theirs.ActorCriticOperator
        assert other.get_critic_operator() is other
        td = observations()
        with set_theirs(InteractionType.MODE), set_exploration_type("mode"):
            assert torch.equal(other(td.clone())["state_action_value"], both(td.clone())["state_action_value"])
        assert isinstance(other.get_policy_operator(), ProbabilisticTensorDictSequential)
        critic = to_torchrl(both.get_value_operator())  # theirs has none of its own: the value of a given action
        td["action"] = torch.randn(5, 2)
        assert torch.equal(
            critic(td.clone())["state_action_value"], both.get_value_operator()(td)["state_action_value"]
        )

    def test_wrapper(self):
        both = ActorCriticWrapper(tanh_actor(), ValueOperator(nn.Linear(4, 1)))
        other = to_torchrl(both)
        assert type(other) is theirs.ActorCriticWrapper
        assert isinstance(other.get_policy_operator(), ProbabilisticTensorDictSequential)
        assert other.get_value_operator().out_keys == ["state_value"]

    def test_trunk_and_deterministic_head(self):
        trunk, _, critic = self.parts()
        both = ActorValueOperator(trunk, Actor(nn.Linear(8, 1), ["hidden"]), critic)
        td = observations()
        policy = to_torchrl(both).get_policy_operator()
        assert torch.equal(policy(td.clone())["action"], both.get_policy_operator()(td.clone())["action"])
        again = to_torchrl(both.get_policy_operator())
        assert torch.equal(again(td.clone())["action"], policy(td.clone())["action"])

    def test_trunk_and_policy_as_one_policy(self):
        both = ActorValueOperator(*self.parts())
        policy = to_torchrl(both.get_policy_operator())
        assert isinstance(policy[-1], ProbabilisticTensorDictModule)  # flat: theirs cannot end in another one
        td = observations()
        assert torch.equal(policy.get_dist(td).mode, both.get_policy_operator().get_dist(td).mode)
        assert policy(td)["sample_log_prob"].shape == torch.Size([5])


class TestParameters:
    def test_they_are_shared_both_ways(self):
        actor = tanh_actor()
        names = list(actor.state_dict())
        policy = to_torchrl(actor)
        assert list(actor.state_dict()) == names
        assert all(ours is theirs for ours, theirs in zip(actor.parameters(), policy.parameters(), strict=True))
        td = observations()
        before = policy.get_dist(td).mode
        actor.load_state_dict({name: p + 1.0 for name, p in actor.state_dict().items()})
        assert not torch.equal(policy.get_dist(td).mode, before)
        assert torch.equal(policy.get_dist(td).mode, actor.get_dist(td).mode)

    def test_a_functional_call_uses_what_is_swapped_in_and_leaves_ours(self):
        actor = tanh_actor()
        policy, td = to_torchrl(actor), observations()
        before = [p.clone() for p in actor.parameters()]
        zeros = TensorDict.from_module(policy).apply(torch.zeros_like)
        with zeros.to_module(policy):
            assert not policy.get_dist(td).deterministic_sample.any()  # tanh(0) = 0
        assert all(torch.equal(p, q) for p, q in zip(actor.parameters(), before, strict=True))

    @pytest.mark.parametrize(
        ("module", "key"),
        [
            (ValueOperator(MLP(4, 1)), "state_value"),
            (GRUModule(4, 3, in_key="observation", out_key="features"), "features"),
        ],
    )
    def test_stacked_parameters_under_vmap(self, module, key):
        other = to_torchrl(module)
        params = TensorDict.from_module(other)
        stacked = torch.stack([params, params.apply(lambda p: 2 * p)])
        td = observations()
        td["recurrent_state"], td["is_init"] = torch.randn(5, 1, 3), torch.zeros(5, 1, dtype=torch.bool)

        def call(p):
            with p.to_module(other):
                return other(td.clone())[key]

        both = torch.vmap(call)(stacked.clone())
        for row, p in zip(both, (params, params.apply(lambda p: 2 * p)), strict=True):
            assert torch.allclose(row, call(p), atol=1e-6)
        assert not torch.allclose(both[0], both[1])

    def test_gradients_reach_ours(self):
        critic = ValueOperator(nn.Linear(4, 1))
        to_torchrl(critic)(observations())["state_value"].sum().backward()
        assert critic.module.bias.grad.item() == 5.0  # one from each of the batch


class TestModes:
    @pytest.mark.parametrize("kind", ExplorationType)
    def test_theirs_hold(self, kind):
        actor, td = tanh_actor(), observations()
        policy = to_torchrl(actor)
        torch.manual_seed(1)
        with set_theirs(InteractionType[kind.name]):
            out = policy(td.clone())
        torch.manual_seed(1)
        with set_exploration_type(kind):
            ours = actor(td.clone())
        assert torch.equal(out["action"], ours["action"])
        assert torch.equal(out["sample_log_prob"], ours["sample_log_prob"])

    def test_without_any_it_samples(self):
        policy, td = to_torchrl(tanh_actor()), observations()
        assert not torch.equal(policy(td.clone())["action"], policy(td.clone())["action"])

    def test_theirs_hold_over_ours(self):
        noise = to_torchrl(EGreedyModule(CategoricalSpec(50), eps_init=1.0, eps_end=1.0))
        td = TensorDict(action=torch.zeros(20, dtype=torch.int64), batch_size=[20])
        with set_exploration_type("random"), set_theirs(InteractionType.DETERMINISTIC):
            assert not noise(td.clone())["action"].any()
        with set_exploration_type("mode"), set_theirs(InteractionType.RANDOM):
            assert noise(td.clone())["action"].any()

    def test_median_is_none_of_ours(self):
        with (
            set_theirs(InteractionType.MEDIAN),
            pytest.raises(ValueError, match=r"no exploration type.*choose one of RANDOM"),
        ):
            to_torchrl(tanh_actor())(observations())


class TestCalls:
    def test_by_keyword_and_position(self):
        critic = ValueOperator(nn.Linear(4, 1))
        x = torch.randn(3, 4)
        assert torch.equal(to_torchrl(critic)(observation=x), critic(x))
        assert torch.equal(to_torchrl(critic)(x), critic(x))

    def test_a_missing_key(self):
        with pytest.raises(
            MissingKeyError, match=r"ValueOperator \(Linear 4 -> 1\) cannot run: it reads 'observation'"
        ):
            to_torchrl(ValueOperator(nn.Linear(4, 1)))(TensorDict(obs=torch.zeros(2, 4), batch_size=[2]))

    def test_an_optional_key(self):
        either = TensorDictModule(lambda y, m: y if m is None else y + m, ["y", "m"], ["z"], optional_keys="m")
        other = to_torchrl(either)
        assert other(TensorDict(y=torch.ones(2)))["z"].tolist() == [1.0, 1.0]
        assert other(TensorDict(y=torch.ones(2), m=torch.ones(2)))["z"].tolist() == [2.0, 2.0]

    @pytest.mark.parametrize("inplace", [True, False, "empty"])
    def test_where_the_results_go(self, inplace):
        module = TensorDictModule(lambda x: x + 1, ["x"], ["y"], inplace=inplace)
        for one in (module, TensorDictSequential(module, inplace=inplace)):
            td = TensorDict(x=torch.zeros(2), batch_size=[2])
            out = to_torchrl(one)(td)
            assert (out is td) is (inplace is True)
            assert out["y"].tolist() == [1.0, 1.0]

    def test_selected_keys(self):
        chain = TensorDictSequential(
            TensorDictModule(lambda x: x + 1, ["x"], ["h"]), TensorDictModule(lambda h: h + 1, ["h"], ["y"])
        ).select_out_keys("y")
        out = to_torchrl(chain)(TensorDict(x=torch.zeros(2)))
        assert set(out.keys()) == {"x", "y"}

    def test_modules_that_are_called_on_tensordicts_only(self):
        flip = WrapModule(lambda td: td.set("y", td["x"].flip(0)), in_keys=["x"], out_keys=["y"])
        chain = to_torchrl(TensorDictSequential(flip, TensorDictModule(lambda y: y + 1, ["y"], ["z"])))
        assert chain(TensorDict(x=torch.arange(3)))["z"].tolist() == [3, 2, 1]
        assert isinstance(to_torchrl(flip), TheirModuleBase)

    def test_a_sequential_that_does_more_than_run_its_steps(self):
        class Doubled(TensorDictSequential):
            def forward(self, tensordict=None, **options):
                td = super().forward(tensordict, **options)
                return td.set("y", 2 * td["y"])

        doubled = Doubled(TensorDictModule(lambda x: x + 1, ["x"], ["y"]))
        assert to_torchrl(doubled)(TensorDict(x=torch.zeros(2)))["y"].tolist() == [2.0, 2.0]

    def test_from_theirs_and_back_is_the_same(self):
        module = TheirModule(nn.Linear(4, 1), in_keys=["observation"], out_keys=["action"])
        assert to_torchrl(from_torchrl(module)) is module
        chain = to_torchrl(TensorDictSequential(from_torchrl(module)))
        assert chain[0] is module


class TestSeveralActions:
    def actor(self):
        keys = [("steer", "loc"), ("steer", "scale"), ("gear", "logits")]
        linear = nn.Linear(4, 4)

        def params(x):
            h = linear(x)
            return h[..., :1], h[..., 1:2].exp(), h[..., 2:]

        module = TensorDictModule(linear, ["observation"], ["h"])
        split = TensorDictModule(lambda h: (h[..., :1], h[..., 1:2].exp(), h[..., 2:]), ["h"], keys)
        return ProbabilisticActor(
            [module, split],
            {("car", "steer"): keys[:2], ("car", "gear"): keys[2:]},
            distribution_class={("car", "steer"): TanhNormal, ("car", "gear"): Categorical},
            return_log_prob=True,
        )

    def test_torchrls_loss_scores_each_as_ours_does(self):
        actor = self.actor()
        policy = to_torchrl(actor)
        samples, scores = [("car", "steer"), ("car", "gear")], [("car", "steer_log_prob"), ("car", "gear_log_prob")]
        assert policy.dist_sample_keys == samples
        assert policy.log_prob_keys == scores
        td = policy(observations())
        assert isinstance(policy.get_dist(td), CompositeDistribution)
        for key, score in policy.log_prob(td).items(True, True):
            assert torch.allclose(score, td[key], atol=1e-5)
        td["advantage"], td["value_target"] = torch.randn(5, 1), torch.randn(5, 1)
        loss = ClipPPOLoss(policy, to_torchrl(ValueOperator(nn.Linear(4, 1))))
        loss.set_keys(action=samples, sample_log_prob=scores)
        with set_composite_lp_aggregate(False):
            out = loss(td.detach())
        assert out["kl_approx"].item() == pytest.approx(0.0, abs=1e-5)
        out["loss_objective"].backward()
        assert actor[0].module.weight.grad.abs().sum() > 0


class TestRefusals:
    def test_no_key_module(self):
        with pytest.raises(
            ContractError, match=r"to_torchrl cannot be built: 1 finding\.\n1\. module is Linear 4 -> 2"
        ):
            to_torchrl(nn.Linear(4, 2))

    def test_hooks_that_would_not_run(self):
        chain = TensorDictSequential(TensorDictModule(lambda x: x, ["x"], ["y"]))
        for module in (chain, chain[0]):
            handle = module.register_forward_hook(lambda *args: None)
            with pytest.raises(ContractError, match="has hooks, which would not run"):
                to_torchrl(chain)
            handle.remove()
        assert to_torchrl(chain)

    def test_a_users_own_module(self):
        class Double(TensorDictModuleBase):
            def compute(self, x):
                return (2 * x,)

        assert to_torchrl(Double(["x"], ["y"]))(TensorDict(x=torch.ones(2)))["y"].tolist() == [2.0, 2.0]
