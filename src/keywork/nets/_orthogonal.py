"""Orthogonal initial weights."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from keywork._errors import SpecError

_Module = TypeVar("_Module", bound=nn.Module)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def orthogonal_(module: _Module, gain: float = math.sqrt(2.0), last_gain: float = 1.0) -> _Module:
    """W = gain · Q with orthonormal rows or columns Q, and b = 0, in every linear and convolutional layer.

    (Saxe et al., Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural Networks, 2014. A small
    ``last_gain``, such as 0.01, makes a policy start out near uniform: Andrychowicz et al., What Matters in On-Policy
    Reinforcement Learning, 2021.)

    A lazy layer gets its weights when it gets its size; a state that is loaded before then is kept.

    Args:
        module: any module; it is changed in place.
        gain: of every layer but the last.
        last_gain: of the last layer, in the order of ``module.modules()``.

    Returns:
        The module itself.

    Raises:
        SpecError: the module has no such layer.

    >>> weight = orthogonal_(nn.Linear(4, 2), last_gain=0.5).weight
    >>> torch.allclose(weight @ weight.T, 0.25 * torch.eye(2), atol=1e-6)
    True
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _LAYERS)]
    if not layers:
        raise SpecError(
            f"orthogonal_ cannot initialise a {type(module).__name__}: it has no linear or convolutional layer. Pass "
            "the network itself."
        )
    for layer in layers:
        layer_gain = last_gain if layer is layers[-1] else gain
        if isinstance(layer, LazyModuleMixin) and layer.has_uninitialized_params():
            _initialise_when_sized(layer, layer_gain)
        else:
            _initialise(layer, layer_gain)
    return module


@torch.no_grad()
def _initialise(layer: Any, gain: float) -> None:
    weight = layer.weight
    # The decomposition does not exist in half precision.
    exact = weight if weight.dtype in (torch.float32, torch.float64) else torch.empty_like(weight, dtype=torch.float32)
    weight.copy_(nn.init.orthogonal_(exact, gain))
    if layer.bias is not None:
        layer.bias.zero_()


def _initialise_when_sized(layer: nn.Module, gain: float) -> None:
    handles: list[Any] = []
    # In front of the layer's own hook, which makes it an ordinary layer and leaves no trace of having been empty.
    handles.append(layer.register_forward_pre_hook(partial(_size_and_initialise, handles, gain), prepend=True))


def _size_and_initialise(handles: list[Any], gain: float, layer: Any, inputs: tuple[Any, ...]) -> None:
    if layer.has_uninitialized_params():
        layer.initialize_parameters(*inputs)
        _initialise(layer, gain)
    handles[0].remove()
