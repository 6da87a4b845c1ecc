"""Actors of several named actions, of actions kept inside their spec, and of several samples."""

from __future__ import annotations

import copy

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError
from keywork.distributions import Categorical, CompositeDistribution, IndependentNormal, TanhNormal
from keywork.modules import ProbabilisticActor
from keywork.nn import TensorDictModule, set_exploration_type
from keywork.specs import Bounded, Composite
from keywork.specs import Categorical as CategoricalSpec

STEER, GEAR = ("car", "steer"), ("car", "gear")
KEYS = [("params", "steer", "loc"), ("params", "steer", "scale"), ("params", "gear", "logits")]
MAPS = {"distribution_map": {"steer": TanhNormal, "gear": Categorical}, "name_map": {"steer": STEER, "gear": GEAR}}
SPEC = Composite({STEER: Bounded(-2.0, 2.0, (2,)), GEAR: CategoricalSpec(3)})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 7)

    def forward(self, observation):
        y = self.linear(observation)
        return y[..., :2], y[..., 2:4].exp(), y[..., 4:]


def net():
    return TensorDictModule(Net(), ["observation"], KEYS)


def actor(in_keys=("params",), **options):
    options = {"distribution_class": CompositeDistribution, "distribution_kwargs": MAPS} | options
    return ProbabilisticActor(net(), list(in_keys) if isinstance(in_keys, tuple) else in_keys, **options)


def observed(batch=5):
    return TensorDict(observation=torch.randn(batch, 3), batch_size=[batch])


class TestSeveralActions:
    @pytest.mark.parametrize(
        "in_keys",
        [
            ["params"],
            {"params": "params"},
            KEYS,
            {"steer": {"loc": KEYS[0], "scale": KEYS[1]}, "gear": {"logits": KEYS[2]}},
            {"steer": KEYS[:2], "gear": KEYS[2:]},
        ],
    )
    def test_every_way_to_name_the_parameters(self, in_keys):
        policy, td = actor(in_keys, return_log_prob=True), observed()
        assert policy.in_keys == ["observation"]
        assert policy.out_keys == [*KEYS, STEER, GEAR, ("car", "steer_log_prob"), ("car", "gear_log_prob")]
        assert policy.dist_params_keys == KEYS
        assert not policy.opaque  # no TensorDict is built between network and distribution
        policy(td)
        total = td["car", "steer_log_prob"] + td["car", "gear_log_prob"]
        torch.testing.assert_close(policy.log_prob(td), total, atol=1e-3, rtol=1e-3)
        assert torch.equal(policy.get_dist(td)["car", "gear"].mode, td["params", "gear", "logits"].argmax(-1))

    def test_a_dict_of_distributions_for_short(self):
        keys = [("car", "steer", "loc"), ("car", "steer", "scale"), ("car", "gear", "logits")]
        policy = ProbabilisticActor(
            TensorDictModule(Net(), ["observation"], [("p", *key) for key in keys]),
            ["p"],
            distribution_class={STEER: TanhNormal, GEAR: Categorical},
            distribution_kwargs={STEER: {"low": -5.0, "high": 5.0}},
        )
        assert policy.dist_sample_keys == [STEER, GEAR]
        assert policy.get_dist(observed())[STEER].low == -5.0
        assert policy.distribution_class is CompositeDistribution

    def test_a_group_that_the_network_writes_as_a_whole(self):
        def grouped(observation):
            loc, scale, logits = Net()(observation)
            return TensorDict({"steer": {"loc": loc, "scale": scale}, "gear": {"logits": logits}})

        policy = ProbabilisticActor(
            TensorDictModule(grouped, ["observation"], ["params"]),
            ["params"],
            distribution_class=CompositeDistribution,
            distribution_kwargs=MAPS,
            return_log_prob=True,
        )
        assert policy(observed())[STEER].shape == (5, 2)

    def test_out_keys_in_place_of_a_name_map(self):
        policy = actor(out_keys=["a", "b"], distribution_kwargs={"distribution_map": MAPS["distribution_map"]})
        assert policy.dist_sample_keys == ["a", "b"]

    def test_each_part_takes_the_bounds_of_its_spec_unless_given(self):
        assert actor(spec=SPEC).get_dist(observed())[STEER].high == 2.0
        given = MAPS | {"extra_kwargs": {"steer": {"high": 7.0}}}
        dist = actor(spec=SPEC, distribution_kwargs=given).get_dist(observed())
        assert (dist[STEER].low, dist[STEER].high) == (-2.0, 7.0)

    def test_wrong_names_of_every_part_at_once(self):
        with pytest.raises(ContractError) as error:
            actor([("params", "steer", "lok"), KEYS[1], ("params", "gear", "logitz")])
        assert str(error.value) == (
            "ProbabilisticActor cannot be built: 3 findings.\n"
            "1. TanhNormal of 'steer' has no parameter 'lok'.\n"
            "   provided: TanhNormal(loc, scale, low, high, upscale, tanh_loc, event_dims, validate_args)\n"
            "   did you mean 'loc'? name its key otherwise with "
            "in_keys={'steer': {'loc': ('params', 'steer', 'lok')}}.\n"
            "2. TanhNormal of 'steer' needs 'loc', which in_keys does not bring.\n"
            "   provided: in_keys brings 'lok', 'scale'\n"
            "   add a key for 'loc' to in_keys, or pass {'loc': ...} among the further arguments of 'steer'.\n"
            "3. Categorical of 'gear' has no parameter 'logitz'.\n"
            "   provided: Categorical(logits, probs, validate_args)\n"
            "   did you mean 'logits'? name its key otherwise with "
            "in_keys={'gear': {'logits': ('params', 'gear', 'logitz')}}."
        )

    def test_an_action_that_the_group_has_nothing_for(self):
        maps = {"distribution_map": {"steer": TanhNormal, "gaer": Categorical}}
        with pytest.raises(ContractError, match="in_keys brings nothing for the action 'gaer'"):
            actor(distribution_kwargs=maps)

    def test_the_spec_of_one_action_for_two(self):
        with pytest.raises(ContractError, match="spec is that of one action, and there are 2"):
            actor(spec=SPEC[STEER])

    def test_a_spec_without_an_action(self):
        with pytest.raises(ContractError, match=r"no entry for the action \('car', 'gear'\)[^$]*did you mean") as error:
            actor(spec={STEER: SPEC[STEER], ("car", "gaer"): SPEC[GEAR]})
        assert error.value.what == "ProbabilisticActor"

    def test_a_spec_of_several_entries_for_one_action(self):
        keys = {"loc": "loc", "scale": "scale"}
        module = TensorDictModule(lambda x: (x, x.exp()), ["observation"], ["loc", "scale"])
        policy = ProbabilisticActor(module, keys, STEER, distribution_class=TanhNormal, spec=SPEC)
        assert policy.distribution_kwargs == {"low": -2.0, "high": 2.0}

    def test_vmap_and_compile(self):
        policy, td = actor(return_log_prob=True, log_prob_key="lp"), observed()
        assert torch.vmap(policy, randomness="different")(td["observation"])[-1].shape == (5,)
        with set_exploration_type("mode"):
            compiled = torch.compile(policy, fullgraph=True, backend="eager")
            torch.testing.assert_close(compiled(td.copy())["lp"], policy(td.copy())["lp"])

    def test_a_copy_draws_the_same(self):
        policy = actor(generator=torch.Generator().manual_seed(3))
        other, td = copy.deepcopy(policy), observed()
        assert torch.equal(policy(td.copy())[STEER], other(td.copy())[STEER])


