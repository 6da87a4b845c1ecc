from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="session")
def rows_of_experience() -> Callable[[int, int, int], Rows]:
    """reward_t, v_t, v_tp1, terminated_t, done_t [rows, length, 1]; v_tp1 is v_t shifted, but for cuts and the end."""

    def build(rows: int, length: int, seed: int) -> Rows:
        g = torch.Generator().manual_seed(seed)
        shape = (rows, length, 1)
        terminated = torch.rand(shape, generator=g) < 0.15
        done = terminated | (torch.rand(shape, generator=g) < 0.15)
        reward, v_t, final = (torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(3))
        v_tp1 = torch.where(done, final, torch.cat([v_t[:, 1:], final[:, -1:]], 1))
        return reward, v_t, v_tp1, terminated, done

    return build
