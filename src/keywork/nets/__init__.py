"""Plain networks, which know nothing of keys."""

from ._chain import Chain
from ._convnet import ConvConfig, ConvNet
from ._copies import copies_of, copy_findings
from ._dueling import DuelingCNN, DuelingMLP
from ._mlp import MLP, MLPConfig
from ._orthogonal import orthogonal_
from ._twin import twin_of

__all__ = [
    "MLP",
    "Chain",
    "ConvConfig",
    "ConvNet",
    "DuelingCNN",
    "DuelingMLP",
    "MLPConfig",
    "copies_of",
    "copy_findings",
    "orthogonal_",
    "twin_of",
]
