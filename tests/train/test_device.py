from __future__ import annotations

import pytest
import torch

from keywork._errors import UsageError
from keywork.train._device import device_of

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0


def test_the_cpu_is_always_there():
    assert device_of("cpu") == torch.device("cpu")


def test_auto_is_the_first_gpu_and_the_cpu_without_one():
    assert device_of("auto") == torch.device("cuda:0" if GPUS else "cpu")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (f"cuda:{GPUS}", "it is not here"),
        ("gpu", "that is no device"),
        ("", "that is no device"),
        ("cuda:-1", "that is no device"),
        ("meta", "that is no device"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(name, what):
    with pytest.raises(UsageError) as raised:
        device_of(name)
    first, where, expected, got, fix = str(raised.value).split("\n")
    assert first == f"Nothing can be computed on {name!r}: {what}."
    assert where == "  where: --device"
    assert expected == "  expected: auto, cpu, cuda, or cuda:N for the GPU of number N"
    assert got.startswith("  got: cpu")
    assert ("where torch finds no GPU" in got) == (GPUS == 0)
    assert fix == "  fix: --device auto, which takes a GPU where there is one"
