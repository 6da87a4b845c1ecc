from __future__ import annotations

import math

import pytest
import torch
from torch import distributions as D

from keywork.distributions import TanhNormal, check_arguments, draw


class TestDraw:
    @pytest.mark.parametrize(
        ("dist", "mode", "mean", "deterministic"),
        [
            # (3 - 1) / 2 and 3 / 2
            (D.Gamma(torch.tensor(3.0), torch.tensor(2.0)), 1.0, 1.5, 1.0),
            # Of a uniform distribution no value is the likeliest, and torch's mode is NaN: the mean stands for it.
            (D.Uniform(torch.tensor(2.0), torch.tensor(6.0)), 4.0, 4.0, 4.0),
            # A Cauchy distribution has no mean, and torch's is NaN: the mode stands for it.
            (D.Cauchy(torch.tensor(2.0), torch.tensor(1.0)), 2.0, 2.0, 2.0),
            # The mean of an index is no index: the mode stands for it.
            (D.Categorical(probs=torch.tensor([0.1, 0.2, 0.7])), 2, 2, 2),
            (D.OneHotCategorical(probs=torch.tensor([0.1, 0.2, 0.7])), [0, 0, 1], [0, 0, 1], [0, 0, 1]),
            # The mode of an even coin is NaN: the mean, rounded to even, is a side of it.
            (D.Bernoulli(torch.tensor([0.2, 0.8, 0.5])), [0, 1, 0], [0, 1, 0], [0, 1, 0]),
            # Without a mode there is the mean: 0.5 * 1 + 0.5 * 3
            (
                D.MixtureSameFamily(D.Categorical(torch.ones(2)), D.Normal(torch.tensor([1.0, 3.0]), torch.ones(2))),
                2.0,
                2.0,
                2.0,
            ),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, D.Distribution) else "",
    )
    def test_the_noiseless_values_of_torchs_distributions_by_hand(self, dist, mode, mean, deterministic):
        assert draw(dist, "mode")[0].tolist() == mode
        assert draw(dist, "mean")[0].tolist() == mean
        assert draw(dist, "deterministic")[0].tolist() == deterministic
        for kind in ("mode", "mean", "deterministic"):
            value, log_prob = draw(dist, kind, with_log_prob=True)
            assert torch.equal(log_prob, dist.log_prob(value))
            assert value.dtype == dist.sample().dtype

    def test_parameters_that_are_not_numbers_stay_so(self):
        dist = D.Normal(torch.tensor([math.nan, 1.0]), torch.ones(2), validate_args=False)
        assert draw(dist, "mode")[0].isnan().tolist() == [True, False]

    def test_of_our_own_the_three_may_differ(self):
        dist = TanhNormal(torch.tensor([0.5]), torch.tensor([2.0]))
        values = [draw(dist, kind)[0].item() for kind in ("deterministic", "mean", "mode")]
        assert values == [dist.deterministic_sample.item(), dist.mean.item(), dist.mode.item()]
        assert values[0] == pytest.approx(math.tanh(0.5))
        assert len(set(values)) == 3

    def test_a_value_of_its_own_for_deterministic_goes_before_mode_and_mean(self):
        class Mine(D.Normal):
            @property
            def deterministic_sample(self):
                return self.loc + 7

        assert draw(Mine(torch.tensor(1.0), torch.tensor(1.0)), "deterministic")[0].item() == 8.0
        assert draw(Mine(torch.tensor(1.0), torch.tensor(1.0)), "mode")[0].item() == 1.0

    def test_a_deterministic_value_is_computed_once(self):
        class Counting(D.Normal):
            count = 0

            @property
            def deterministic_sample(self):
                type(self).count += 1
                return self.loc

        draw(Counting(torch.tensor(1.0), torch.tensor(1.0)), "deterministic")
        assert Counting.count == 1

    @pytest.mark.parametrize("kind", ["mode", "mean", "deterministic"])
    def test_with_neither_mode_nor_mean_it_says_so(self, kind):
        dist = D.TransformedDistribution(D.Normal(torch.zeros(2), torch.ones(2)), [D.TanhTransform()])
        assert draw(dist, "random")[0].abs().max() < 1
        with pytest.raises(NotImplementedError) as caught:
            draw(dist, kind)
        assert str(caught.value) == (
            f"TransformedDistribution has neither a mode nor a mean for the exploration type {kind!r}: choose "
            "'random', or a distribution that defines one."
        )

    def test_a_random_draw_has_a_gradient_where_the_distribution_has_one(self):
        loc = torch.zeros(3, requires_grad=True)
        draw(D.Normal(loc, torch.ones(3)), "random")[0].sum().backward()
        assert loc.grad.tolist() == [1.0, 1.0, 1.0]
        assert not draw(D.Categorical(logits=torch.zeros(3, requires_grad=True)), "random")[0].requires_grad

    def test_a_generator_makes_it_repeatable(self):
        dist = TanhNormal(torch.zeros(3), torch.ones(3))
        one, other = (draw(dist, "random", generator=torch.Generator().manual_seed(5))[0] for _ in range(2))
        assert torch.equal(one, other)


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
