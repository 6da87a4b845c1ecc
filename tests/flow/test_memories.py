"""Whose carried states are, word for word."""

from __future__ import annotations

import pytest
from torch import nn

from keywork._errors import ContractError
from keywork.buffers import (
    PrioritizedSampler,
    RandomSampler,
    ReplayBuffer,
    Sampler,
    SamplerWithoutReplacement,
    SliceSampler,
)
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.modules import FrameStack, GRUModule, QValueActor
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import DQNLoss
from keywork.specs import Categorical, Unbounded
from keywork.train import DQN, SAC, DQNConfig, SACConfig


def gru(out_key, state="recurrent_state"):
    return GRUModule(4, 8, in_keys=["observation", state], out_key=out_key)


def refusal(*parts):
    with pytest.raises(ContractError) as caught:
        Flow(*parts)
    return str(caught.value)


def test_two_memories_under_one_key():
    with GymEnv("CartPole-v1") as env:
        message = refusal(env, gru("a"), gru("action"))
    assert (
        "GRUModule (policy) and GRUModule 2 (policy) both carry 'recurrent_state' from step to step: two memories "
        "would have one state, that of the second.\n"
        "   give one of them another key, such as 'recurrent_state_2' in its in_keys; or use one module in both "
        "places, if they are to remember the same."
    ) in message
    assert "double" not in message


def test_memories_of_their_own_and_one_memory_twice_are_right():
    memory = gru("a")
    assert Flow(memory, gru("b", "other")).findings == ()
    assert Flow(memory, memory).findings == ()


def test_a_state_that_nobody_hands_on():
    state = Part("GRU", "policy", reads=("observation", "h"), writes=("action",), carries=("h",))
    with GymEnv("CartPole-v1") as env:
        message = refusal(env, state)
    assert message == (
        "Flow cannot be built: 1 finding.\n"
        "1. GRU (policy) carries 'h' from step to step, and nobody writes ('next', 'h'): the step after would have "
        "none.\n"
        "   write it, out_keys=[..., ('next', 'h')], or do not carry 'h'."
    )


def test_a_state_that_the_environment_shows_too():
    state = Part("GRU", "policy", ("observation",), ("action", ("next", "observation")), carries=("observation",))
    with GymEnv("CartPole-v1") as env:
        message = refusal(env, state)
    assert message == (
        "Flow cannot be built: 1 finding.\n"
        "1. GRU (policy) carries 'observation' from step to step, and the environment CartPole-v1 shows it.\n"
        "   give the state another key, such as 'observation_2' in its in_keys."
    )


def test_a_memory_in_both_directions_learns_and_does_not_act():
    both = GRUModule(4, 8, in_key="observation", out_key="judged", bidirectional=True)
    act = TensorDictModule(lambda x: x[..., :2].argmax(-1), ["observation"], ["action"])
    with GymEnv("CartPole-v1") as env:
        assert Flow(env, act, both).findings == ()
        assert Flow(env, both, act).findings == ()  # nothing that acts reads what it writes
        act_on_it = TensorDictModule(lambda x: x[..., :2].argmax(-1), ["judged"], ["action"])
        assert [finding.kind for finding in Flow(env, both, act_on_it, check=False).findings] == ["wrong-rank"]


def acting_by_values(memory):
    return QValueActor(
        TensorDictSequential(memory, TensorDictModule(nn.Linear(8, 2), ["features"], ["action_value"])),
        spec=Categorical(2),
    )


MEMORY = GRUModule(4, 8, in_key="observation", out_key="features")
STACK = FrameStack(2, Unbounded((4,)), "observation", "features", dim=0)  # 2 x 4 numbers, as wide as the memory


@pytest.mark.parametrize("memory", [MEMORY, STACK], ids=["GRUModule", "FrameStack"])
@pytest.mark.parametrize(
    "sampler", [RandomSampler(), SamplerWithoutReplacement(), PrioritizedSampler(alpha=0.6, beta=0.4)]
)
def test_a_memory_that_would_learn_from_single_steps(memory, sampler):
    policy = acting_by_values(memory)
    with GymEnv("CartPole-v1") as env:
        message = refusal(env, policy, ReplayBuffer(100, sampler=sampler), DQNLoss(policy))
    name = type(memory).__name__
    assert message == (
        "Flow cannot be built: 1 finding.\n"
        f"1. DQNLoss (loss) learns with a memory, {name}, which runs over steps that follow one another, [*B, T]; "
        "ReplayBuffer (buffer) draws each step alone, [B].\n"
        "   let the buffer draw slices: sampler=SliceSampler(16) of a ReplayBuffer, slices=True of a Part; or leave "
        f"{name} out of the networks."
    )


class Rows(Sampler):
    """A sampler of the user's own, which may draw rows or slices."""

    def draw(self, size, generator):
        raise NotImplementedError


class Windows(Rows):
    slice_len = 4


@pytest.mark.parametrize(
    "buffer",
    [
        ReplayBuffer(100, sampler=SliceSampler(4)),
        ReplayBuffer(100, sampler=Rows()),
        ReplayBuffer(100, sampler=Windows()),
        Part("buffer", "buffer"),
        Part("buffer", "buffer", slices=True),
    ],
)
def test_slices_and_what_nobody_knows_are_right(buffer):
    policy = acting_by_values(MEMORY)
    with GymEnv("CartPole-v1") as env:
        assert Flow(env, policy, buffer, DQNLoss(policy)).findings == ()


def test_a_part_may_say_that_it_draws_single_steps():
    policy = acting_by_values(MEMORY)
    with GymEnv("CartPole-v1") as env:
        flow = Flow(env, policy, Part("store", "buffer", slices=False), DQNLoss(policy), check=False)
    assert [finding.kind for finding in flow.findings] == ["single-steps"]


def test_a_memory_that_only_acts_is_right():
    plain = QValueActor(nn.Linear(4, 2), spec=Categorical(2))
    with GymEnv("CartPole-v1") as env:
        assert Flow(env, acting_by_values(MEMORY), ReplayBuffer(100), DQNLoss(plain)).findings == ()


def test_the_algorithms_of_the_library_are_right():
    with GymEnv("CartPole-v1") as env:
        for config in (DQNConfig(), DQNConfig(policy="gru"), DQNConfig(prioritized=True, noisy=True)):
            assert DQN(env, config).flow.findings == ()
    with GymEnv("Pendulum-v1") as env:
        for config in (SACConfig(), SACConfig(policy="lstm")):
            assert SAC(env, config).flow.findings == ()
