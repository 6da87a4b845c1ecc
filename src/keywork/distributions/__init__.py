"""Distributions over actions: torch distributions that are cheap to build, exact, and never without an answer.

What each exploration type takes from them: RANDOM a draw (``rsample`` where ``has_rsample``, else ``sample``), MODE
``mode``, MEAN ``mean``, DETERMINISTIC ``deterministic_sample``. All but the first are free of noise and inside the
support.

=======================  =======================  =======================  =====================================
distribution             MODE                     MEAN                     DETERMINISTIC
=======================  =======================  =======================  =====================================
IndependentNormal        loc                      loc                      loc
TanhNormal               highest density          expectation              centre + half · tanh(loc), the median
TruncatedNormal          loc within the bounds    expectation              expectation
Categorical              likeliest index          likeliest index          likeliest index
OneHotCategorical        likeliest, one-hot       likeliest, one-hot       likeliest, one-hot
MaskedCategorical        likeliest allowed index  likeliest allowed index  likeliest allowed index
MaskedOneHotCategorical  the same, one-hot        the same, one-hot        the same, one-hot
MultiCategorical         likeliest of each        likeliest of each        likeliest of each
Bernoulli                where p > 1/2            where p > 1/2            where p > 1/2
Ordinal                  likeliest index          likeliest index          likeliest index
OneHotOrdinal            likeliest, one-hot       likeliest, one-hot       likeliest, one-hot
Delta                    param                    param                    param
TanhDelta                as DETERMINISTIC         as DETERMINISTIC         centre + half · tanh(param)
CompositeDistribution    that of each part        that of each part        that of each part
=======================  =======================  =======================  =====================================
"""

from . import _kl as _kl
from ._actions import actions_of, arguments_of, is_several
from ._arguments import check_arguments
from ._bernoulli import Bernoulli
from ._categorical import Categorical
from ._composite import CompositeDistribution
from ._delta import Delta
from ._draw import draw, score
from ._forms import form_of_samples
from ._independent_normal import IndependentNormal
from ._masked_categorical import MaskedCategorical
from ._masked_one_hot_categorical import MaskedOneHotCategorical
from ._multi_categorical import MultiCategorical
from ._normal_param_extractor import NormalParamExtractor
from ._one_hot_categorical import OneHotCategorical
from ._one_hot_ordinal import OneHotOrdinal
from ._ordinal import Ordinal
from ._plan import DrawOptions, plan_of
from ._plan_keys import owner_of
from ._state_independent_scale import AddStateIndependentNormalScale
from ._tanh_delta import TanhDelta
from ._tanh_normal import TanhNormal
from ._truncated_normal import TruncatedNormal

__all__ = [
    "AddStateIndependentNormalScale",
    "Bernoulli",
    "Categorical",
    "CompositeDistribution",
    "Delta",
    "DrawOptions",
    "IndependentNormal",
    "MaskedCategorical",
    "MaskedOneHotCategorical",
    "MultiCategorical",
    "NormalParamExtractor",
    "OneHotCategorical",
    "OneHotOrdinal",
    "Ordinal",
    "TanhDelta",
    "TanhNormal",
    "TruncatedNormal",
    "actions_of",
    "arguments_of",
    "check_arguments",
    "draw",
    "form_of_samples",
    "is_several",
    "owner_of",
    "plan_of",
    "score",
]