class TestSafe:
    def policy(self, **options):
        module = TensorDictModule(lambda x: (x, torch.ones_like(x)), ["observation"], ["loc", "scale"])
        options = {"spec": Bounded(-1.0, 1.0, (3,)), "safe": True, "return_log_prob": True} | options
        return ProbabilisticActor(module, ["loc", "scale"], distribution_class=IndependentNormal, **options)

    @pytest.mark.parametrize("kind", ["random", "mode", "mean", "deterministic"])
    def test_actions_lie_inside_and_are_scored_as_they_are(self, kind):
        policy = self.policy()
        td = TensorDict(observation=torch.tensor([[0.0, 9.0, -9.0]]).repeat(50, 1), batch_size=[50])
        with set_exploration_type(kind):
            policy(td)
        assert policy.spec.is_in(td["action"])
        assert (td["action"][:, 1] == 1).all()
        torch.testing.assert_close(td["sample_log_prob"], policy.get_dist(td).log_prob(td["action"]))

    def test_not_by_default(self):
        td = TensorDict(observation=torch.full((4, 3), 9.0), batch_size=[4])
        assert (self.policy(safe=False)(td)["action"] > 1).any()

    def test_several_actions(self):
        maps = MAPS | {"distribution_map": {"steer": IndependentNormal, "gear": Categorical}}
        policy = actor(spec=SPEC, safe=True, distribution_kwargs=maps, return_log_prob=True, log_prob_key="lp")
        with torch.no_grad():
            policy[0].module.linear.bias[:2] = 50.0
        td = policy(observed())
        assert (td[STEER] == 2).all()
        torch.testing.assert_close(td["lp"], policy.log_prob(td))

    def test_without_a_spec_it_is_refused(self):
        with pytest.raises(ContractError) as error:
            self.policy(spec=None)
        assert str(error.value) == (
            "ProbabilisticActor cannot be built: 1 finding.\n"
            "1. safe=True projects actions to their spec, and there is none.\n"
            "   provided: spec=None\n"
            "   say what an action is: spec=env.action_spec, or leave safe out."
        )

    def test_vmap_and_compile(self):
        policy, observation = self.policy(), torch.full((4, 3), 9.0)
        assert (torch.vmap(policy, randomness="different")(observation)[2] == 1).all()
        compiled = torch.compile(policy, fullgraph=True, backend="eager")
        td = compiled(TensorDict(observation=observation, batch_size=[4]))
        assert (td["action"] == 1).all()


class TestNumSamples:
    def test_entries_can_be_stored_beside_the_others(self):
        policy = actor(num_samples=7, return_log_prob=True)
        td = policy(observed())
        assert (td[STEER].shape, td[GEAR].shape, td["car", "gear_log_prob"].shape) == ((5, 7, 2), (5, 7), (5, 7))
        assert policy.log_prob(td).shape == (5, 7)
        assert td[2][STEER].shape == (7, 2)

    def test_with_safe_actions(self):
        td = actor(num_samples=4, spec=SPEC, safe=True)(observed())
        assert SPEC[STEER].is_in(td[STEER])

    def test_fewer_than_one(self):
        with pytest.raises(ContractError, match="num_samples is 0, which is no count of samples"):
            actor(num_samples=0)

    def test_compile(self):
        compiled = torch.compile(actor(num_samples=4, return_log_prob=True), fullgraph=True, backend="eager")
        assert compiled(observed())["car", "steer_log_prob"].shape == (5, 4)
