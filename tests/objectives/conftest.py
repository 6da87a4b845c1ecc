from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _compiled_by_no_test_before():
    # All losses compile the one `run` of their base, and torch gives up on a function after a few versions of it.
    torch.compiler.reset()
