from __future__ import annotations

import copy
import functools
import pickle

import pytest
import torch
from tensordict import TensorDict
from torch.distributions import Normal

from keywork._errors import ContractError
from keywork.distributions import Categorical, CompositeDistribution, TanhNormal, plan_of

TWO = {"steer": TanhNormal, ("arm", "gear"): Categorical}
FLAT = [("p", "steer", "loc"), ("p", "steer", "scale"), ("p", "arm", "gear", "logits")]


def findings(in_keys=FLAT, out_keys=None, made_by=TWO, keywords=None, **options):
    with pytest.raises(ContractError) as error:
        plan_of("head", in_keys, out_keys, made_by, keywords or {}, options)
    return [(finding.kind, finding.problem) for finding in error.value.findings]


def plan(in_keys=FLAT, out_keys=None, made_by=TWO, keywords=None, **options):
    return plan_of("head", in_keys, out_keys, made_by, keywords or {}, options)


class TestSeveral:
    @pytest.mark.parametrize(
        "in_keys",
        [
            FLAT,
            {"steer": FLAT[:2], ("arm", "gear"): FLAT[2]},
            {"steer": {"loc": FLAT[0], "scale": FLAT[1]}, ("arm", "gear"): {"logits": FLAT[2]}},
        ],
    )
    def test_every_way_to_name_the_parameters(self, in_keys):
        made = plan(in_keys)
        assert made.params == tuple(FLAT)
        dist = made.build([torch.full((2, 1), 0.5), torch.ones(2, 1), torch.zeros(2, 3)])
        assert dist["steer"].loc.tolist() == [[0.5], [0.5]]
        assert dist["arm", "gear"].n == 3

    def test_in_any_order_and_one_tensor_for_two(self):
        made = plan(
            {"b": {"scale": "s", "loc": "y"}, "a": {"loc": "x", "scale": "s"}}, made_by={"a": Normal, "b": Normal}
        )
        assert made.params == ("s", "y", "x")
        dist = made.build([torch.tensor(3.0), torch.tensor(2.0), torch.tensor(1.0)])
        assert (dist["a"].loc.item(), dist["b"].loc.item(), dist["b"].scale.item()) == (1.0, 2.0, 3.0)

    @pytest.mark.parametrize("in_keys", [["params"], {"params": ("net", "params")}])
    def test_a_group_of_all_parameters(self, in_keys):
        made = plan(in_keys)
        group = {
            "steer": {"loc": torch.zeros(2, 1), "scale": torch.ones(2, 1)},
            "arm": {"gear": {"logits": torch.ones(2, 3)}},
        }
        assert made.build([TensorDict(group)]).keys() == ("steer", ("arm", "gear"))

    def test_the_map_may_be_given_in_each_of_three_ways(self):
        maps = {"distribution_map": TWO, "name_map": {"steer": "s"}, "extra_kwargs": {"steer": {"low": -3.0}}}
        for made_by, keywords in (
            (CompositeDistribution, maps),
            (functools.partial(CompositeDistribution, **maps), {}),
        ):
            made = plan(made_by=made_by, keywords=keywords)
            assert made.samples == ("s", ("arm", "gear"))
            assert made.build([torch.zeros(1), torch.ones(1), torch.zeros(3)])["s"].low == -3.0
        made = plan(keywords={"steer": {"low": -3.0}}, out_keys=["a", "b"])
        assert made.samples == ("a", "b")
        assert made.build([torch.zeros(1), torch.ones(1), torch.zeros(3)])["a"].low == -3.0

    def test_it_is_copied_and_sent(self):
        for made in (copy.deepcopy(plan()), pickle.loads(pickle.dumps(plan()))):
            assert made == plan()

    def test_what_is_wrong_with_every_part_at_once(self):
        wrong = [("p", "steer", "lok"), ("p", "steer", "scale"), ("p", "gaer", "logits")]
        assert findings(wrong, log_prob_keys=["x"], num_samples=0) == [
            (
                "unknown-action",
                "in_keys has ('p', 'gaer', 'logits'), whose last two parts are no action and its argument.",
            ),
            ("unknown-parameter", "TanhNormal of 'steer' has no parameter 'lok'."),
            ("missing-parameter", "TanhNormal of 'steer' needs 'loc', which in_keys does not bring."),
            ("unfed-action", "in_keys brings nothing for the action ('arm', 'gear')."),
            ("log-prob-keys", "log_prob_keys names 1, 'x', for 2 sample(s)."),
            ("sample-count", "num_samples is 0, which is no count of samples."),
        ]

    def test_a_dict_of_an_action_that_there_is_not(self):
        ((kind, problem), *_) = findings({"steer": FLAT[:2], "gear": FLAT[2]})
        assert (kind, problem) == ("unknown-action", "in_keys names the action 'gear', which there is not.")

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"out_keys": ["a"]}, "out_keys is ['a'], and the actions go to 'steer', ('arm', 'gear')."),
            ({"keywords": {"low": 0.0}}, "the further arguments of 'low' are 0.0, which is no dict."),
            (
                {"made_by": CompositeDistribution, "keywords": {"distribution_map": TWO, "log_prob_key": "x"}},
                "CompositeDistribution has no keyword argument 'log_prob_key'.",
            ),
            (
                {"made_by": CompositeDistribution},
                "CompositeDistribution has to know the actions, and there is no distribution_map.",
            ),
        ],
    )
    def test_maps_that_do_not_fit(self, options, problem):
        assert findings(**options)[0][1] == problem


class TestLogProbKeys:
    def test_one_action(self):
        for options, expected in (
            ({}, ("sample_log_prob",)),
            ({"log_prob_key": "x"}, ("x",)),
            ({"log_prob_keys": ["x"]}, ("x",)),
        ):
            assert plan(["logits"], "action", Categorical, **options).log_probs == expected
        assert plan([("gear", "logits")], None, {"gear": Categorical}).log_probs == ("sample_log_prob",)

    def test_several_actions(self):
        for options, expected, summed in (
            ({}, ("steer_log_prob", ("arm", "gear_log_prob")), False),
            ({"log_prob_keys": ["x", "y"]}, ("x", "y"), False),
            ({"log_prob_key": "x"}, ("x",), True),
        ):
            made = plan(**options)
            assert (made.log_probs, made.summed) == (expected, summed)

    def test_both_are_refused(self):
        assert findings(log_prob_key="x", log_prob_keys=["x", "y"])[0][0] == "log-prob-keys"


class TestOptions:
    @pytest.mark.parametrize("count", [0, -1, 2.0, True, "3"])
    def test_a_number_of_samples_that_is_none(self, count):
        assert findings(num_samples=count)[0][0] == "sample-count"

    def test_a_generator_that_a_part_does_not_take(self):
        parts = {"x": Normal, "k": Categorical}
        found = findings([("x", "loc"), ("x", "scale"), ("k", "logits")], None, parts, generator=torch.Generator())
        assert [kind for kind, _ in found] == ["no-generator"]
        assert found[0][1].startswith("Normal of 'x' draws by torch's own generator only")

    def test_a_projection_of_no_sample(self):
        assert findings(project={"steeer": abs})[0] == ("unknown-action", "project names 'steeer'.")

    def test_an_option_that_there_is_not(self):
        with pytest.raises(TypeError, match=r"head.__init__\(\) got an unexpected keyword argument 'samples'"):
            plan(samples=3)
