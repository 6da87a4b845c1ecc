"""The plain networks of the built-in algorithms: what fits an environment's specs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keywork._errors import UsageError
from keywork._keys import LOC, LOGITS, SCALE
from keywork.distributions import AddStateIndependentNormalScale, Categorical, IndependentNormal
from keywork.envs import GymEnv
from keywork.modules import ProbabilisticActor, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule
from keywork.specs import Bounded, Spec
from keywork.specs import Categorical as CategoricalSpec


class Features(nn.Module):
    """Observations of any specs as one vector: numbers flattened, indices one-hot, one after the other.

    Args:
        specs: what each observation holds.

    >>> from keywork.specs import Unbounded
    >>> Features([Unbounded((2,)), CategoricalSpec(3)])(torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64)).shape
    torch.Size([5, 5])
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        super().__init__()
        self.specs = tuple(specs)

    @property
    def size(self) -> int:
        """The length of the vector."""
        return sum(s.n * s.shape.numel() if isinstance(s, CategoricalSpec) else s.shape.numel() for s in self.specs)

    def forward(self, *observations: Tensor) -> Tensor:
        """Of ``[*B, *shape]`` each, ``[*B, size]``."""
        parts = [_flat(spec, value) for spec, value in zip(self.specs, observations, strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def _flat(spec: Spec, value: Tensor) -> Tensor:
    dims = len(spec.shape)
    if isinstance(spec, CategoricalSpec):
        value, dims = F.one_hot(value, spec.n), dims + 1
    value = value if value.is_floating_point() else value.float()
    return value if dims == 1 else value.flatten(-dims) if dims else value.unsqueeze(-1)


class Chain(nn.Sequential):
    """One part after the other, of which the first may take several tensors."""

    def forward(self, *inputs: Tensor) -> Any:
        """Of the first part's inputs, the last one's output."""
        first, *others = self
        value = first(*inputs)
        for part in others:
            value = part(value)
        return value


def network(env: GymEnv, out_features: int, num_cells: Sequence[int], last_gain: float) -> nn.Module:
    """A tanh network on an environment's observations, with orthogonal weights."""
    specs = [spec for _, spec in env.observation_spec.items()]
    features = Features(specs)
    mlp = MLP(features.size, out_features, num_cells=list(num_cells), init="orthogonal", last_gain=last_gain)
    plain = len(specs) == 1 and len(specs[0].shape) == 1 and specs[0].dtype.is_floating_point
    return mlp if plain else Chain(features, mlp)


def stochastic_actor(env: GymEnv, num_cells: Sequence[int]) -> ProbabilisticActor:
    """A policy for an environment: categorical for indices, normal with a learned spread for numbers.

    Raises:
        UsageError: there is no policy for such actions yet.
    """
    spec: Any = env.action_spec
    keys = list(env.observation_spec)
    if isinstance(spec, CategoricalSpec) and not spec.shape:
        net: Any = network(env, spec.n, num_cells, last_gain=0.01)
        module = TensorDictModule(net, keys, [LOGITS])
        return ProbabilisticActor(
            module, [LOGITS], env.action_key, distribution_class=Categorical, spec=spec, return_log_prob=True
        )
    if isinstance(spec, Bounded) and len(spec.shape) == 1 and spec.dtype.is_floating_point:
        net = Chain(network(env, spec.shape[0], num_cells, last_gain=0.01), AddStateIndependentNormalScale(spec.shape))
        module = TensorDictModule(net, keys, [LOC, SCALE])
        return ProbabilisticActor(
            module, [LOC, SCALE], env.action_key, distribution_class=IndependentNormal, spec=spec, return_log_prob=True
        )
    raise UsageError(
        f"There is no policy for the actions of {env.name!r} yet: they are {type(spec).__name__} {list(spec.shape)} "
        f"{spec.domain}. There are policies for one index (Discrete) and for a vector of numbers (Box)."
    )


def state_critic(env: GymEnv, num_cells: Sequence[int]) -> ValueOperator:
    """A critic of an environment's states."""
    return ValueOperator(network(env, 1, num_cells, last_gain=1.0), list(env.observation_spec))
