"""One seed, and from it one for every purpose and environment."""

from __future__ import annotations

import numpy as np

ENV, ACTION_SPACE = 0, 1  # the branches of the tree


def child_seed(seed: int, branch: int, index: int) -> int:
    """The seed of one environment, of 31 bits: the same whatever else is seeded, and unlike every other's.

    >>> child_seed(7, ENV, 0) == child_seed(7, ENV, 0), child_seed(7, ENV, 0) == child_seed(7, ENV, 1)
    (True, False)
    """
    return int(np.random.SeedSequence(seed, spawn_key=(branch, index)).generate_state(1)[0]) >> 1


def fresh_seed() -> int:
    """A seed of 31 bits from the operating system, small enough to be typed."""
    return int(np.random.SeedSequence().generate_state(1)[0]) >> 1
