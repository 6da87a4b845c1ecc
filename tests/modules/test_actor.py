import pytest
import torch
from gymnasium.spaces import Box
from tensordict import TensorDict
from torch import nn

from keywork.distributions import Categorical, IndependentNormal, NormalParamExtractor, TanhNormal
from keywork.modules import Actor, ProbabilisticActor
from keywork.nn import ExplorationType, TensorDictModule, set_exploration_type
from keywork.specs import Bounded


def normal_net(features: int = 3, actions: int = 2) -> TensorDictModule:
    net = nn.Sequential(nn.Linear(features, 2 * actions), NormalParamExtractor())
    return TensorDictModule(net, ["observation"], ["loc", "scale"])


def observations(batch: int = 5, features: int = 3) -> TensorDict:
    return TensorDict(observation=torch.randn(batch, features), batch_size=[batch])


class TestActor:
    def test_reads_observation_and_writes_action_by_default(self):
        actor = Actor(nn.Linear(3, 2))
        assert (actor.in_keys, actor.out_keys) == (["observation"], ["action"])

    def test_keeps_its_spec_and_takes_a_gymnasium_space_for_one(self):
        assert Actor(nn.Linear(3, 2), spec=Box(-2.0, 2.0, (2,))).spec == Bounded(-2.0, 2.0, (2,))
        assert Actor(nn.Linear(3, 2)).spec is None

    def test_has_all_its_probability_on_its_action(self):
        actor = Actor(nn.Linear(3, 2))
        td = actor(observations())
        assert torch.equal(actor.get_dist(td).mode, td["action"])


class TestProbabilisticActor:
    def test_writes_parameters_action_and_log_prob_with_the_fields_shapes(self):
        actor = ProbabilisticActor(normal_net(), ["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True)
        td = actor(observations())
        assert actor.out_keys == ["loc", "scale", "action", "sample_log_prob"]
        assert td["action"].shape == (5, 2)
        assert td["sample_log_prob"].shape == (5,)

    def test_samples_unless_told_otherwise(self):
        actor = ProbabilisticActor(normal_net(), ["loc", "scale"], distribution_class=TanhNormal)
        td = observations()
        assert not torch.equal(actor(td.copy())["action"], actor(td.copy())["action"])
        for kind in (ExplorationType.MODE, ExplorationType.MEAN, ExplorationType.DETERMINISTIC):
            with set_exploration_type(kind):
                assert torch.equal(actor(td.copy())["action"], actor(td.copy())["action"])

    def test_takes_the_bounds_of_its_spec(self):
        spec = Bounded(-2.0, 6.0, (2,))
        actor = ProbabilisticActor(normal_net(), ["loc", "scale"], distribution_class=TanhNormal, spec=spec)
        params = TensorDict(loc=torch.full((4, 2), 50.0), scale=torch.ones(4, 2), batch_size=[4])
        # tanh(50) is 1 in float32: the deterministic action is the upper bound.
        assert actor[-1].get_dist(params).deterministic_sample.tolist() == [[6.0, 6.0]] * 4

    def test_bounds_that_are_given_prevail(self):
        actor = ProbabilisticActor(
            normal_net(),
            ["loc", "scale"],
            distribution_class=TanhNormal,
            distribution_kwargs={"low": -1.0, "high": 1.0},
            spec=Bounded(-2.0, 2.0, (2,)),
        )
        assert actor.distribution_kwargs == {"low": -1.0, "high": 1.0}

    def test_a_distribution_without_bounds_gets_none(self):
        actor = ProbabilisticActor(
            normal_net(), ["loc", "scale"], distribution_class=IndependentNormal, spec=Bounded(-2.0, 2.0, (2,))
        )
        assert actor.distribution_kwargs == {}

    def test_the_log_prob_is_that_of_the_stored_action(self):
        actor = ProbabilisticActor(normal_net(), ["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True)
        td = actor(observations())
        torch.testing.assert_close(actor.log_prob(td), td["sample_log_prob"], rtol=1e-3, atol=1e-3)

    def test_works_by_keyword_and_under_other_keys(self):
        net = TensorDictModule(nn.Linear(3, 4), [("left", "pixels")], [("left", "scores")])
        actor = ProbabilisticActor(
            net, {"logits": ("left", "scores")}, ("left", "move"), distribution_class=Categorical, return_log_prob=True
        )
        assert actor.out_keys == [("left", "scores"), ("left", "move"), ("left", "sample_log_prob")]
        scores, move, log_prob = actor(left_pixels=torch.zeros(6, 3))
        assert (scores.shape, move.shape, log_prob.shape) == ((6, 4), (6,), (6,))

    def test_a_generator_makes_draws_repeatable(self):
        def draw() -> torch.Tensor:
            generator = torch.Generator().manual_seed(7)
            actor = ProbabilisticActor(
                normal_net(), ["loc", "scale"], distribution_class=TanhNormal, generator=generator
            )
            return actor[-1](TensorDict(loc=torch.zeros(3, 2), scale=torch.ones(3, 2), batch_size=[3]))["action"]

        assert torch.equal(draw(), draw())

    def test_a_distribution_that_is_fed_nothing_is_refused(self):
        net = TensorDictModule(nn.Linear(3, 4), ["observation"], ["scores"])
        with pytest.raises(ValueError) as error:
            ProbabilisticActor(net, ["logits"], distribution_class=Categorical)
        assert str(error.value) == (
            "ProbabilisticActor cannot be built: 1 finding.\n"
            "1. the distribution reads 'logits', which the module does not write.\n"
            "   provided: the module writes 'scores'\n"
            "   name what the module writes: out_keys=['logits'], or in_keys={'argument': key}."
        )

    def test_a_parameter_may_come_from_outside(self):
        net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["loc"])
        actor = ProbabilisticActor(net, ["loc", "scale"], distribution_class=IndependentNormal)
        assert actor.in_keys == ["observation", "scale"]

    def test_an_unknown_option_is_refused(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'log_probs_key'"):
            ProbabilisticActor(normal_net(), ["loc", "scale"], distribution_class=TanhNormal, log_probs_key="x")
