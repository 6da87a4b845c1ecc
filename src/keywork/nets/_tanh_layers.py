"""Linear layers with a tanh after each, in CPU memory, as one step of autograd.

On a CPU torch's tanh takes six to twelve times as long as numpy's, more than the products of a small network around it.
In autograd's graph all layers together are one step, since a step for each tanh would cost most of the gain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook


def tanh_layers(x: Tensor, layers: Iterable[nn.Module]) -> Tensor | None:
    """h_k = tanh(W_k h_{k-1} + b_k), of which the last one may be without its tanh.

    None where the layers are others, hooked or patched; where somebody else than autograd follows the numbers
    (``torch.compile``, ``torch.func``, forward mode, tracing, autocast, another device); and for a gradient of a few
    rows. Run one after the other then.

    Args:
        x: ``[*B, in_features]``.
        layers: ``nn.Linear`` and ``nn.Tanh`` in turns.

    >>> layers = [nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)]
    >>> x = torch.ones(64, 2)
    >>> torch.allclose(tanh_layers(x, layers), nn.Sequential(*layers)(x))
    True
    """
    follows = torch.is_grad_enabled()
    if not _is_plain(x) or (follows and x.shape[:-1].numel() < _LEAST):
        return None
    parameters: list[Tensor] = []
    wanted: type[nn.Module] = nn.Linear
    tanhs = 0
    for layer in layers:
        held = layer.__dict__  # nn.Module finds what it holds as an attribute only after everything else
        if type(layer) is not wanted or held["_forward_pre_hooks"] or held["_forward_hooks"]:
            return None
        if held["_backward_pre_hooks"] or held["_backward_hooks"] or "forward" in held:
            return None
        if wanted is nn.Linear:
            own = held["_parameters"]
            if len(own) != 2 or "weight" in held or "bias" in held:  # TensorDict.to_module puts tensors in their place
                return None
            parameters += own.values()
            wanted = nn.Tanh
        else:
            tanhs, wanted = tanhs + 1, nn.Linear
    if not tanhs or not {*map(type, parameters)} <= _PLAIN:
        return None
    if not follows:
        return _values(tanhs, x, parameters)[-1]
    outcome: Tensor = _TanhLayers.apply(tanhs, x, *parameters)  # type: ignore[no-untyped-call]
    return outcome


def one_by_one(x: Tensor, layers: Iterable[nn.Module]) -> Tensor:
    """What the layers make of x, one after the other.

    Where they are compiled for a CPU, tanh x is 2 σ(2x) - 1 to 5e-7, which is faster than the compiler's own tanh.

    Args:
        x: what the first takes.
        layers: any.

    >>> one_by_one(torch.zeros(2, 3), [nn.Linear(3, 1), nn.Tanh()]).shape
    torch.Size([2, 1])
    """
    compiles = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
    quick = compiles and x.is_cpu and x.dtype is torch.float32
    for layer in layers:
        plain = type(layer) is nn.Tanh and not layer._forward_hooks and not layer._forward_pre_hooks
        x = 2.0 * torch.sigmoid(2.0 * x) - 1.0 if quick and plain else layer(x)
    return x


_LEAST = 64
"""For fewer rows a step of autograd in Python costs what it gains."""

_PLAIN = {Tensor, nn.Parameter}


def _is_plain(x: Tensor) -> bool:
    """Whether these are numbers in CPU memory that nobody but autograd follows."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in _PLAIN
        and x.is_cpu
        and x.dtype in (torch.float32, torch.float64)
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
        and not torch.is_autocast_enabled("cpu")
        and torch._C._get_tracing_state() is None
        and not torch._C._len_torch_dispatch_stack()
        and not _has_any_global_hook()  # type: ignore[no-untyped-call]
    )


def _values(tanhs: int, x: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """What goes into each layer, and what comes out of the last."""
    values = [x]
    for number, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        y = F.linear(values[-1], weight, bias)
        if number < tanhs:
            array = y.numpy()
            np.tanh(array, out=array)
        values.append(y)
    return values


def _differentiable(tanhs: int, x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    for number, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        x = F.linear(x, weight, bias)
        x = x.tanh() if number < tanhs else x
    return x


class _TanhLayers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tanhs: int, x: Tensor, *parameters: Tensor) -> Tensor:
        """Run the layers."""
        values = _values(tanhs, x, parameters)
        ctx.tanhs = tanhs
        ctx.save_for_backward(*values, *parameters)
        return values[-1]

    @staticmethod
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor | None, ...]:
        """Run them backwards."""
        tanhs, needed, saved = ctx.tanhs, ctx.needs_input_grad[1:], ctx.saved_tensors
        count = len(saved) // 3  # of layers: each has an output, a weight and a bias
        values, parameters = saved[: count + 1], saved[count + 1 :]
        if torch.is_grad_enabled():  # the gradient is to be differentiated as well
            inputs = [values[0], *parameters]
            asked = [tensor for tensor, is_needed in zip(inputs, needed, strict=True) if is_needed]
            y = _differentiable(tanhs, values[0], parameters)
            found = iter(torch.autograd.grad(y, asked, d_y, create_graph=True))
            return None, *[next(found) if is_needed else None for is_needed in needed]
        d, rows = d_y, values
        if d_y.ndim != 2:
            d, rows = d_y.reshape(-1, d_y.shape[-1]), [value.reshape(-1, value.shape[-1]) for value in values]
        gradients: list[Tensor | None] = []  # from the last one to the first
        for number in reversed(range(count)):
            if number < tanhs:
                d = torch.ops.aten.tanh_backward(d, rows[number + 1])
            gradients.append(d.sum(0) if needed[2 + 2 * number] else None)
            gradients.append(torch.mm(d.t(), rows[number]) if needed[1 + 2 * number] else None)
            if number or needed[0]:
                d = torch.mm(d, parameters[2 * number])
        return None, d.reshape(values[0].shape) if needed[0] else None, *reversed(gradients)
