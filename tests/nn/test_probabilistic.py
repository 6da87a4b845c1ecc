from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict
from torch import distributions as td_torch
from torch import nn

from keywork._errors import ContractError, MissingKeyError
from keywork.distributions import (
    Categorical,
    CompositeDistribution,
    Delta,
    IndependentNormal,
    NormalParamExtractor,
    OneHotCategorical,
    TanhNormal,
)
from keywork.nn import (
    Contract,
    ExplorationType,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
    TensorDictSequential,
    set_exploration_type,
)

Normal = td_torch.Normal
NOISELESS = [ExplorationType.MODE, ExplorationType.MEAN, ExplorationType.DETERMINISTIC]


def normal_head(**options):
    options = {"distribution_class": Normal} | options
    return ProbabilisticTensorDictModule(["loc", "scale"], ["action"], **options)


def normal_params(batch=4):
    return TensorDict(loc=torch.randn(batch), scale=torch.rand(batch) + 0.5, batch_size=[batch])


def policy(**options):
    net = TensorDictModule(nn.Sequential(nn.Linear(3, 4), NormalParamExtractor()), "observation", ["loc", "scale"])
    return ProbabilisticTensorDictSequential(net, normal_head(**{"distribution_class": TanhNormal} | options))


def observed(batch=5):
    return TensorDict(observation=torch.randn(batch, 3), batch_size=[batch])


class TestExplorationTypes:
    def test_it_samples_outside_of_any_context(self):
        head, td = normal_head(), normal_params()
        assert not torch.equal(head(td.copy())["action"], head(td.copy())["action"])

    def test_the_default_may_be_another(self):
        td = normal_params()
        assert torch.equal(normal_head(default_interaction_type="mode")(td)["action"], td["loc"])
        with set_exploration_type("random"):
            assert not torch.equal(normal_head(default_interaction_type="mode")(td)["action"], td["loc"])

    def test_a_default_that_does_not_exist_is_refused(self):
        with pytest.raises(ValueError, match="There is no exploration type 'wild'"):
            normal_head(default_interaction_type="wild")

    @pytest.mark.parametrize("kind", list(ExplorationType))
    @pytest.mark.parametrize(
        ("dist", "params", "inside"),
        [
            (Normal, {"loc": torch.zeros(4), "scale": torch.ones(4)}, lambda a: a.isfinite()),
            (IndependentNormal, {"loc": torch.zeros(4, 2), "scale": torch.ones(4, 2)}, lambda a: a.isfinite()),
            (TanhNormal, {"loc": torch.full((4, 2), 3.0), "scale": torch.ones(4, 2)}, lambda a: a.abs() <= 1),
            (Delta, {"param": torch.randn(4, 2)}, lambda a: a.isfinite()),
            (Categorical, {"logits": torch.zeros(4, 3)}, lambda a: (a >= 0) & (a < 3)),
            (OneHotCategorical, {"logits": torch.zeros(4, 3)}, lambda a: a.sum(-1) == 1),
            (td_torch.Categorical, {"logits": torch.zeros(4, 3)}, lambda a: (a >= 0) & (a < 3)),
            (td_torch.OneHotCategorical, {"logits": torch.zeros(4, 3)}, lambda a: a.sum(-1) == 1),
            (td_torch.Bernoulli, {"logits": torch.zeros(4)}, lambda a: (a == 0) | (a == 1)),
            (td_torch.Uniform, {"low": torch.zeros(4), "high": torch.ones(4)}, lambda a: (a >= 0) & (a < 1)),
            (
                td_torch.Beta,
                {"concentration1": torch.ones(4), "concentration0": torch.ones(4)},
                lambda a: (a > 0) & (a < 1),
            ),
            (td_torch.Cauchy, {"loc": torch.zeros(4), "scale": torch.ones(4)}, lambda a: a.isfinite()),
        ],
    )
    def test_each_has_a_meaning_for_each_distribution(self, kind, dist, params, inside):
        """In the established library several of these crash, give NaN or draw noise."""
        keys = list(params)
        head = ProbabilisticTensorDictModule(keys, ["action"], distribution_class=dist, return_log_prob=True)
        with set_exploration_type(kind):
            first, second = head(TensorDict(params, batch_size=[4])), head(TensorDict(params, batch_size=[4]))
        assert inside(first["action"]).all()
        assert not first["sample_log_prob"].isnan().any()
        assert first["sample_log_prob"].shape == head.get_dist(first).batch_shape
        if kind is not ExplorationType.RANDOM:
            assert torch.equal(first["action"], second["action"])

    @pytest.mark.parametrize("kind", NOISELESS)
    def test_every_type_reaches_a_head_in_a_nested_sequential(self, kind):
        nested = TensorDictSequential(TensorDictSequential(policy()))
        with set_exploration_type(kind):
            assert torch.equal(*[nested(TensorDict(observation=torch.ones(1, 3)))["action"] for _ in range(2)])

    def test_samples_carry_a_gradient_where_the_distribution_has_one(self):
        loc, scale = torch.zeros(3, requires_grad=True), torch.ones(3)
        normal_head()(loc, scale).sum().backward()
        assert loc.grad.tolist() == [1.0] * 3  # d (loc + scale * noise) / d loc
        head = ProbabilisticTensorDictModule(["logits"], ["a"], distribution_class=Categorical)
        assert not head(torch.zeros(3, requires_grad=True)).requires_grad


