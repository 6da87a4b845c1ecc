"""Whose carried states are, word for word."""

from __future__ import annotations

import pytest

from keywork._errors import ContractError
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.modules import GRUModule
from keywork.nn import TensorDictModule


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
