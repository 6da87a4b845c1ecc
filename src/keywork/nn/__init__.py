"""The heart: contracts, and modules over named entries."""

from keywork.nn._base import TensorDictModuleBase
from keywork.nn._contract import Contract
from keywork.nn._exploration import ExplorationType, exploration_type, set_exploration_type
from keywork.nn._module import TensorDictModule
from keywork.nn._probabilistic import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential
from keywork.nn._recurrent_mode import recurrent_mode, set_recurrent_mode
from keywork.nn._sequential import TensorDictSequential

__all__ = [
    "Contract",
    "ExplorationType",
    "ProbabilisticTensorDictModule",
    "ProbabilisticTensorDictSequential",
    "TensorDictModule",
    "TensorDictModuleBase",
    "TensorDictSequential",
    "exploration_type",
    "recurrent_mode",
    "set_exploration_type",
    "set_recurrent_mode",
]