class TestLogProb:
    def test_it_is_written_beside_the_sample_without_a_trailing_dimension(self):
        head = normal_head(return_log_prob=True)
        assert head.contract == Contract(["loc", "scale"], ["action", "sample_log_prob"])
        td = head(normal_params())
        assert td["sample_log_prob"].shape == (4,)
        assert torch.equal(td["sample_log_prob"], Normal(td["loc"], td["scale"]).log_prob(td["action"]))

    def test_of_a_nested_action_it_is_in_the_same_group(self):
        params, out = [("agents", "loc"), ("agents", "scale")], [("agents", "action")]
        head = ProbabilisticTensorDictModule(params, out, distribution_class=Normal, return_log_prob=True)
        assert head.out_keys == [("agents", "action"), ("agents", "sample_log_prob")]
        td = TensorDict({("agents", "loc"): torch.zeros(4, 2), ("agents", "scale"): torch.ones(4, 2)}, batch_size=[4])
        assert head(td)["agents", "sample_log_prob"].shape == (4, 2)

    @pytest.mark.parametrize("key", ["action_log_prob", ("agents", "lp")])
    def test_its_key_may_be_chosen(self, key):
        head = normal_head(return_log_prob=True, log_prob_key=key)
        assert (head.log_prob_key, head.log_prob_keys, head.out_keys) == (key, [key], ["action", key])
        assert key in head(normal_params())

    def test_without_it_the_key_is_known_all_the_same_and_not_written(self):
        assert normal_head().log_prob_keys == ["sample_log_prob"]
        assert "sample_log_prob" not in normal_head()(normal_params())

    def test_a_draw_is_scored_where_it_is_made(self):
        """At loc 12 every action is rounded to 1: from the action alone its score cannot be had."""
        head = normal_head(distribution_class=TanhNormal, return_log_prob=True)
        loc, scale = torch.full((1000, 1), 12.0, dtype=torch.float64), torch.ones(1000, 1, dtype=torch.float64)
        torch.manual_seed(3)
        exact = head(loc, scale)[1]
        torch.manual_seed(3)
        action, single = head(loc.float(), scale.float())
        assert (action == 1).any()
        assert single.isfinite().all()
        # log p(a) = log N(u) - log(1 - tanh(u)^2), whose second term is about 2 u - log 4: 24 - 1.39 at u = 12
        assert exact.mean().item() == pytest.approx(-0.5 - 0.5 * math.log(2 * math.pi) + 24 - math.log(4), abs=0.2)
        assert single.double().mean().item() == pytest.approx(exact.mean().item(), abs=0.2)

    def test_a_stored_sample_is_scored_by_log_prob(self):
        head = normal_head()
        td = TensorDict(loc=torch.zeros(2), scale=torch.ones(2), action=torch.tensor([0.0, 1.0]), batch_size=[2])
        # -x^2 / 2 - log(2 pi) / 2
        expected = [-0.5 * math.log(2 * math.pi), -0.5 - 0.5 * math.log(2 * math.pi)]
        assert head.log_prob(td).tolist() == pytest.approx(expected)


