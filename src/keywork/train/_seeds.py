"""One seed, from which every source of randomness of a run has its own by name."""

from __future__ import annotations

import zlib

import numpy as np


def child_seed(seed: int, name: str) -> int:
    """The seed of one named part of a run, below 2**63: the same for the same seed and name, unrelated to all others.

    >>> child_seed(0, "env") == child_seed(0, "env"), child_seed(0, "env") == child_seed(0, "policy")
    (True, False)
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)
