"""One builder for each distribution: what every one of them must do is tested over this list."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from keywork.distributions import (
    Categorical,
    Delta,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    TanhDelta,
    TanhNormal,
)


@dataclasses.dataclass(frozen=True)
class Case:
    """How to build a distribution of batch shape [5, 3] from tensors, and its event shape."""

    build: Callable[..., torch.distributions.Distribution]
    params: tuple[Tensor, ...]
    event: tuple[int, ...]

    def dist(self, dtype: torch.dtype = torch.float32, **options):
        return self.build(*[param.to(dtype) for param in self.params], **options)


def _normal_params() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    loc = torch.randn(5, 3, 2, generator=generator)
    return loc, torch.rand(5, 3, 2, generator=generator) + 0.1


def _logits() -> Tensor:
    return torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(2))


def _tanh(low, high):
    return lambda loc, scale, **options: TanhNormal(loc, scale, low, high, **options)


def _masked(kind, **allowed):
    return lambda logits, **options: kind(logits, **allowed, **options)


MASK = torch.tensor([[True, True, False, True], [False, True, True, False], [True, True, True, True]])
LOC, SCALE = _normal_params()
CASES = {
    "normal": Case(IndependentNormal, (LOC, SCALE), (2,)),
    "tanh": Case(TanhNormal, (LOC, SCALE), (2,)),
    "tanh-symmetric": Case(_tanh(-3, 3), (LOC, SCALE), (2,)),
    "tanh-numbers": Case(_tanh(0.0, 10.0), (LOC, SCALE), (2,)),
    "tanh-tensors": Case(_tanh(torch.tensor([-1.0, 2.0]), torch.tensor([0.5, 8.0])), (LOC, SCALE), (2,)),
    "categorical": Case(Categorical, (_logits(),), ()),
    "categorical-probs": Case(lambda p, **o: Categorical(probs=p, **o), (_logits().softmax(-1),), ()),
    "one-hot": Case(OneHotCategorical, (_logits(),), (4,)),
    "masked": Case(_masked(MaskedCategorical, mask=MASK), (_logits(),), ()),
    "masked-indices": Case(_masked(MaskedCategorical, indices=torch.tensor([3, 1])), (_logits(),), ()),
    "masked-one-hot": Case(_masked(MaskedOneHotCategorical, mask=MASK), (_logits(),), (4,)),
    "ordinal": Case(Ordinal, (_logits(),), ()),
    "one-hot-ordinal": Case(OneHotOrdinal, (_logits(),), (4,)),
    "delta": Case(Delta, (LOC,), (2,)),
    "tanh-delta": Case(lambda param, **options: TanhDelta(param, 0.0, 10.0, **options), (LOC,), (2,)),
}


@pytest.fixture(params=sorted(CASES))
def case(request) -> Case:
    return CASES[request.param]