class TestParameters:
    def test_the_last_part_of_a_key_is_the_name_of_the_argument(self):
        head = ProbabilisticTensorDictModule([("p", "scale"), ("q", "loc")], "a", distribution_class=Normal)
        dist = head.get_dist(TensorDict({("p", "scale"): torch.tensor(2.0), ("q", "loc"): torch.tensor(3.0)}))
        assert (dist.loc.item(), dist.scale.item()) == (3.0, 2.0)
        assert (head.dist_params_keys, head.dist_sample_keys) == ([("p", "scale"), ("q", "loc")], ["a"])

    def test_a_dict_is_from_argument_names_to_keys(self):
        head = ProbabilisticTensorDictModule({"scale": "spread", "loc": ("net", "mu")}, "a", distribution_class=Normal)
        assert head.in_keys == ["spread", ("net", "mu")]
        dist = head.dist_of(torch.tensor(2.0), torch.tensor(3.0))
        assert (dist.loc.item(), dist.scale.item()) == (3.0, 2.0)

    def test_further_arguments_are_given_at_every_construction(self):
        head = normal_head(distribution_class=TanhNormal, distribution_kwargs={"low": 0.0, "high": 10.0})
        with set_exploration_type("deterministic"):
            assert head(torch.zeros(1), torch.ones(1)).tolist() == [5.0]

    def test_a_function_may_make_the_distribution(self):
        head = normal_head(distribution_class=lambda loc, scale: td_torch.Independent(Normal(loc, scale), 1))
        assert head.get_dist(normal_params()).event_shape == (4,)

    def test_so_may_a_network(self):
        class Maker(nn.Module):
            def forward(self, loc, scale):
                return Normal(loc, scale)

        assert normal_head(distribution_class=Maker())(normal_params())["action"].shape == (4,)

    def test_gradients_flow_through_the_distribution_to_the_parameters(self):
        loc = torch.zeros(3, requires_grad=True)
        normal_head().get_dist(TensorDict(loc=loc, scale=torch.ones(3))).log_prob(
            torch.full((3,), 2.0)
        ).sum().backward()
        assert loc.grad.tolist() == [2.0] * 3  # d/d loc of -(2 - loc)^2 / 2

    def test_a_missing_parameter_at_the_call(self):
        with pytest.raises(MissingKeyError, match="ProbabilisticTensorDictModule cannot run: it reads 'scale'"):
            normal_head()(TensorDict(loc=torch.zeros(2)))

    def test_parameters_that_do_not_fit_are_named_in_a_note(self):
        with pytest.raises(RuntimeError, match="must match") as caught:
            normal_head()(torch.zeros(2), torch.ones(3))
        assert caught.value.__notes__ == [
            "in ProbabilisticTensorDictModule: 'loc' float32[2], 'scale' float32[3] -> 'action'"
        ]


