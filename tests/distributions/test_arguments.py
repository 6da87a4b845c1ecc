from __future__ import annotations

import pytest
from torch import distributions as D

from keywork.distributions import Categorical, Delta, TanhNormal, check_arguments
from keywork.distributions._arguments import by_position, check_generator


class TestCheckArguments:
    def test_right_ones_give_no_finding(self):
        assert check_arguments(D.Normal, ["loc", "scale"], []) == []
        assert check_arguments(D.Normal, ["scale"], ["loc", "validate_args"]) == []
        assert check_arguments(lambda **anything: None, ["what", "ever"], ["else"]) == []
        assert check_arguments(lambda *anything, a: None, ["a"], []) == []

    def test_each_kind_of_mistake_has_its_name(self):
        findings = check_arguments(D.Normal, ["loc", "loc", "std"], ["lo"])
        kinds = ["duplicate-parameter", "unknown-parameter", "unknown-keyword", "missing-parameter"]
        assert [finding.kind for finding in findings] == kinds

    def test_a_parameter_given_in_both_places_counts_as_given(self):
        assert check_arguments(D.Normal, ["loc"], ["scale"]) == []

    def test_of_several_actions_each_finding_says_whose_it_is(self):
        unknown, keyword, missing = check_arguments(D.Normal, ["lok"], ["lo", "scale"], "steer")
        assert unknown.problem == "Normal of 'steer' has no parameter 'lok'."
        assert unknown.fix == "did you mean 'loc'? name its key otherwise with in_keys={'steer': {'loc': 'lok'}}."
        assert keyword.fix == "did you mean 'loc'? Rename it."
        assert missing.fix == (
            "add a key for 'loc' to in_keys, or pass {'loc': ...} among the further arguments of 'steer'."
        )


@pytest.mark.parametrize("maker", [TanhNormal, Categorical, Delta, lambda loc, scale: D.Normal(loc, scale)])
def test_a_generator_is_taken_by_ours_and_of_a_function_nothing_is_known(maker):
    assert check_generator(maker) == []


@pytest.mark.parametrize("maker", [D.Normal, D.Categorical, D.Independent, D.Bernoulli])
def test_torchs_own_distributions_take_no_generator(maker):
    (finding,) = check_generator(maker, "gear")
    assert finding.problem.startswith(f"{maker.__name__} of 'gear' draws by torch's own generator only")


def test_only_the_first_arguments_in_order_go_by_position():
    assert by_position(D.Normal, ["loc", "scale"])
    assert not by_position(D.Normal, ["scale", "loc"])
    assert not by_position(D.Categorical, ["logits"])  # the first is probs
    assert not by_position(lambda **params: None, ["loc"])
    assert not by_position(lambda *, loc: None, ["loc"])
