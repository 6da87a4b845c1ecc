"""What all tests share: one thread a process, nothing of the user's terminal, seeds that no order changes."""

from __future__ import annotations

import os

# Before torch starts, and for the processes that tests start: the suite runs one process a core.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MPLBACKEND="Agg")
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS"):
    os.environ.pop(name, None)

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)

# A busy machine is no finding, and CI tries the same examples each time.
settings.register_profile("keywork", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("keywork")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