class TestConstruction:
    def message_of(self, in_keys, out_keys="action", **options):
        with pytest.raises(ContractError) as caught:
            ProbabilisticTensorDictModule(in_keys, out_keys, **{"distribution_class": Normal} | options)
        return str(caught.value)

    def test_wrong_parameters_wrong_arguments_and_missing_ones_all_at_once(self):
        assert self.message_of(["loc", "scael"], distribution_kwargs={"validate": False}) == (
            "ProbabilisticTensorDictModule cannot be built: 3 findings.\n"
            "1. Normal has no parameter 'scael'.\n"
            "   provided: Normal(loc, scale, validate_args)\n"
            "   did you mean 'scale'? name its key otherwise with in_keys={'scale': 'scael'}.\n"
            "2. Normal has no keyword argument 'validate'.\n"
            "   provided: Normal(loc, scale, validate_args)\n"
            "   did you mean 'validate_args'? Rename it.\n"
            "3. Normal needs 'scale', which in_keys does not bring.\n"
            "   provided: in_keys brings 'loc', 'scael'\n"
            "   add a key for 'scale' to in_keys, or pass distribution_kwargs={'scale': ...}."
        )

    def test_two_keys_for_one_parameter(self):
        assert self.message_of([("left", "loc"), ("right", "loc"), "scale"]) == (
            "ProbabilisticTensorDictModule cannot be built: 1 finding.\n"
            "1. in_keys names the parameter 'loc' of Normal more than once.\n"
            "   provided: 'loc', 'loc', 'scale'\n"
            "   keep one of the keys, or tell them apart with in_keys={'argument': key}."
        )

    @pytest.mark.parametrize("out_keys", [["a", "b"], []])
    def test_other_than_one_sample(self, out_keys):
        assert self.message_of(["loc", "scale"], out_keys) == (
            "ProbabilisticTensorDictModule cannot be built: 1 finding.\n"
            f"1. out_keys is {out_keys}, and a distribution gives one sample.\n"
            "   name one key, such as out_keys=['action']."
        )

    def test_what_has_a_default_need_not_be_given(self):
        head = ProbabilisticTensorDictModule(["logits"], "a", distribution_class=Categorical)
        assert head.in_keys == ["logits"]

    def test_a_parameter_as_an_argument(self):
        head = ProbabilisticTensorDictModule(
            ["loc"], "a", distribution_class=Normal, distribution_kwargs={"scale": torch.tensor(2.0)}
        )
        assert head.dist_of(torch.zeros(3)).scale.tolist() == [2.0] * 3

    def test_a_function_of_any_keywords_takes_any(self):
        head = normal_head(distribution_class=lambda **params: Normal(**params))
        assert head.out_keys == ["action"]

    def test_log_prob_and_sample_cannot_share_a_key(self):
        with pytest.raises(ContractError, match="out_keys names 'action' more than once"):
            normal_head(return_log_prob=True, log_prob_key="action")


class TestGenerator:
    def test_it_makes_draws_repeatable_and_leaves_torchs_own_alone(self):
        def drawn():
            generator = torch.Generator().manual_seed(5)
            head = normal_head(distribution_class=TanhNormal, generator=generator)
            return torch.stack([head(torch.zeros(3), torch.ones(3)) for _ in range(2)])

        before = torch.get_rng_state()
        first, second = drawn(), drawn()
        assert torch.equal(first, second)
        assert not torch.equal(first[0], first[1])
        assert torch.equal(torch.get_rng_state(), before)

    def test_with_a_distribution_of_torchs_it_is_refused(self):
        with pytest.raises(ContractError) as caught:
            normal_head(generator=torch.Generator())
        assert str(caught.value) == (
            "ProbabilisticTensorDictModule cannot be built: 1 finding.\n"
            "1. Normal draws by torch's own generator only, and generator= asks for another.\n"
            "   provided: Normal.rsample(self, sample_shape)\n"
            "   take a distribution of keywork.distributions, or leave generator out and call torch.manual_seed(...)."
        )


STEER, GEAR = ("car", "steer"), ("car", "gear")


def several(**options):
    keys = {STEER: {"loc": "loc", "scale": "scale"}, GEAR: {"logits": "logits"}}
    options = {"distribution_class": {STEER: TanhNormal, GEAR: Categorical}, "return_log_prob": True} | options
    return ProbabilisticTensorDictModule(keys, **options)


def several_params():
    return TensorDict(loc=torch.randn(4, 2), scale=torch.ones(4, 2), logits=torch.randn(4, 3), batch_size=[4])


