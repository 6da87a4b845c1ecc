from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

# The chi-square distribution's 99.9th percentiles, by degrees of freedom.
CRITICAL = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32, 8: 26.12, 9: 27.88}


@pytest.fixture
def chi_square() -> Callable[[Tensor, Sequence[float]], float]:
    """Σ (seen − expected)² / expected of indices, over its 99.9th percentile: above 1 they are not so distributed."""

    def statistic(indices: Tensor, probabilities: Sequence[float]) -> float:
        expected = torch.tensor(probabilities, dtype=torch.float64)
        assert abs(expected.sum().item() - 1.0) < 1e-9
        seen = torch.bincount(indices.flatten().long(), minlength=len(expected)).double()
        assert len(seen) == len(expected)
        assert not seen[expected == 0].any()
        possible = expected > 0
        expected = expected[possible] * indices.numel()
        value = ((seen[possible] - expected) ** 2 / expected).sum().item()
        return value / CRITICAL[int(possible.sum()) - 1]

    return statistic
