from __future__ import annotations

import math

import pytest
import torch
from torch import distributions as D

from keywork._errors import SpecError
from keywork.distributions import Categorical, CompositeDistribution, IndependentNormal, TanhNormal, draw, score


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


class TestSeveral:
    def dist(self):
        loc = torch.zeros(4, 2, requires_grad=True)
        return CompositeDistribution.from_distributions(
            {"x": TanhNormal(loc, torch.ones(4, 2)), "k": Categorical(torch.zeros(4, 3)), "t": D.Poisson(torch.ones(4))}
        )

    def test_flat_and_each_part_with_a_gradient_where_it_has_one(self):
        values = draw(self.dist(), "random", with_log_prob=True)
        assert [value.shape for value in values] == [(4, 2), (4,), (4,), (4,), (4,), (4,)]
        assert [value.requires_grad for value in values[:3]] == [True, False, False]

    def test_one_log_prob_for_all(self):
        *values, total = draw(self.dist(), "random", with_log_prob=True, summed=True)
        torch.testing.assert_close(total, score(self.dist(), values), atol=1e-4, rtol=1e-4)
        assert len(draw(self.dist(), "random", summed=True)) == 3

    @pytest.mark.parametrize("kind", ["mode", "mean", "deterministic"])
    def test_free_of_noise(self, kind):
        one, other = draw(self.dist(), kind), draw(self.dist(), kind)
        assert all(map(torch.equal, one, other))


class TestManySamples:
    @pytest.mark.parametrize("kind", ["random", "mode"])
    def test_they_follow_the_dimensions_of_the_batch(self, kind):
        dist = TanhNormal(torch.zeros(4, 3, 2), torch.ones(4, 3, 2))
        value, log_prob = draw(dist, kind, with_log_prob=True, num_samples=5)
        assert (value.shape, log_prob.shape) == ((4, 3, 5, 2), (4, 3, 5))
        torch.testing.assert_close(score(dist, [value], 5), log_prob, atol=1e-4, rtol=1e-4)
        assert (len(value.unique()) == 1) == (kind == "mode")

    def test_the_score_stands_beside_its_sample(self):
        dist = IndependentNormal(torch.zeros(2, 1), torch.ones(2, 1))
        value = torch.tensor([[[0.0], [1.0], [2.0]], [[3.0], [0.0], [0.0]]])
        # minus half of the square, and half of log(2 pi) = 0.9189
        expected = -0.5 * value.squeeze(-1).square() - 0.5 * math.log(2 * math.pi)
        torch.testing.assert_close(score(dist, [value], 3), expected)

    def test_another_shape_is_refused_where_the_numbers_happen_to_fit_too(self):
        dist = IndependentNormal(torch.zeros(2, 2), torch.ones(2, 2))
        with pytest.raises(SpecError, match=r"of shape \[2, 2\]: 2 samples an element have shape \[2, 2, 2\]"):
            score(dist, [torch.zeros(2, 2)], 2)


def test_what_a_projection_gives_is_what_is_scored():
    dist = IndependentNormal(torch.tensor([[0.0], [9.0]]), torch.ones(2, 1))
    value, log_prob = draw(dist, "mode", with_log_prob=True, project=[lambda x: x.clamp(-1.0, 1.0)])
    assert value.flatten().tolist() == [0.0, 1.0]
    # (1 - 9)^2 / 2 = 32
    assert log_prob.tolist() == pytest.approx([-0.918939, -32.918939])
    torch.manual_seed(0)
    value, log_prob = draw(dist, "random", with_log_prob=True, project=[lambda x: x.clamp(-1.0, 1.0)])
    torch.testing.assert_close(log_prob, dist.log_prob(value))
    plain = draw(dist, "mode", with_log_prob=True, project=[None])
    assert plain[0].flatten().tolist() == [0.0, 9.0]