class TestSeveralActions:
    def test_each_has_a_sample_and_a_log_prob(self):
        head, td = several(), several_params()
        assert head.out_keys == [STEER, GEAR, ("car", "steer_log_prob"), ("car", "gear_log_prob")]
        assert (head.log_prob_key, head.dist_sample_keys) == (None, [STEER, GEAR])
        head(td)
        total = td["car", "steer_log_prob"] + td["car", "gear_log_prob"]
        torch.testing.assert_close(head.log_prob(td), total, atol=1e-4, rtol=1e-4)
        assert head.get_dist(td).keys() == (STEER, GEAR)

    def test_one_log_prob_for_all(self):
        head, td = several(log_prob_key="lp"), several_params()
        assert head.out_keys == [STEER, GEAR, "lp"]
        torch.testing.assert_close(head(td)["lp"], head.log_prob(td), atol=1e-4, rtol=1e-4)

    def test_on_tensors(self):
        td = several_params()
        steer, gear, *scores = several()(td["loc"], td["scale"], td["logits"])
        assert (steer.shape, gear.shape, [score.shape for score in scores]) == ((4, 2), (4,), [(4,), (4,)])

    def test_a_group_of_parameters(self):
        maps = {"distribution_map": {"steer": TanhNormal, "gear": Categorical}}
        options = {"distribution_class": CompositeDistribution, "distribution_kwargs": maps, "return_log_prob": True}
        head, td = ProbabilisticTensorDictModule(["params"], **options), several_params()
        group = {"steer": {"loc": td["loc"], "scale": td["scale"]}, "gear": {"logits": td["logits"]}}
        td = head(TensorDict(params=group, batch_size=[4]))
        assert td["steer"].shape == (4, 2)
        torch.testing.assert_close(head.log_prob(td), td["steer_log_prob"] + td["gear_log_prob"], atol=1e-4, rtol=1e-4)

    def test_networks_that_make_distributions_are_found(self):
        class Maker(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Linear(3, 3)

            def forward(self, logits):
                return Categorical(self.net(logits))

        head = ProbabilisticTensorDictModule(
            {"a": {"logits": "x"}, "b": {"logits": "y"}}, distribution_class={"a": Maker(), "b": Categorical}
        )
        assert len(list(head.parameters())) == 2

    @pytest.mark.parametrize("kind", NOISELESS)
    def test_exploration_types(self, kind):
        td = several_params()
        with set_exploration_type(kind):
            one, other = several()(td.copy()), several()(td.copy())
        assert torch.equal(one[STEER], other[STEER])
        assert torch.equal(one[GEAR], td["logits"].argmax(-1))


class TestNumSamples:
    @pytest.mark.parametrize("kind", list(ExplorationType))
    def test_after_the_dimensions_of_the_batch(self, kind):
        head, td = several(num_samples=6), several_params()
        with set_exploration_type(kind):
            head(td)
        assert td[STEER].shape == (4, 6, 2)
        assert td["car", "gear_log_prob"].shape == (4, 6)
        total = td["car", "steer_log_prob"] + td["car", "gear_log_prob"]
        torch.testing.assert_close(head.log_prob(td), total, atol=1e-4, rtol=1e-4)
        assert torch.equal(td[STEER][:, 0], td[STEER][:, 1]) == (kind is not ExplorationType.RANDOM)

    def test_of_a_policy(self):
        actor = policy(num_samples=3, return_log_prob=True)
        td = actor(observed())
        assert (td["action"].shape, actor.num_samples) == ((5, 3, 2), 3)
        torch.testing.assert_close(actor.log_prob(td), td["sample_log_prob"], atol=1e-3, rtol=1e-3)


class Plain(TensorDictModuleBase):
    """A user's own, over TensorDicts: writes loc and scale."""

    in_keys = ["observation"]
    out_keys = ["loc", "scale"]

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 2)

    def forward(self, tensordict):
        tensordict["loc"] = self.net(tensordict["observation"])
        return tensordict.set("scale", torch.ones_like(tensordict["loc"]))


