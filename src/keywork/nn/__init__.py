"""The heart: contracts, and modules over named entries."""

from keywork._modes import ExplorationType, exploration_type, recurrent_mode, set_exploration_type, set_recurrent_mode

from ._base import TensorDictModuleBase
from ._contract import Contract
from ._module import TensorDictModule
from ._probabilistic import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential
from ._sequential import TensorDictSequential

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
