"""Free memory: a plausible number on this machine, None where nobody knows."""

from __future__ import annotations

import os

import torch

from keywork.buffers._memory import free_memory


def test_it_is_some_of_the_memory_that_there_is() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is None or 0 <= free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert free_memory(torch.device("meta")) is None
