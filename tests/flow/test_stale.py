"""Log-probabilities of actions that somebody changes afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import ContractError
from keywork.distributions import Categorical, IndependentNormal
from keywork.envs import GymEnv
from keywork.flow import Flow, Part, stale_log_probs
from keywork.modules import (
    AdditiveGaussianModule,
    EGreedyModule,
    EnsembleModule,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    TanhModule,
    gSDEModule,
)
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictSequential
from keywork.specs import Unbounded


def actor(action="action", **options):
    net = TensorDictModule(lambda x: (x[..., :1], x[..., :1].exp()), ["observation"], ["loc", "scale"])
    options = {"distribution_class": IndependentNormal, "return_log_prob": True, **options}
    return ProbabilisticActor(net, ["loc", "scale"], action, **options)


def kinds(*parts):
    return [finding.kind for finding in stale_log_probs(*parts)]


STALE = ["stale-log-prob"]
LOSS = Part("ClipPPOLoss", "loss", reads=("observation", "action", "sample_log_prob"), writes=("loss_objective",))


def test_the_finding_names_the_actor_the_noise_the_key_its_readers_and_what_to_do():
    with GymEnv("Pendulum-v1") as env, pytest.raises(ContractError) as caught:
        Flow(env, TensorDictSequential(actor(), AdditiveGaussianModule()), LOSS)
    assert str(caught.value) == (
        "Flow cannot be built: 1 finding.\n"
        "1. AdditiveGaussianModule (exploration) changes 'action' after IndependentNormal (policy) has scored it: "
        "'sample_log_prob' is stored for an action that is not taken.\n"
        "   provided: 'sample_log_prob' (written by IndependentNormal, read by ClipPPOLoss)\n"
        "   let the distribution explore (a larger scale, or gSDEModule(..., return_log_prob=True) as the last step, "
        "which scores what it draws), or store no log-probability: return_log_prob=False."
    )


@pytest.mark.parametrize(
    "noise",
    [
        AdditiveGaussianModule(),
        OrnsteinUhlenbeckProcessModule(),
        EGreedyModule(),
        TanhModule(["action"]),
        TensorDictModule(torch.neg, ["action"], ["action"]),
    ],
    ids=lambda noise: type(noise).__name__,
)
def test_whatever_changes_the_action_makes_it_stale(noise):
    assert kinds(TensorDictSequential(actor(), noise)) == STALE
    assert kinds(actor(), noise) == STALE
    assert kinds(TensorDictSequential(actor(), TensorDictSequential(noise))) == STALE
    assert kinds(TensorDictSequential(actor(return_log_prob=False), noise)) == []


def test_whether_anybody_reads_it_or_not_for_it_is_stored():
    (finding,) = stale_log_probs(TensorDictSequential(actor(), AdditiveGaussianModule()))
    assert finding.provided == "'sample_log_prob' (written by IndependentNormal, read by no one)"


def test_noise_that_scores_what_it_draws_is_no_finding():
    net = TensorDictModule(nn.Linear(3, 1), ["observation"], ["loc"])
    policy = ProbabilisticTensorDictSequential(net, gSDEModule(1, 3, return_log_prob=True))
    assert kinds(policy) == []
    assert kinds(TensorDictSequential(policy, AdditiveGaussianModule())) == STALE
    with GymEnv("Pendulum-v1", clip_actions=True) as env:
        assert Flow(env, policy, LOSS).findings == ()


def test_scored_anew_it_is_true_again():
    rescore = TensorDictModule(
        lambda loc, action: -(action - loc).abs().sum(-1), ["loc", "action"], ["sample_log_prob"]
    )
    assert kinds(actor(), AdditiveGaussianModule(), rescore) == []
    assert kinds(actor(), AdditiveGaussianModule(), rescore, AdditiveGaussianModule()) == STALE


def test_noise_under_another_key_changes_nothing():
    noise = TensorDictModule(torch.neg, ["action"], ["noisy_action"])
    assert kinds(actor(), noise) == []
    assert kinds(actor(("left", "action")), AdditiveGaussianModule(action_key=("right", "action"))) == []
    assert kinds(actor(("left", "action")), AdditiveGaussianModule(action_key=("left", "action"))) == STALE


def test_one_log_probability_of_another_name():
    assert kinds(actor(log_prob_key="lp"), AdditiveGaussianModule()) == STALE
    assert kinds(actor("move", log_prob_key="lp"), AdditiveGaussianModule(action_key="move")) == STALE


def test_what_is_not_stored_is_no_finding():
    noisy = TensorDictSequential(actor(), AdditiveGaussianModule())
    assert kinds(noisy.select_out_keys("action")) == []
    assert kinds(TensorDictSequential(actor().select_out_keys("action"), AdditiveGaussianModule())) == []
    # What is left out is not the log-probability: the sequential is one part, and still what it stores is not true.
    stale = TensorDictSequential(actor(), AdditiveGaussianModule()).select_out_keys("action", "sample_log_prob")
    assert [str(finding).partition(" after")[0] for finding in stale_log_probs(stale)] == [
        "AdditiveGaussianModule changes 'action'"
    ]


def test_a_buffer_hands_the_entries_on_as_they_are():
    buffer = Part("buffer", "buffer", reads=("action",), writes=("action",))
    assert kinds({"observation": Unbounded(3)}, actor(), buffer) == []
    assert kinds({"observation": Unbounded(3)}, actor(), Part("noise", writes=("action",))) == STALE


def test_parts_that_say_nothing_of_themselves_are_known_by_the_usual_names():
    members = EnsembleModule(actor(), num_copies=1, parameter_init_function=lambda module: None)
    assert kinds(members, AdditiveGaussianModule()) == STALE
    assert kinds(Part("actor", writes=("action", "sample_log_prob")), Part("noise", writes=("action",))) == STALE


def test_a_policy_over_indices():
    net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    policy = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    assert kinds(TensorDictSequential(policy, EGreedyModule())) == STALE
    assert kinds(policy) == []


@pytest.mark.parametrize("joint", [False, True])
def test_of_several_actions_the_log_probability_of_the_one_that_is_changed(joint):
    net = TensorDictModule(
        lambda x: (x, x.exp(), x),
        ["observation"],
        [("p", "drive", "loc"), ("p", "drive", "scale"), ("p", "gear", "logits")],
    )
    policy = ProbabilisticActor(
        net,
        ["p"],
        distribution_class={"drive": IndependentNormal, "gear": Categorical},
        return_log_prob=True,
        **({"log_prob_key": "sample_log_prob"} if joint else {}),
    )
    (finding,) = stale_log_probs(policy, AdditiveGaussianModule(action_key="drive"))
    key = "sample_log_prob" if joint else "drive_log_prob"
    assert finding.problem == (
        "AdditiveGaussianModule (policy) changes 'drive' after CompositeDistribution (policy) has scored it: "
        f"{key!r} is stored for an action that is not taken."
    )
    if not joint:
        kept = policy.select_out_keys("drive", "gear", "gear_log_prob")
        assert kinds(kept, AdditiveGaussianModule(action_key="drive")) == []
        assert kinds(kept, EGreedyModule(action_key="gear")) == STALE
