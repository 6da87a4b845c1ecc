"""What an actor says to arguments that cannot be."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, MissingKeyError
from keywork.distributions import Categorical, CompositeDistribution, TanhNormal, TruncatedNormal
from keywork.modules import ProbabilisticActor, ValueOperator
from keywork.nn import ProbabilisticTensorDictModule, TensorDictModule
from keywork.objectives import ClipPPOLoss
from keywork.specs import Bounded


def choice(**options) -> ProbabilisticActor:
    net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], **{"distribution_class": Categorical, **options})


def normal(in_keys=("loc", "scale"), made_by=TanhNormal, **options) -> ProbabilisticActor:
    net = TensorDictModule(lambda x: (x, x.exp()), ["observation"], ["loc", "scale"])
    keys = in_keys if isinstance(in_keys, dict) else list(in_keys)
    return ProbabilisticActor(net, keys, distribution_class=made_by, **options)


def said(make, *args, **options) -> list[str]:
    with pytest.raises(ContractError) as error:
        make(*args, **options)
    return [str(finding) for finding in error.value.findings]


FIX = "pass the class, whose parameters the network computes: distribution_class=Categorical."


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("Categorical", "distribution_class is the name 'Categorical', not the class of it."),
        (
            Categorical(logits=torch.zeros(2)),
            "distribution_class is a Categorical with parameters of its own, not the class.",
        ),
        (5, "distribution_class is int, no class: nothing can be built of it."),
    ],
)
def test_a_distribution_that_is_no_class(given, problem):
    assert said(choice, distribution_class=given) == [f"{problem}\n{FIX}"]


def test_an_unknown_keyword_is_one_of_the_actors_own():
    with pytest.raises(TypeError) as error:
        choice(return_logprob=True)
    assert str(error.value) == (
        "ProbabilisticActor.__init__() got an unexpected keyword argument 'return_logprob'; "
        "did you mean 'return_log_prob'?"
    )
    with pytest.raises(TypeError, match=r"^ProbabilisticTensorDictModule.*'num_sample'; did you mean 'num_samples'\?$"):
        ProbabilisticTensorDictModule(["logits"], ["action"], distribution_class=Categorical, num_sample=2)


def test_a_further_argument_that_is_nearly_one_is_renamed_and_another_dropped():
    assert said(choice, distribution_kwargs={"validate": True})[0].endswith(
        "\ndid you mean 'validate_args'? Rename it."
    )
    assert said(choice, distribution_kwargs={"xyz": True})[0].endswith("\ndrop it from distribution_kwargs.")


@pytest.mark.parametrize("part", [lambda actor: actor, lambda actor: actor[-1]], ids=["actor", "head"])
def test_the_score_of_an_absent_action(part):
    held = TensorDict(observation=torch.zeros(1, 4), logits=torch.zeros(1, 2), batch_size=[1])
    with pytest.raises(MissingKeyError) as error:
        part(choice()).log_prob(held)
    assert "reads 'action', which the TensorDict does not hold.\n" in str(error.value)
    assert str(error.value).endswith(
        "Store the entry under 'action', or let another be read: renamed({'action': ...})."
    )


@pytest.mark.parametrize("made_by", [TanhNormal, TruncatedNormal])
@pytest.mark.parametrize("bounds", [(1.0, -1.0), (1, 1), (torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))])
def test_bounds_with_nothing_between_them_are_refused_before_a_call(made_by, bounds):
    low, high = bounds
    assert said(normal, made_by=made_by, distribution_kwargs={"low": low, "high": high}) == [
        f"{made_by.__name__} draws between low and high, and low is not below high.\n"
        f"provided: low={low}, high={high}\n"
        "swap or mend them in distribution_kwargs: {'low': -1.0, 'high': 1.0}."
    ]


def test_what_is_missing_is_told_from_what_the_spec_has_filled_in():
    (finding,) = said(normal, ["loc"], spec=Bounded(-1.0, 1.0, (2,)))
    assert "\nprovided: in_keys brings 'loc'\n" in finding


def test_a_dict_of_distributions_is_spoken_of_as_it_was_given():
    parts = {"steer": TanhNormal, "gear": Categorical}
    assert said(normal, made_by=parts, distribution_kwargs={"stear": {"low": 0.0}})[0] == (
        "distribution_kwargs names 'stear', which distribution_class does not.\n"
        "provided: distribution_class names 'steer', 'gear'\n"
        "did you mean 'steer'? name an action of distribution_class, or leave this one out."
    )
    findings = said(normal, {"steer": ["loc"], "gear": {"logits": "scale"}}, parts)
    assert findings[0].endswith(
        "add a key for 'scale' to in_keys, or pass {'scale': ...} among the further arguments of 'steer'."
    )
    assert said(normal, made_by={})[0].startswith("distribution_class is empty.\n")
    assert said(normal, made_by={"a": TanhNormal, ("a", "b"): TanhNormal})[0].endswith(
        "give each action a key of its own in distribution_class."
    )


def test_a_composite_distribution_without_a_map():
    assert said(normal, made_by=CompositeDistribution, distribution_kwargs={"name_map": {}}) == [
        "CompositeDistribution has to know the actions, and there is no distribution_map.\n"
        "provided: distribution_kwargs names 'name_map'\n"
        "name each action: distribution_class={'steer': TanhNormal, 'gear': Categorical}."
    ]


def test_a_key_of_log_probabilities_that_are_not_written_names_what_a_loss_asks_for():
    actor = choice(log_prob_key="score")
    assert actor.out_keys == ["logits", "action"]
    assert said(ClipPPOLoss, actor, ValueOperator(nn.Linear(4, 1))) == [
        "it reads 'score', which its actor (ProbabilisticActor) does not write.\n"
        "provided: it writes 'logits', 'action'\n"
        "pass return_log_prob=True to it."
    ]
