"""What a collector refuses before the first step, beyond missing keys."""

import logging

import pytest
import torch
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import IndependentNormal
from keywork.envs import GymEnv
from keywork.modules import AdditiveGaussianModule, GRUModule, ProbabilisticActor, gSDEModule
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictSequential


def noisy(**options):
    net = TensorDictModule(lambda x: (x[..., :1], torch.ones_like(x[..., :1])), ["observation"], ["loc", "scale"])
    actor = ProbabilisticActor(net, ["loc", "scale"], distribution_class=IndependentNormal, **options)
    return TensorDictSequential(actor, AdditiveGaussianModule())


def test_noise_after_an_actor_whose_log_probability_goes_into_the_batch_is_refused():
    with GymEnv("Pendulum-v1") as env, pytest.raises(ValueError) as error:
        Collector(env, noisy(return_log_prob=True), frames_per_batch=4)
    assert str(error.value) == (
        "Collector cannot be built: 1 finding.\n"
        "1. AdditiveGaussianModule (exploration) changes 'action' after IndependentNormal (policy) has scored it: "
        "'sample_log_prob' is stored for an action that is not taken.\n"
        "   provided: 'sample_log_prob' (written by IndependentNormal, read by no one)\n"
        "   let the distribution explore (a larger scale, or gSDEModule(..., return_log_prob=True) as the last step, "
        "which scores what it draws), or store no log-probability: return_log_prob=False."
    )


@pytest.mark.parametrize("kind", ["deterministic", "mode", "mean"])
def test_without_exploration_the_noise_is_off_and_the_log_probability_true(kind):
    policy = noisy(return_log_prob=True)
    with GymEnv("Pendulum-v1", num_envs=2, clip_actions=True) as env:
        batch = Collector(env, policy, frames_per_batch=8, exploration_type=kind).collect()
    torch.testing.assert_close(policy[0].log_prob(batch), batch["sample_log_prob"])


def test_what_draws_outside_of_the_bounds_may_act_without_drawing():
    net = TensorDictModule(lambda x: (x[..., :1], torch.ones_like(x[..., :1])), ["observation"], ["loc", "scale"])
    actor = ProbabilisticActor(net, ["loc", "scale"], distribution_class=IndependentNormal)
    with GymEnv("Pendulum-v1") as env:
        assert Collector(env, actor, frames_per_batch=4, exploration_type="mode").collect()["action"].abs().max() <= 1.0
        with pytest.raises(ValueError, match="it takes \\[-2, 2\\], and gets real"):
            Collector(env, actor, frames_per_batch=4)


def test_noise_that_is_in_the_distribution_or_unscored_is_collected():
    net = TensorDictModule(nn.Linear(3, 1), ["observation"], ["loc"])
    policy = ProbabilisticTensorDictSequential(net, gSDEModule(1, 3, return_log_prob=True))
    with GymEnv("Pendulum-v1", num_envs=2, clip_actions=True) as env:
        batch = Collector(env, policy, frames_per_batch=8).collect()
        torch.testing.assert_close(policy.log_prob(batch), batch["sample_log_prob"])
        assert "sample_log_prob" not in Collector(env, noisy(), frames_per_batch=8).collect()


def forgetful():
    memory = GRUModule(4, 8, in_key="observation", out_key="features")
    best = TensorDictModule(lambda x: x[..., :2].argmax(-1), ["features"], ["action"])
    return TensorDictSequential(memory, best).select_out_keys("action")


def test_a_selection_that_drops_the_next_state_is_refused_with_what_to_keep():
    with GymEnv("CartPole-v1") as env, pytest.raises(ValueError) as error:
        Collector(env, forgetful(), frames_per_batch=4)
    assert str(error.value) == (
        "Collector cannot be built: 1 finding.\n"
        "1. the policy (TensorDictSequential) reads 'recurrent_state', which the environment 'CartPole-v1' does not "
        "show. Its selected out_keys drop ('next', 'recurrent_state'), which would become that.\n"
        "   provided: CartPole-v1 shows 'observation', 'done', 'terminated', 'truncated', 'is_init'\n"
        "   Keep it: select_out_keys(..., ('next', 'recurrent_state'))."
    )


def test_what_the_flow_of_both_finds_is_refused_here_too():
    late = TensorDictSequential(
        {
            "net": TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"]),
            "normaliser": TensorDictModule(lambda x: x / 2, ["observation"], ["observation"]),
            "best": TensorDictModule(lambda x: x.argmax(-1), ["logits"], ["action"]),
        }
    )
    with GymEnv("CartPole-v1") as env, pytest.raises(ValueError, match="put normaliser before net") as error:
        Collector(env, late, frames_per_batch=4)
    assert [finding.kind for finding in error.value.findings] == ["late-normaliser"]


def test_check_false_builds_all_the_same_with_a_word_in_the_log(caplog):
    with GymEnv("Pendulum-v1", clip_actions=True) as env, caplog.at_level(logging.WARNING, "keywork"):
        batch = Collector(env, noisy(return_log_prob=True), frames_per_batch=4, check=False).collect()
    assert batch.batch_size == (1, 4)
    assert [record.getMessage() for record in caplog.records] == [
        "Collector(check=False): Pendulum-v1 and its policy are not checked."
    ]


def test_an_environment_and_a_policy_that_are_swapped():
    with GymEnv("Pendulum-v1") as env, pytest.raises(ValueError) as error:
        Collector(noisy(), env, frames_per_batch=4)
    assert str(error.value) == (
        "A collector cannot act in TensorDictSequential. The two are swapped: Collector(env, policy)."
    )
