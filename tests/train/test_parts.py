from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import UsageError
from keywork.modules import ValueOperator
from keywork.train._parts import device_of_parts, means, on_device, require_settings


@dataclass(frozen=True)
class Config:
    step_size: float = 0.5
    margin: float = 0.0
    share: float = 1.0
    count: int = 3


def required(**settings):
    config = Config(**settings)
    require_settings(config, above_zero=["step_size", "count"], from_zero=["margin"], fractions=["share"])
    return config


def test_settings_that_can_be_are_taken():
    assert required() == Config()
    assert required(step_size=1e-9, margin=0.0, share=0.0).share == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step_size is 0.0: it has to be above 0, such as --step-size 0.5."),
        ({"step_size": float("nan")}, "step_size is nan: it has to be above 0, such as --step-size 0.5."),
        ({"margin": -1.0}, "margin is -1.0: it has to be 0 or above, such as --margin 0.0."),
        ({"margin": float("nan")}, "margin is nan: it has to be 0 or above, such as --margin 0.0."),
        ({"count": 1.5}, "count is 1.5: it has to be a whole number, such as --count 3."),
        ({"share": 1.5}, "share is 1.5: it has to be in [0, 1], such as --share 0.95."),
    ],
)
def test_others_are_refused_with_what_to_type(settings, message):
    with pytest.raises(UsageError) as raised:
        required(**settings)
    assert str(raised.value) == message


def test_means_are_those_of_each_column():
    rows = [[torch.tensor(1.0), torch.tensor(10.0)], [torch.tensor(4.0, requires_grad=True), torch.tensor(20.0)]]
    assert means(["a", "b"], rows) == {"a": 2.5, "b": 15.0}


def test_networks_go_where_they_are_told_and_otherwise_stay():
    first, second = ValueOperator(nn.Linear(2, 1)), ValueOperator(nn.Linear(2, 1))
    assert device_of_parts(first, second, device=None) == torch.device("cpu")
    assert device_of_parts(first, second, device="meta") == torch.device("meta")
    assert {p.device.type for module in (first, second) for p in module.parameters()} == {"meta"}
    assert device_of_parts(ValueOperator(lambda x: x), device="cpu") == torch.device("cpu")  # nothing to ask


def test_a_batch_goes_where_the_networks_are():
    batch = TensorDict(x=torch.zeros(2), batch_size=[2])
    assert on_device(batch, torch.device("cpu")) is batch
    assert on_device(batch, torch.device("meta"))["x"].device.type == "meta"
