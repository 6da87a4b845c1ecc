"""Memory: its size is right and said, and what does not fit is refused before it is allocated."""

from __future__ import annotations

import logging

import pytest
import torch
from tensordict import TensorDict

from keywork._errors import UsageError
from keywork.buffers import ReplayBuffer


def test_the_size_is_computed_and_said(caplog: pytest.LogCaptureFixture) -> None:
    buffer = ReplayBuffer(1000)
    with caplog.at_level(logging.INFO, "keywork"):
        buffer.extend(TensorDict({"x": torch.zeros(2, 5), "flag": torch.zeros(2, dtype=torch.bool)}, [2]))
    # 5 numbers of 4 bytes and 1 flag: 21 bytes, rounded up to 24.
    assert buffer.nbytes == 24_000
    assert caplog.messages == ["ReplayBuffer: 1,000 rows of 24 bytes, 24,000 bytes in all, on cpu."]


def test_too_much_is_refused_with_its_size_and_what_to_type() -> None:
    buffer = ReplayBuffer(10**12)
    with pytest.raises(UsageError) as caught:
        buffer.extend(TensorDict({"x": torch.zeros(2, 10)}, [2]))
    text = str(caught.value)
    assert "1,000,000,000,000 rows of 40 bytes, 40,000,000,000,000 bytes in all, on cpu" in text
    assert "bytes are free" in text
    assert "fix: capacity=" in text
    assert buffer.nbytes == 0


def test_a_buffer_can_be_extended_after_a_refusal() -> None:
    buffer = ReplayBuffer(10**9)
    with pytest.raises(UsageError, match="not enough memory"):
        buffer.extend(TensorDict({"x": torch.zeros(2, 10**6)}, [2]))
    buffer.capacity = 10
    buffer.extend(TensorDict({"x": torch.zeros(2, 3)}, [2]))
    assert len(buffer) == 2
