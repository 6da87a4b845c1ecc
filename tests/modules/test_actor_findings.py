"""What is wrong with a policy is said when it is built, with what to type instead."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from keywork._errors import ContractError
from keywork.modules import (
    Bernoulli,
    Categorical,
    IndependentNormal,
    MaskedCategorical,
    MultiCategorical,
    OneHotCategorical,
    ProbabilisticActor,
    TanhNormal,
    TruncatedNormal,
)
from keywork.nn import TensorDictModule
from keywork.specs import Bounded, Composite, MultiBinary, MultiDiscrete, OneHot, Unbounded
from keywork.specs import Categorical as CategoricalSpec

LOGITS = TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"])
NORMAL = TensorDictModule(lambda x: (x, x.exp()), ["observation"], ["loc", "scale"])


def refused(*args, **kwargs):
    with pytest.raises(ContractError) as error:
        ProbabilisticActor(*args, **kwargs)
    return str(error.value)


class TestSpecs:
    def test_a_choice_of_numbers(self):
        box = Bounded(-1.0, 1.0, (3,))
        for safe in (False, True):
            assert refused(LOGITS, ["logits"], distribution_class=Categorical, spec=box, safe=safe) == (
                "ProbabilisticActor cannot be built: 1 finding.\n"
                "1. Categorical draws an index, and an action of the spec of 'action' is numbers.\n"
                "   provided: spec=Bounded(low=-1.0, high=1.0, shape=(3,), dtype=torch.float32)\n"
                "   distribution_class=TanhNormal for such a spec, or the spec of such a distribution."
            )

    @pytest.mark.parametrize(
        ("distribution", "spec", "drawn", "wanted", "usual"),
        [
            (OneHotCategorical, CategoricalSpec(4), "a one-hot vector", "an index", "Categorical"),
            (Categorical, OneHot(4), "an index", "a one-hot vector", "OneHotCategorical"),
            (partial(Categorical), OneHot(4), "an index", "a one-hot vector", "OneHotCategorical"),
            (torch.distributions.Categorical, OneHot(4), "an index", "a one-hot vector", "OneHotCategorical"),
            (Bernoulli, MultiDiscrete([2, 2]), "zeros and ones", "several indices", "MultiCategorical"),
            (Categorical, MultiBinary(4), "an index", "zeros and ones", "Bernoulli"),
            (Categorical, Unbounded((4,)), "an index", "numbers", "IndependentNormal"),
        ],
    )
    def test_forms_that_differ(self, distribution, spec, drawn, wanted, usual):
        text = refused(LOGITS, ["logits"], distribution_class=distribution, spec=spec)
        assert f" draws {drawn}, and an action of the spec of 'action' is {wanted}." in text
        assert f"distribution_class={usual} for such a spec" in text

    @pytest.mark.parametrize(
        ("distribution", "spec", "more"),
        [
            (Categorical, CategoricalSpec(4), {}),
            (Categorical, CategoricalSpec(4, (3,)), {}),  # of three agents, with a log-probability each
            (MultiCategorical, CategoricalSpec(2, (2,)), {"nvec": [2, 2]}),
            (MultiCategorical, MultiDiscrete([2, 2]), {"nvec": [2, 2]}),
            (Bernoulli, MultiBinary(4), {}),
            (lambda logits: Categorical(logits), OneHot(4), {}),  # nobody knows what a function returns
        ],
    )
    def test_forms_that_agree(self, distribution, spec, more):
        actor = ProbabilisticActor(
            LOGITS, ["logits"], distribution_class=distribution, distribution_kwargs=more, spec=spec
        )
        assert actor.spec is spec

    @pytest.mark.parametrize("distribution", [TanhNormal, TruncatedNormal])
    def test_bounds_that_nobody_gives(self, distribution):
        keys = ["loc", "scale"]
        assert refused(NORMAL, keys, distribution_class=distribution, spec=Unbounded((3,))) == (
            "ProbabilisticActor cannot be built: 1 finding.\n"
            f"1. {distribution.__name__} draws between two bounds, and the spec of 'action' does not have both.\n"
            "   provided: spec=Unbounded(shape=(3,), dtype=torch.float32)\n"
            "   IndependentNormal for an action without bounds, or say them: "
            "{'low': -1.0, 'high': 1.0} in distribution_kwargs."
        )
        assert "does not have both" in refused(
            NORMAL, keys, distribution_class=distribution, spec=Bounded(0.0, torch.inf, (3,))
        )
        bounds = {"low": -1.0, "high": 1.0}
        given = ProbabilisticActor(
            NORMAL, keys, distribution_class=distribution, distribution_kwargs=bounds, spec=Unbounded((3,))
        )
        assert given.dist_of(torch.zeros(2, 3)).high == 1.0

    def test_more_dimensions_than_an_action_has(self):
        """Log-probabilities would be summed over the batch."""
        keys, spec = ["loc", "scale"], Unbounded(())
        assert refused(NORMAL, keys, distribution_class=IndependentNormal, spec=spec) == (
            "ProbabilisticActor cannot be built: 1 finding.\n"
            "1. IndependentNormal takes 1 dimension(s) as one action, and one of 'action' has 0.\n"
            "   provided: spec=Unbounded(shape=(), dtype=torch.float32)\n"
            "   event_dim=0 among the distribution's further arguments."
        )
        scalar = ProbabilisticActor(
            NORMAL, keys, distribution_class=IndependentNormal, distribution_kwargs={"event_dim": 0}, spec=spec
        )
        assert scalar.dist_of(torch.zeros(5)).batch_shape == (5,)
        # Of several agents, with a log-probability each, there are more dimensions in the spec.
        ProbabilisticActor(NORMAL, keys, distribution_class=TanhNormal, spec=Bounded(-1.0, 1.0, (2, 3)))

    def test_each_of_several_actions(self):
        text = refused(
            [LOGITS, NORMAL],
            {"gear": ["logits"], "steer": ["loc", "scale"]},
            distribution_class={"gear": Categorical, "steer": TanhNormal},
            spec=Composite({"gear": OneHot(4), "steer": Unbounded((3,))}),
        )
        assert text == (
            "ProbabilisticActor cannot be built: 2 findings.\n"
            "1. Categorical draws an index, and an action of the spec of 'gear' is a one-hot vector.\n"
            "   provided: spec=OneHot(n=4, dtype=torch.int64)\n"
            "   distribution_class=OneHotCategorical for such a spec, or the spec of such a distribution.\n"
            "2. TanhNormal draws between two bounds, and the spec of 'steer' does not have both.\n"
            "   provided: spec=Unbounded(shape=(3,), dtype=torch.float32)\n"
            "   IndependentNormal for an action without bounds, or say them: "
            "{'low': -1.0, 'high': 1.0} among the further arguments of 'steer'."
        )


class TestNetworks:
    ACTIONS = {"steer": TanhNormal, "gear": Categorical}

    def test_one_of_several_actions_that_is_fed_nothing(self):
        keys = {"steer": ["loc", "scale"], "gear": ["logits"]}
        assert refused(NORMAL, keys, distribution_class=self.ACTIONS) == (
            "ProbabilisticActor cannot be built: 1 finding.\n"
            "1. the distribution of 'gear' reads 'logits', which the module does not write.\n"
            "   provided: the module writes 'loc', 'scale'\n"
            "   name what the module writes: out_keys=['logits'], or in_keys={'argument': key}."
        )
        # A mask comes from outside, and so may a scale.
        masked = {"steer": ["loc", "scale"], "gear": ["logits", "mask"]}
        distributions = {"steer": TanhNormal, "gear": MaskedCategorical}
        loc = TensorDictModule(nn.Linear(3, 2), ["observation"], ["loc"])
        actor = ProbabilisticActor([LOGITS, loc], masked, distribution_class=distributions)
        assert actor.in_keys == ["observation", "scale", "mask"]

    def test_parameters_inside_of_their_action(self):
        """``external`` would be no help: a policy takes none."""
        net = TensorDictModule(lambda x: (x, x.exp()), ["observation"], [("steer", "loc"), ("steer", "scale")])
        text = refused(net, [("steer", "loc"), ("steer", "scale")], distribution_class={"steer": TanhNormal})
        assert text == (
            "ProbabilisticActor cannot be built: 2 findings.\n"
            "1. step 1 (ProbabilisticTensorDictModule) writes 'steer', and step 0 (<lambda>) writes ('steer', 'loc') "
            "inside it.\n"
            "   provided: 'steer'\n"
            "   an action is no group of entries: write its parameters elsewhere, such as ('params', 'steer', 'loc').\n"
            "2. step 1 (ProbabilisticTensorDictModule) writes 'steer', and step 0 (<lambda>) writes ('steer', 'scale') "
            "inside it.\n"
            "   provided: 'steer'\n"
            "   an action is no group of entries: write its parameters elsewhere, such as ('params', 'steer', 'loc')."
        )

    def test_no_advice_that_a_policy_does_not_take(self):
        one = TensorDictModule(nn.Linear(3, 3), ["observation"], ["hiden"])
        two = TensorDictModule(nn.Linear(3, 4), ["hidden"], ["logits"])
        text = refused([one, two], ["logits"], distribution_class=Categorical)
        assert text.endswith("did you mean 'hiden'? Rename one of the two.")

    def test_a_misspelt_parameter(self):
        net = TensorDictModule(nn.Linear(3, 4), ["observation"], ["logit"])
        assert refused(net, ["logit"], distribution_class=Categorical) == (
            "ProbabilisticActor cannot be built: 1 finding.\n"
            "1. Categorical has no parameter 'logit'.\n"
            "   provided: Categorical(logits, probs, validate_args)\n"
            "   did you mean 'logits'? name its key otherwise with in_keys={'logits': 'logit'}."
        )
        assert ProbabilisticActor(net, {"logits": "logit"}, distribution_class=Categorical).in_keys == ["observation"]
