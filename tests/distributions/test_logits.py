from __future__ import annotations

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import (
    Bernoulli,
    Categorical,
    MaskedCategorical,
    MultiCategorical,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
)


@pytest.mark.parametrize(
    ("kind", "name", "more"),
    [
        (Categorical, "logits", {}),
        (OneHotCategorical, "logits", {}),
        (MaskedCategorical, "logits", {"mask": torch.ones(3, dtype=torch.bool)}),
        (MultiCategorical, "logits", {"nvec": [1, 2]}),
        (Bernoulli, "logits", {}),
        (Ordinal, "scores", {}),
        (OneHotOrdinal, "scores", {}),
    ],
)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_scores_of_integers_are_refused(kind, name, more, dtype):
    with pytest.raises(SpecError) as error:
        kind(torch.zeros(5, 3, dtype=dtype), **more)
    owner = kind.__name__
    assert str(error.value) == (
        f"{owner} cannot be built: its {name} are no floating-point numbers.\n"
        f"  where: {name}\n"
        "  expected: unnormalised log-probabilities, of a floating type\n"
        f"  got: {str(dtype).removeprefix('torch.')}[5, 3]\n"
        f"  fix: {owner}({name}={name}.float()), if these are {name} and neither actions nor a mask"
    )


def test_counts_may_be_probabilities():
    assert Categorical(probs=torch.tensor([1, 3])).probs.tolist() == pytest.approx([0.25, 0.75])
