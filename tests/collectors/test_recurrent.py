"""Recurrent policies in a real environment."""

import pytest
import torch
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.modules import GRUModule, LSTMModule, ProbabilisticActor
from keywork.nn import TensorDictModule, TensorDictSequential, set_recurrent_mode
from keywork.train import evaluate

KINDS = pytest.mark.parametrize("kind", [GRUModule, LSTMModule])


def policy(kind, **keys):
    memory = kind(4, 8, num_layers=2, **(keys or {"in_key": "observation"}), out_key="features")
    head = TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    return ProbabilisticActor([memory, head], ["logits"], distribution_class=Categorical, return_log_prob=True)


@KINDS
def test_a_recurrent_actor_needs_nothing_but_to_be_given(kind):
    actor = policy(kind)
    with GymEnv("CartPole-v1", num_envs=3, seed=0) as env:
        collector = Collector(env, actor, frames_per_batch=300)
        first, second = collector.collect(), collector.collect()
    states = actor.contract.carries
    for batch in (first, second):
        assert batch["is_init"][:, 1:].any()
        for key in states:
            assert batch[key].shape == batch["next", key].shape == (3, 100, 2, 8)
            begins = batch["is_init"].squeeze(-1)
            assert not batch[key][begins].any()
            goes_on = ~begins[:, 1:]
            assert torch.equal(batch[key][:, 1:][goes_on], batch["next", key][:, :-1][goes_on])
    for key in states:
        over = first["next", "done"][:, -1, :, None]
        assert torch.equal(second[key][:, 0], torch.where(over, 0.0, first["next", key][:, -1]))


@KINDS
def test_a_batch_runs_again_as_sequences_with_the_same_result(kind):
    actor = policy(kind)
    with GymEnv("CartPole-v1", num_envs=3, seed=0) as env:
        collector = Collector(env, actor, frames_per_batch=300)
        collector.collect()
        batch = collector.collect()  # begins in the middle of episodes
    assert not batch["is_init"][:, 0].all()
    with set_recurrent_mode(True):
        torch.testing.assert_close(actor.log_prob(batch), batch["sample_log_prob"], rtol=0.0, atol=1e-5)
        again = actor(batch.copy())
    for key in ("features", "logits", *(("next", key) for key in actor.contract.carries)):
        torch.testing.assert_close(again[key], batch[key], rtol=0.0, atol=1e-5)


@KINDS
@pytest.mark.parametrize(("begin", "end"), [(0, 1), (3, 40), (17, 100), (99, 100)])
def test_so_does_any_slice_of_it(kind, begin, end):
    """As replay cuts them: a slice begins with the state that is stored at its first step, reset or not."""
    actor = policy(kind)
    with GymEnv("CartPole-v1", num_envs=3, seed=0) as env:
        piece = Collector(env, actor, frames_per_batch=300).collect()[:, begin:end]
    with set_recurrent_mode(True):
        torch.testing.assert_close(actor.log_prob(piece), piece["sample_log_prob"], rtol=0.0, atol=1e-5)


def test_a_flag_that_the_environment_does_not_show_is_refused():
    memory = GRUModule(4, 8, in_keys=["observation", "memory", ("flags", "first")], out_key="action")
    with GymEnv("CartPole-v1") as env, pytest.raises(ValueError) as error:
        Collector(env, memory, frames_per_batch=4)
    assert str(error.value) == (
        "Collector cannot be built: 1 finding.\n"
        "1. the policy (GRUModule (4 -> 8)) reads ('flags', 'first'), which the environment 'CartPole-v1' does not "
        "show.\n"
        "   provided: CartPole-v1 shows 'observation', 'done', 'terminated', 'truncated', 'is_init'\n"
        "   Read one of these: in_keys=[...]."
    )


def test_collecting_takes_steps_whatever_is_set_around_it():
    actor = policy(GRUModule)
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as env, set_recurrent_mode(True):
        batch = Collector(env, actor, frames_per_batch=20).collect()
    assert batch["recurrent_state"][:, 1].any()


def test_the_memory_reaches_the_action():
    """A policy that acts on nothing but its state does something else at the second step than at the first."""
    actor = policy(GRUModule)
    with torch.no_grad():
        actor[0].layers.weight_ih_l0.zero_()
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
        logits = Collector(env, actor, frames_per_batch=8).collect()["logits"]
    assert torch.equal(logits[0], logits[1])  # whatever is observed
    assert not torch.isclose(logits[0, 0], logits[0, 1]).any()


def test_keys_may_be_any():
    actor = policy(LSTMModule, in_keys=["observation", ("memory", "h"), ("memory", "c")])
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
        batch = Collector(env, actor, frames_per_batch=20).collect()
    assert batch["next", "memory", "h"].shape == (2, 10, 2, 8)


def test_is_evaluated_like_any_other_policy():
    with GymEnv("CartPole-v1", num_envs=2) as env:
        actor = policy(GRUModule)
        once, again = (evaluate(actor, env, episodes=4, seed=1) for _ in range(2))
    assert once == again


def test_two_memories_under_one_key_are_refused_where_they_meet():
    memories = [GRUModule(4, 8, in_key="observation", out_key=out) for out in ("left", "right")]
    with pytest.raises(ValueError, match=r"both write \('next', 'recurrent_state'\)"):
        TensorDictSequential(*memories)
