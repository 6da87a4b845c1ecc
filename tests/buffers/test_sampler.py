"""Uniform draws."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from keywork._errors import UsageError
from keywork.buffers import RandomSampler, ReplayBuffer


def test_every_stored_row_is_equally_frequent_and_no_other_comes() -> None:
    buffer = ReplayBuffer(50, seed=0)
    buffer.extend(TensorDict(number=torch.arange(20), batch_size=[20]))
    observed = torch.bincount(buffer.sample(40_000)["number"]).double()
    assert observed.shape == (20,)
    # 19 degrees of freedom: 43.8 is exceeded once in 1,000 times; the seed is fixed.
    assert ((observed - 2000) ** 2 / 2000).sum() < 43.8


def test_a_sampler_without_a_buffer_says_so() -> None:
    with pytest.raises(UsageError, match="RandomSampler has no rows yet"):
        RandomSampler().draw(3, torch.Generator())
