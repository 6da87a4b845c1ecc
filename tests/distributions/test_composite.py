"""Several named actions at once: against their parts, and against arithmetic by hand."""

from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict
from torch import distributions as D

from keywork._errors import ContractError, SpecError
from keywork.distributions import Categorical, CompositeDistribution, IndependentNormal, TanhNormal

STEER, GEAR = ("car", "steer"), "gear"


def parts(batch=(4,), dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    loc = torch.randn(*batch, 2, generator=generator).to(dtype)
    logits = torch.randn(*batch, 3, generator=generator).to(dtype)
    return {STEER: TanhNormal(loc, 0.5 + loc.abs()), GEAR: Categorical(logits)}


def composite(**options):
    return CompositeDistribution.from_distributions(parts(**options))


class TestConstruction:
    def test_from_nested_mappings_and_from_a_tensordict(self):
        params = {"steer": {"loc": torch.zeros(4, 1), "scale": torch.ones(4, 1)}, "gear": {"logits": torch.zeros(4, 3)}}
        for given in (params, TensorDict(params, batch_size=[4])):
            dist = CompositeDistribution(
                given,
                {"steer": TanhNormal, "gear": Categorical},
                name_map={"steer": STEER},
                extra_kwargs={"steer": {"low": -2.0, "high": 2.0}},
            )
            assert dist.keys() == (STEER, "gear")
            assert (dist[STEER].low, dist["gear"].n) == (-2.0, 3)
            assert (dist.batch_shape, dist.event_shape, len(dist)) == ((4,), (), 2)

    def test_a_nested_name(self):
        dist = CompositeDistribution({("a", "b"): {"logits": torch.zeros(3)}}, {("a", "b"): Categorical})
        assert dist.keys() == (("a", "b"),)
        dist = CompositeDistribution({"a": {"b": {"logits": torch.zeros(3)}}}, {("a", "b"): Categorical})
        assert dist.keys() == (("a", "b"),)

    def test_validation_reaches_every_part(self):
        with pytest.raises(SpecError, match="TanhNormal: scale of shape"):
            CompositeDistribution(
                {"steer": {"loc": torch.zeros(2), "scale": -torch.ones(2)}}, {"steer": TanhNormal}, validate_args=True
            )

    def test_different_batch_shapes_are_refused(self):
        with pytest.raises(SpecError) as error:
            CompositeDistribution.from_distributions(
                {"steer": D.Normal(torch.zeros(4, 2), torch.ones(4, 2)), "gear": Categorical(torch.zeros(4, 3))}
            )
        assert str(error.value) == (
            "CompositeDistribution cannot be built: 'steer' (Normal) has batch shape [4, 2] and event shape [], 'gear' "
            "(Categorical) has batch shape [4] and event shape [], and all parts need the same batch shape. Bring the "
            "parameters to one batch shape; torch.distributions.Independent(dist, 1) counts the last dimension of a "
            "part as its action's."
        )

    def test_a_batch_of_one_is_not_broadcast(self):
        with pytest.raises(SpecError, match="need the same batch shape"):
            CompositeDistribution.from_distributions(
                {"a": Categorical(torch.zeros(1, 3)), "b": Categorical(torch.zeros(4, 3))}
            )

    def test_all_that_is_wrong_with_the_maps_at_once(self):
        with pytest.raises(ContractError) as error:
            CompositeDistribution({}, {"a": Categorical, "b": 3}, name_map={"A": "x"}, extra_kwargs={"bb": {}})
        assert [finding.kind for finding in error.value.findings] == [
            "unknown-action",
            "unknown-action",
            "no-distribution",
        ]
        assert "name_map names 'A', which distribution_map does not." in str(error.value)

    @pytest.mark.parametrize("keys", [("a", ("a", "b")), (("x", "a"), ("x", "a", "b"))])
    def test_samples_that_lie_inside_one_another(self, keys):
        with pytest.raises(ContractError, match="which cannot both be there"):
            CompositeDistribution.from_distributions(dict.fromkeys(keys, Categorical(torch.zeros(3))))

    @pytest.mark.parametrize("nothing", [{}, None])
    def test_no_action_at_all(self, nothing):
        with pytest.raises(ContractError, match="name each action: distribution_map="):
            CompositeDistribution({}, nothing)

    @pytest.mark.parametrize(
        ("params", "what"),
        [({"b": {}}, "is not there"), ({"a": torch.zeros(3)}, "is Tensor"), (torch.zeros(3), "is not there")],
    )
    def test_without_the_group_of_its_parameters(self, params, what):
        with pytest.raises(SpecError, match=f"the group of parameters of 'a' {what}"):
            CompositeDistribution(params, {"a": Categorical})


class TestValues:
    @pytest.mark.parametrize("shape", [(), (7,), (2, 3)])
    def test_samples_have_the_batch_size_of_sample_and_batch_shape(self, shape):
        value = composite().sample(shape)
        assert value.batch_size == (*shape, 4)
        assert value[STEER].shape == (*shape, 4, 2)
        assert value[GEAR].shape == (*shape, 4)
        assert value["car"].batch_size == value.batch_size

    def test_what_is_free_of_noise_is_that_of_the_parts(self):
        dist, held = composite(), parts()
        for name in ("mode", "mean", "deterministic_sample"):
            value = getattr(dist, name)
            assert all(torch.equal(value[key], getattr(part, name)) for key, part in held.items())

    def test_parts_of_torchs(self):
        even = torch.full((4, 2), 0.5)
        dist = CompositeDistribution.from_distributions(
            {"coins": D.Independent(D.Bernoulli(even), 1), "gear": D.Categorical(logits=torch.zeros(4, 3))}
        )
        value, score = dist.sample_and_log_prob()
        # Two even coins and one of three: log(1/2 * 1/2 * 1/3)
        torch.testing.assert_close(score, torch.full((4,), -math.log(12.0)))
        assert value["coins"].shape == (4, 2)
        assert dist.deterministic_sample["gear"].dtype is torch.int64

    def test_a_reparameterised_sample_needs_one_of_every_part(self):
        assert not composite().has_rsample
        with pytest.raises(NotImplementedError, match=r"'gear' of .*has none; use sample"):
            composite().rsample()
        with pytest.raises(NotImplementedError, match="has none; use sample"):
            composite().rsample_and_log_prob()
        loc = torch.zeros(3, 1, requires_grad=True)
        one, two = IndependentNormal(loc, torch.ones(3, 1)), TanhNormal(loc, torch.ones(3, 1))
        dist = CompositeDistribution.from_distributions({"one": one, "two": two})
        assert dist.has_rsample
        value, _ = dist.rsample_and_log_prob()
        assert value["one"].requires_grad
        assert dist.rsample((2,))["two"].requires_grad
        assert not dist.sample()["one"].requires_grad

    def test_a_generator_makes_draws_repeatable(self):
        def drawn(name):
            result = getattr(composite(), name)((2,), generator=torch.Generator().manual_seed(5))
            return result if name == "sample" else result[0]

        before = torch.get_rng_state()
        for name in ("sample", "sample_and_log_prob"):
            assert (drawn(name) == drawn(name)).all()
        assert torch.equal(torch.get_rng_state(), before)

    def test_expanded(self):
        dist = composite().expand((3, 4))
        assert dist.batch_shape == (3, 4)
        assert dist.sample()[STEER].shape == (3, 4, 2)
        assert dist.entropy().shape == (3, 4)

    def test_support(self):
        support = composite().support
        inside = {STEER: torch.zeros(4, 2), GEAR: torch.tensor([0, 1, 2, 2])}
        assert support.check(inside).tolist() == [True] * 4
        # a steering of 2 is beyond 1, and there is no gear 3
        outside = {STEER: torch.tensor([[0.0, 2.0]] + [[0.0, 0.0]] * 3), GEAR: torch.tensor([0, 0, 0, 3])}
        assert support.check(outside).tolist() == [False, True, True, False]
        assert not support.is_discrete

    def test_its_name(self):
        assert repr(composite()) == (
            "CompositeDistribution({('car', 'steer'): TanhNormal, 'gear': Categorical}, batch_shape=[4])"
        )


class TestScores:
    def test_by_hand(self):
        dist = CompositeDistribution.from_distributions(
            {
                "x": IndependentNormal(torch.tensor([[1.0]]), torch.tensor([[2.0]])),
                "k": Categorical(probs=torch.tensor([[0.25, 0.75]])),
            }
        )
        value = {"x": torch.tensor([[5.0]]), "k": torch.tensor([1])}
        # -((5 - 1) / 2)^2 / 2 - log 2 - log(2 pi) / 2 = -2 - 0.693147 - 0.918939 = -3.612086; log 0.75 = -0.287682
        one, two = dist.log_probs(value)
        assert (one.item(), two.item()) == (pytest.approx(-3.612086, abs=1e-6), pytest.approx(-0.287682, abs=1e-6))
        assert dist.log_prob(value).item() == pytest.approx(-3.899768, abs=1e-6)
        # log 2 + log(2 pi e) / 2 = 2.112086; -(1/4 log 1/4 + 3/4 log 3/4) = 0.562335
        assert dist.entropy().item() == pytest.approx(2.674421, abs=1e-6)

    def test_every_form_of_a_value(self):
        dist = composite()
        value = dist.sample((3,))
        nested = {"car": {"steer": value[STEER]}, GEAR: value[GEAR]}
        flat = {STEER: value[STEER], GEAR: value[GEAR]}
        expected = sum(part.log_prob(value[key]) for key, part in parts().items())
        for form in (value, nested, flat, (value[STEER], value[GEAR])):
            torch.testing.assert_close(dist.log_prob(form), expected)
        assert expected.shape == (3, 4)

    @pytest.mark.parametrize(
        ("value", "got"),
        [
            (torch.zeros(4), r"got float32\[4\]"),
            ((torch.zeros(4, 2),), "got 1 values"),
            ({GEAR: torch.zeros(4)}, r"got no \('car', 'steer'\) among 'gear'"),
        ],
    )
    def test_a_value_of_which_something_is_missing(self, value, got):
        with pytest.raises(SpecError, match=got):
            composite().log_prob(value)

    def test_leading_dimensions_that_differ_are_not_broadcast(self):
        with pytest.raises(SpecError, match=r"the shapes are \[5, 4\], \[4\]"):
            composite().log_prob((torch.zeros(5, 4, 2), torch.zeros(4, dtype=torch.int64)))

    def test_a_draw_is_scored_where_it_is_made(self):
        # At loc 12 an action is rounded to 1, from which its score cannot be had; that of the draw has a spread of 2.
        steer = TanhNormal(torch.full((1000, 1), 12.0), torch.ones(1000, 1))
        dist = CompositeDistribution.from_distributions({"steer": steer})
        value, score = dist.sample_and_log_prob()
        assert (value["steer"] == 1).any()
        assert score.std() > 1.5
        assert dist.log_prob(value).std() < 1.5

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype):
        dist = composite(dtype=dtype)
        value, score = dist.sample_and_log_prob()
        assert (value[STEER].dtype, score.dtype, dist.entropy().dtype) == (dtype, torch.float32, torch.float32)
        assert score.isfinite().all()

    def test_gradients_flow_to_every_part(self):
        loc, logits = torch.zeros(3, 1, requires_grad=True), torch.zeros(3, 2, requires_grad=True)
        dist = CompositeDistribution.from_distributions(
            {"x": IndependentNormal(loc, torch.ones(3, 1)), "k": Categorical(logits)}
        )
        dist.log_prob((torch.full((3, 1), 2.0), torch.zeros(3, dtype=torch.int64))).sum().backward()
        assert loc.grad.flatten().tolist() == [2.0] * 3
        assert logits.grad.tolist() == [[0.5, -0.5]] * 3  # one minus its probability, and minus that of the other


