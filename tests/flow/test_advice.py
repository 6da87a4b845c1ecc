"""What to type where an entry is read that nobody writes, by its name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import ContractError
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.modules import GRUModule, ValueOperator
from keywork.nn import TensorDictModule
from keywork.objectives import GAE
from keywork.specs import Binary, Unbounded

SOURCE = {"observation": Unbounded(4)}
CASES = {
    "action": ("no-action", "add the policy that writes it before, such as Actor(net)"),
    "advantage": ("no-advantage", "add the estimator that writes it before: GAE(gamma, lmbda, critic)"),
    "value_target": ("no-target", "add the estimator that writes it before: GAE(gamma, lmbda, critic)"),
    "state_value": ("no-value", "add the critic that writes it before: ValueOperator(net)"),
    "state_action_value": (
        "no-value",
        "add the critic that writes it before: ValueOperator(net, in_keys=['observation', 'action'])",
    ),
    "sample_log_prob": ("no-log-prob", "let the actor write it: ProbabilisticActor(..., return_log_prob=True)"),
    ("target", "value"): ("no-target", "add the target network, or the estimator, that writes it before"),
    "unheard of": ("missing-key", "add the part that writes it before"),
    ("next", "observation"): (
        "no-next",
        "nobody computes 'observation' of the step after: let what reads it begin with the step that writes "
        "'observation', such as TensorDictSequential(encoder, critic)",
    ),
}


@pytest.mark.parametrize("key", CASES)
def test_each_well_known_entry_has_advice_of_its_own(key):
    with pytest.raises(ContractError) as caught:
        Flow(SOURCE, Part("Loss", "loss", reads=(key,)))
    kind, fix = CASES[key]
    assert caught.value.findings[0].kind == kind
    assert str(caught.value) == (
        "Flow cannot be built: 1 finding.\n"
        f"1. Loss (loss) reads {key!r}, which nothing before it writes.\n"
        "   provided: 'observation'\n"
        f"   {fix}, or correct the keys of Loss."
    )


def test_a_memory_without_the_flag():
    memory = GRUModule(4, 8, in_key="observation", out_key="features")
    with pytest.raises(ContractError) as caught:
        Flow(SOURCE, memory)
    assert str(caught.value) == (
        "Flow cannot be built: 1 finding.\n"
        "1. GRUModule (policy) reads 'is_init', which nothing before it writes.\n"
        "   provided: 'observation'\n"
        "   begin with the environment, which shows it, or say that it comes from outside: Flow({..., 'is_init': "
        "Binary(1, dtype=torch.bool)}, ...), or correct the keys of GRUModule."
    )
    assert Flow({**SOURCE, "is_init": Binary(1, dtype=torch.bool)}, memory).findings == ()


def test_an_estimator_whose_critic_begins_in_the_middle_or_reads_the_action():
    encoder = TensorDictModule(nn.Linear(4, 8), ["observation"], ["hidden"])
    best = TensorDictModule(lambda x: x.argmax(-1), ["hidden"], ["action"])
    head = ValueOperator(nn.Linear(8, 1), ["hidden"])
    judge = ValueOperator(nn.Bilinear(4, 1, 1), ["observation", "action"], ["state_value"])
    with GymEnv("CartPole-v1") as env:
        for critic, said in ((head, "nobody computes 'hidden' of the step after"), (judge, "nobody knows the action")):
            with pytest.raises(ContractError) as caught:
                Flow(env, encoder, best, GAE(0.9, 0.9, critic))
            assert "no-next" in [finding.kind for finding in caught.value.findings]
            assert said in str(caught.value)


def test_a_misspelt_reward_is_answered_with_the_right_one():
    with GymEnv("CartPole-v1") as env, pytest.raises(ContractError) as caught:
        Flow(env, Part("GAE", "estimator", reads=(("next", "rewards"), ("next", "finished"))))
    assert "did you mean ('next', 'reward')? Rename one of the two." in str(caught.value)
    assert [finding.kind for finding in caught.value.findings] == ["missing-key", "missing-key"]
