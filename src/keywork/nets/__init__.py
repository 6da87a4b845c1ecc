"""Plain networks, which know nothing of keys."""

from ._mlp import MLP, MLPConfig
from ._orthogonal import orthogonal_

__all__ = ["MLP", "MLPConfig", "orthogonal_"]