class TestSequential:
    def test_its_contract_is_that_of_the_chain(self):
        assert policy(return_log_prob=True).contract == Contract(
            ["observation"], ["loc", "scale", "action", "sample_log_prob"]
        )

    def test_it_says_what_its_last_step_says(self):
        actor, generator = policy(return_log_prob=True, log_prob_key="lp"), torch.Generator()
        assert (actor.log_prob_key, actor.log_prob_keys, actor.return_log_prob) == ("lp", ["lp"], True)
        assert (actor.dist_params_keys, actor.dist_sample_keys) == (["loc", "scale"], ["action"])
        assert actor.default_interaction_type is ExplorationType.RANDOM
        assert (actor.distribution_class, actor.distribution_kwargs) == (TanhNormal, {})
        assert policy(generator=generator).generator is generator
        with pytest.raises(AttributeError, match="no attribute 'dist_sample_key'"):
            _ = actor.dist_sample_key

    def test_the_distribution_of_a_tensordict_which_is_left_alone(self):
        actor, td = policy(), observed()
        loc, scale = actor[0].module(td["observation"])
        dist = actor.get_dist(td)
        assert torch.equal(dist.loc, loc)
        assert torch.equal(dist.scale, scale)
        assert list(td.keys()) == ["observation"]

    def test_the_distribution_is_a_pure_function_of_tensors(self):
        actor, td = policy(), observed()
        assert torch.equal(actor.dist_of(td["observation"]).loc, actor.get_dist(td).loc)

    def test_the_log_prob_of_a_stored_action_is_that_of_the_policy_as_it_is_now(self):
        actor = policy(return_log_prob=True)
        td = actor(observed())
        assert torch.allclose(actor.log_prob(td), td["sample_log_prob"], atol=1e-4)
        nn.init.zeros_(actor[0].module[0].weight)
        assert not torch.allclose(actor.log_prob(td), td["sample_log_prob"], atol=1e-2)
        assert torch.allclose(actor.log_prob(td), actor.get_dist(td).log_prob(td["action"]))

    def test_gradients_flow_to_the_network(self):
        actor = policy()
        td = actor(observed())
        actor.get_dist(td.detach()).log_prob(td["action"].detach()).sum().backward()
        assert actor[0].module[0].weight.grad.abs().sum() > 0

    def test_exploration_type_and_selection(self):
        actor, td = policy().select_out_keys("action"), observed()
        with set_exploration_type("deterministic"):
            assert torch.equal(actor(td)["action"], actor.get_dist(td).deterministic_sample)
        assert set(td.keys()) == {"observation", "action"}

    @pytest.mark.parametrize("inplace", [True, False, "empty"])
    def test_over_a_step_that_needs_a_tensordict(self, inplace):
        head = ProbabilisticTensorDictModule(["loc", "scale", "low"], "action", distribution_class=TanhNormal)
        actor = ProbabilisticTensorDictSequential(Plain(), head, inplace=inplace)
        td = observed().set("low", torch.full((5, 2), -3.0))
        dist = actor.get_dist(td)
        assert torch.equal(dist.loc, actor[0].net(td["observation"]))
        assert (dist.low == -3).all()
        assert torch.equal(actor.dist_of(td["observation"], td["low"]).loc, dist.loc)
        assert set(td.keys()) == {"observation", "low"}
        assert actor(td)["action"].shape == (5, 2)

    def test_hooks_run_for_a_distribution_too(self):
        actor, seen = policy(), []
        actor[0].register_forward_hook(lambda module, args, output: seen.append(1))
        actor.get_dist(observed())
        actor.dist_of(torch.ones(5, 3))
        assert seen == [1, 1]

    def test_a_policy_inside_a_policy(self):
        outer = ProbabilisticTensorDictSequential(TensorDictModule(torch.neg, "raw", "observation"), policy())
        td = TensorDict(raw=torch.ones(5, 3), batch_size=[5])
        assert outer.get_dist(td).batch_shape == (5,)
        assert outer.dist_sample_keys == ["action"]
        assert outer(td)["action"].shape == (5, 2)

    def test_without_a_distribution_at_the_end_it_is_refused(self):
        with pytest.raises(ContractError) as caught:
            ProbabilisticTensorDictSequential(normal_head(), TensorDictModule(torch.neg, "action", "move"))
        assert str(caught.value) == (
            "ProbabilisticTensorDictSequential cannot be built: 1 finding.\n"
            "1. step 1 is the last and has no distribution.\n"
            "   end with a ProbabilisticTensorDictModule, or use TensorDictSequential."
        )

    def test_that_finding_joins_the_others(self):
        with pytest.raises(ContractError) as caught:
            ProbabilisticTensorDictSequential(
                {"net": TensorDictModule(torch.neg, "x", "hiden"), "head": TensorDictModule(torch.neg, "hidden", "loc")}
            )
        assert [finding.kind for finding in caught.value.findings] == ["near-miss", "no-distribution"]
        assert caught.value.findings[1].problem == "step head is the last and has no distribution."

    def test_without_any_step_it_is_refused(self):
        with pytest.raises(ContractError, match=r"1\. there is no step\.\n"):
            ProbabilisticTensorDictSequential()