class TestTransforms:
    @pytest.mark.parametrize("randomness", ["same", "different"])
    def test_vmap(self, randomness):
        def act(loc, logits):
            held = {STEER: TanhNormal(loc, torch.ones_like(loc)), GEAR: Categorical(logits)}
            dist = CompositeDistribution.from_distributions(held)
            value, score = dist.sample_and_log_prob()
            return value, score, dist.log_prob(value), dist.mode, dist.entropy()

        value, score, again, mode, entropy = torch.vmap(act, randomness=randomness)(
            torch.zeros(64, 2), torch.zeros(64, 3)
        )
        assert value.batch_size == (64,)
        assert (value[STEER].shape, mode[GEAR].shape, entropy.shape) == ((64, 2), (64,), (64,))
        torch.testing.assert_close(score, again, atol=1e-3, rtol=1e-3)
        assert (len(value[STEER].unique(dim=0)) == 1) == (randomness == "same")

    def test_compiles_as_one_graph(self):
        def act(loc, logits):
            params = {"steer": {"loc": loc, "scale": torch.ones_like(loc)}, "gear": {"logits": logits}}
            dist = CompositeDistribution(params, {"steer": TanhNormal, "gear": Categorical}, name_map={"steer": STEER})
            value = dist.deterministic_sample
            return value[STEER], dist.log_prob(value), dist.entropy(), *dist.sample((2,)).values(True, True)

        inputs = torch.randn(4, 2), torch.randn(4, 3)
        torch.manual_seed(0)
        expected = act(*inputs)
        torch.manual_seed(0)
        for one, other in zip(torch.compile(act, fullgraph=True, backend="eager")(*inputs), expected, strict=True):
            torch.testing.assert_close(one, other)


class TestDivergence:
    def test_it_is_the_sum_of_those_of_the_parts(self):
        held = parts()
        other = {STEER: TanhNormal(torch.zeros(4, 2), torch.ones(4, 2)), GEAR: Categorical(torch.zeros(4, 3))}
        p, q = CompositeDistribution.from_distributions(held), CompositeDistribution.from_distributions(other)
        expected = sum(D.kl_divergence(held[key], other[key]) for key in held)
        torch.testing.assert_close(D.kl_divergence(p, q), expected)
        assert (D.kl_divergence(p, p).abs() < 1e-6).all()

    def test_of_different_actions_there_is_none(self):
        other = CompositeDistribution.from_distributions({GEAR: Categorical(torch.zeros(4, 3))})
        with pytest.raises(SpecError, match=r"KL.* cannot be had of different actions"):
            D.kl_divergence(composite(), other)
