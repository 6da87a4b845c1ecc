"""The multi-layer perceptron."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from keywork._errors import SpecError

from ._dense_layers import dense_layers, one_by_one
from ._reset import Init, Weights


@dataclass(frozen=True, kw_only=True, slots=True)
class MLPConfig:
    """The less common options of an :class:`MLP`.

    Attributes:
        activate_last_layer: follow the last layer with the norm and the activation too.
        norm_class: a normalisation ``norm_class(num_features)`` before each activation, such as ``nn.LayerNorm``; an
            orthogonal initialisation leaves it as it is.
        layer_class: the layers, ``layer_class(in_features, out_features, bias=...)``; others than ``nn.Linear`` need
            ``in_features``.
        bias: whether the layers before the last have a bias.
        bias_last_layer: whether the last one has.
        gain: with ``init="orthogonal"``, the gain of the layers before the last.
        device: where the parameters are.
        dtype: their type.
    """

    activate_last_layer: bool = False
    norm_class: Callable[[int], nn.Module] | None = None
    layer_class: Callable[..., nn.Module] = nn.Linear
    bias: bool = True
    bias_last_layer: bool = True
    gain: float = math.sqrt(2.0)
    device: torch.device | str | None = None
    dtype: torch.dtype | None = None


class MLP(nn.Sequential):
    """Linear layers with an activation after each but the last.

    The entries of its ``state_dict`` are those of the ``nn.Sequential`` of the same layers: ``0.weight``, ``2.weight``.

    Args:
        in_features: size of the last dimension of the input, of all inputs together; None finds it at the first call.
        out_features: size of the last dimension of the output; a tuple shapes the output ``[*B, *out_features]``, such
            as ``(51, 4)`` for the logits of 51 atoms of each of 4 actions.
        num_cells: size of each hidden layer, or of all of them; an empty list makes a single linear layer.
        depth: number of hidden layers, where ``num_cells`` is one number; 2 by default.
        activation_class: called without arguments for each activation.
        init: ``"torch"`` leaves the layers as their class initialises them; ``"orthogonal"`` is
            :func:`~keywork.nets.orthogonal_`.
        last_gain: with ``init="orthogonal"``, the gain of the last layer.
        config: the less common options.

    Raises:
        SpecError: sizes that are missing, contradict each other or are not positive.

    >>> q = MLP(3 + 1, 1, num_cells=[32, 32], activation_class=nn.ReLU)
    >>> q(torch.zeros(8, 3), torch.zeros(8, 1)).shape
    torch.Size([8, 1])
    """

    def __init__(
        self,
        in_features: int | None = None,
        out_features: int | Sequence[int] | None = None,
        *,
        num_cells: int | Sequence[int] = 64,
        depth: int | None = None,
        activation_class: Callable[[], nn.Module] = nn.Tanh,
        init: Init = "torch",
        last_gain: float = 1.0,
        config: MLPConfig | None = None,
    ) -> None:
        config = config or MLPConfig()
        shape = (out_features,) if isinstance(out_features, int) else tuple(out_features or ())
        hidden = _hidden_sizes(num_cells, depth)
        sizes = (in_features, *hidden, math.prod(shape))
        _check(out_features, shape, sizes, init)
        super().__init__(*_layers(sizes, activation_class, config))
        if not isinstance(out_features, int):
            self.append(nn.Unflatten(-1, shape))
        self.to(device=config.device, dtype=config.dtype)
        self._weights = Weights(init, config.gain, last_gain)
        self._weights.draw(self)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map ``[*B, in_features]`` to ``[*B, out_features]``; several inputs are joined along the last dimension."""
        x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, -1)
        layers = self._modules.values()
        if (y := dense_layers(x, layers)) is not None:
            return y
        return one_by_one(x, layers)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, in the way of construction: from the same ``init``, with the same gains."""
        self._weights.reset(self)

    def __getitem__(self, index: Any) -> Any:
        """One layer, or for a slice an ``nn.Sequential`` of some."""
        # The base would call this class's constructor with the layers.
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)


def _hidden_sizes(num_cells: int | Sequence[int], depth: int | None) -> tuple[int, ...]:
    if isinstance(num_cells, int):
        if depth is not None and depth < 0:
            raise SpecError(f"MLP cannot be built: depth={depth} hidden layers. Pass a number from 0 on.")
        return (num_cells,) * (2 if depth is None else depth)
    sizes = tuple(num_cells)
    if depth is not None and depth != len(sizes):
        raise SpecError(
            f"MLP cannot be built: depth={depth} contradicts num_cells={list(sizes)}, which are {len(sizes)} hidden "
            "layers. Leave depth out, or give num_cells as one number."
        )
    return sizes


def _check(
    out_features: int | Sequence[int] | None, shape: tuple[int, ...], sizes: tuple[int | None, ...], init: str
) -> None:
    if out_features is None or not shape:
        raise SpecError(
            f"MLP cannot be built: out_features={out_features!r} is no size. Pass the size of the output, such as "
            "out_features=2."
        )
    for size in sizes:
        if size is not None and (not isinstance(size, int) or size < 1):
            raise SpecError(
                f"MLP cannot be built: its layers would have the sizes {list(sizes)}, and each must be a positive "
                "whole number. Check in_features, num_cells and out_features."
            )
    if init not in ("torch", "orthogonal"):
        raise SpecError(f"MLP cannot be built: there is no init={init!r}. Pass init='torch' or init='orthogonal'.")


def _layers(
    sizes: tuple[int | None, ...], activation_class: Callable[[], nn.Module], config: MLPConfig
) -> Iterator[nn.Module]:
    count = len(sizes) - 1
    for index, (size_in, size_out) in enumerate(pairwise(sizes), 1):
        is_last = index == count
        bias = config.bias_last_layer if is_last else config.bias
        yield _layer(size_in, size_out or 0, bias, config)
        if not is_last or config.activate_last_layer:
            if config.norm_class is not None:
                yield config.norm_class(size_out or 0)
            yield activation_class()


def _layer(size_in: int | None, size_out: int, bias: bool, config: MLPConfig) -> nn.Module:
    if size_in is not None:
        return config.layer_class(size_in, size_out, bias=bias)
    if config.layer_class is not nn.Linear:
        name = getattr(config.layer_class, "__name__", repr(config.layer_class))
        raise SpecError(
            "MLP cannot be built: in_features is left out, and only nn.Linear finds its size at the first call, not "
            f"{name}. Pass in_features."
        )
    return nn.LazyLinear(size_out, bias=bias)
