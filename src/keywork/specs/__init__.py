"""What a key holds: shape without batch dimensions, dtype and domain."""

from keywork.specs._bounded import Bounded
from keywork.specs._categorical import Categorical
from keywork.specs._composite import Composite, SpecLike, as_spec, from_gymnasium
from keywork.specs._multi_binary import Binary, MultiBinary
from keywork.specs._multi_discrete import MultiDiscrete
from keywork.specs._one_hot import OneHot
from keywork.specs._spec import Spec
from keywork.specs._tensor_spec import TensorSpec
from keywork.specs._unbounded import Unbounded

__all__ = [
    "Binary",
    "Bounded",
    "Categorical",
    "Composite",
    "MultiBinary",
    "MultiDiscrete",
    "OneHot",
    "Spec",
    "SpecLike",
    "TensorSpec",
    "Unbounded",
    "as_spec",
    "from_gymnasium",
]
