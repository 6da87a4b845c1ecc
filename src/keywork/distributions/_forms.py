"""In which form a distribution gives its samples, as far as that is known before there is one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import distributions

from ._bernoulli import Bernoulli
from ._independent_normal import IndependentNormal
from ._index_choice import IndexChoice
from ._multi_categorical import MultiCategorical
from ._one_hot_choice import OneHotChoice
from ._tanh_delta import TanhDelta
from ._tanh_normal import TanhNormal
from ._truncated_normal import TruncatedNormal

_FORMS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("an index", (IndexChoice, distributions.Categorical)),
    ("a one-hot vector", (OneHotChoice, distributions.OneHotCategorical)),
    ("several indices", (MultiCategorical,)),
    ("zeros and ones", (Bernoulli,)),
    ("numbers", (IndependentNormal, TanhNormal, TruncatedNormal, TanhDelta, distributions.Normal)),
)


def form_of_samples(maker: Callable[..., Any]) -> str | None:
    """What one sample is, in words; None of a function, or of a distribution that is not known here.

    >>> form_of_samples(OneHotChoice), form_of_samples(lambda loc: None)
    ('a one-hot vector', None)
    """
    kind = maker.func if isinstance(maker, partial) else maker
    if not isinstance(kind, type):
        return None
    return next((form for form, kinds in _FORMS if issubclass(kind, kinds)), None)
