from __future__ import annotations

import torch

from keywork.train._compile import changing


def test_what_changes_is_a_tensor_only_for_what_is_compiled():
    assert changing(0.25, compile=False) == 0.25
    assert torch.equal(changing(0.25, compile=True), torch.tensor(0.25))
