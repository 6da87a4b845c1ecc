"""Normalisers after the networks that were to read what they write, word for word."""

from __future__ import annotations

import pytest
from torch import nn

from keywork._errors import ContractError
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.specs import Unbounded

SOURCE = {"observation": Unbounded(4)}


def halve():
    return TensorDictModule(lambda x: x / 2, ["observation"], ["observation"])


def policy():
    return TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])


def best():
    return TensorDictModule(lambda x: x.argmax(-1), ["logits"], ["action"])


def test_a_normaliser_after_the_policy():
    late = TensorDictSequential({"net": policy(), "normaliser": halve(), "best": best()})
    with GymEnv("CartPole-v1") as env, pytest.raises(ContractError) as caught:
        Flow(env, late)
    assert str(caught.value) == (
        "Flow cannot be built: 1 finding.\n"
        "1. net (policy) reads 'observation' before normaliser rewrites it: it acts on the raw entry, and the "
        "rewritten one is stored for it to learn from.\n"
        "   provided: normaliser reads and writes 'observation'\n"
        "   put normaliser before net."
    )
    with pytest.raises(ContractError, match="put normaliser before net"):
        Flow(SOURCE, late)


def test_right_pipelines_that_rewrite_what_they_read():
    net, loss = policy(), Part("loss", "loss", reads=("observation",), writes=("loss_value",))
    rules = TensorDictModule(lambda x: x > 0, ["observation"], ["mask"])
    weighed = TensorDictModule(lambda x, mask: (x * mask)[..., 0].long(), ["observation", "mask"], ["action"])
    with GymEnv("CartPole-v1") as env:
        assert Flow(env, halve(), net, best()).findings == ()
        # a mask of the raw observation, and a network of another sort, beside what reads the rewritten one
        assert Flow(env, rules, halve(), weighed).findings == ()
        # stored images are cropped at random before they are learnt from
        assert Flow(env, net, best(), Part("buffer", "buffer"), halve(), loss).findings == ()
        assert Flow(env, net, best(), halve(), loss).findings == ()
    assert Flow(net, halve(), loss).findings == ()
    # blocks that refine what they read are none of this
    blocks = [TensorDictModule(nn.Linear(4, 4), ["observation"], ["observation"]) for _ in range(3)]
    assert Flow(SOURCE, *blocks).findings == ()
