"""Keywork modules inside genuine ones of tensordict.nn: no more than that library is needed."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import InteractionType, ProbabilisticTensorDictSequential, set_interaction_type
from tensordict.nn import TensorDictModule as TheirModule
from torch import nn

from keywork._errors import MissingKeyError
from keywork.interop._head import HeadStep
from keywork.interop._steps import TensorDictStep, TensorStep
from keywork.modules import AdditiveGaussianModule, IndependentNormal, WrapModule, gSDEModule
from keywork.nn import ProbabilisticTensorDictModule, TensorDictModule


def genuine(module):
    return TheirModule(TensorStep(module), in_keys=module.in_keys, out_keys=module.out_keys)


class TestTensorStep:
    def test_it_computes_the_same_with_the_same_parameters(self):
        module = TensorDictModule(nn.Linear(3, 2), ["x"], ["y"])
        td = TensorDict(x=torch.randn(4, 3), batch_size=[4])
        assert torch.equal(genuine(module)(td.clone())["y"], module(td.clone())["y"])
        assert next(genuine(module).parameters()) is module.module.weight

    def test_a_missing_key_is_named(self):
        module = TensorDictModule(lambda x, y: x, ["x", "y"], ["z"])
        with pytest.raises(MissingKeyError, match="it reads 'y', which the TensorDict does not hold") as caught:
            genuine(module)(TensorDict(x=torch.zeros(2)))
        assert "'x', of what it reads" in str(caught.value)

    def test_their_exploration_type_holds(self):
        noise = genuine(AdditiveGaussianModule(safe=False))
        td = TensorDict(action=torch.zeros(4, 1), batch_size=[4])
        with set_interaction_type(InteractionType.MODE):
            assert not noise(td.clone())["action"].any()
        with set_interaction_type(InteractionType.RANDOM):
            assert noise(td.clone())["action"].all()

    def test_the_rest_of_the_module_is_there_too(self):
        noise = genuine(AdditiveGaussianModule(sigma_init=1.0, sigma_end=0.0, annealing_num_steps=4))
        noise.step(1)
        assert noise.sigma.item() == 0.75
        with pytest.raises(AttributeError, match="no_such"):
            _ = noise.no_such


class TestTensorDictStep:
    def step(self):
        return TensorDictStep(WrapModule(lambda td: td.set("y", td["x"] + 1), in_keys=["x"], out_keys=["y"]))

    def test_on_a_tensordict_and_on_tensors(self):
        td = TensorDict(x=torch.zeros(2))
        assert self.step()(td) is td
        assert td["y"].tolist() == [1.0, 1.0]
        assert self.step()(x=torch.zeros(2)).tolist() == [1.0, 1.0]

    def test_into_another_tensordict(self):
        td, out = TensorDict(x=torch.zeros(2)), TensorDict()
        assert self.step()(td, tensordict_out=out) is out
        assert (set(td.keys()), set(out.keys())) == ({"x"}, {"y"})

    def test_a_new_tensordict_is_stored_in_the_one_that_was_given(self):
        step = TensorDictStep(
            WrapModule(lambda td: TensorDict(y=td["x"] + 1, z=td["x"]), in_keys=["x"], out_keys=["y"])
        )
        td = TensorDict(x=torch.zeros(2))
        assert step(td) is td
        assert set(td.keys()) == {"x", "y"}


class TestHeadStep:
    def head(self, **options):
        return ProbabilisticTensorDictModule(
            ["loc", "scale"], ["action"], distribution_class=IndependentNormal, return_log_prob=True, **options
        )

    def params(self):
        return TensorDict(loc=torch.randn(4, 2), scale=torch.ones(4, 2), batch_size=[4])

    def test_it_draws_and_scores_as_ours(self):
        head, td = self.head(), self.params()
        theirs = HeadStep(head)
        torch.manual_seed(1)
        ours = head(td.clone())
        torch.manual_seed(1)
        assert (theirs(td.clone()) == ours).all()
        assert torch.equal(theirs.log_prob(ours), ours["sample_log_prob"])
        assert torch.equal(theirs.build_dist_from_params(td).loc, td["loc"])
        assert (theirs.in_keys, theirs.out_keys) == (head.in_keys, head.out_keys)
        assert theirs.log_prob_key == "sample_log_prob"

    def test_what_an_earlier_step_has_drawn_is_scored(self):
        given = TheirModule(lambda loc: loc + 1.0, in_keys=["loc"], out_keys=["action"])
        td = ProbabilisticTensorDictSequential(given, HeadStep(self.head()))(self.params())
        assert torch.equal(td["action"], td["loc"] + 1.0)
        # two dimensions, each one standard deviation away: -(1/2 + log(2 pi)/2) * 2 = -1 - 1.8379
        assert torch.allclose(td["sample_log_prob"], torch.tensor(-2.8379), atol=1e-4)

    def test_a_head_that_writes_more_than_its_sample(self):
        module = gSDEModule(2, 3, return_log_prob=True)
        theirs = HeadStep(module)
        assert theirs.out_keys == module.out_keys
        assert theirs.dist_sample_keys == ["action"]
        assert theirs.dist_params_keys == ["loc", "scale"]
        td = TensorDict(loc=torch.zeros(4, 2), observation=torch.randn(4, 3), batch_size=[4])
        td["_gsde_action_noise"], td["is_init"] = torch.zeros(4, 2, 3), torch.ones(4, 1, dtype=torch.bool)
        td = theirs(td)
        assert torch.allclose(theirs.log_prob(td), td["sample_log_prob"])
