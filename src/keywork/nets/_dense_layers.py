"""Linear layers with a tanh or a ReLU after each, in CPU memory, as one step of autograd.

On a CPU torch's tanh takes six to twelve times as long as numpy's, more than the products of a small network around it;
and what a layer learns from few inputs is a product of short rows, which takes longer than
the same product on its side. In autograd's graph all layers together are one step, since a step for each would
cost most of the gain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook

Activation: TypeAlias = type[nn.Tanh] | type[nn.ReLU]


def dense_layers(x: Tensor, layers: Iterable[nn.Module]) -> Tensor | None:
    """h_k = f(W_k h_{k-1} + b_k), where f is tanh or max(·, 0), of which the last one may be left out.

    None where the layers are others, hooked or patched; where somebody else than autograd follows the numbers
    (``torch.compile``, ``torch.func``, forward mode, tracing, autocast, another device); and for a gradient of a few
    rows. Run one after the other then.

    Args:
        x: ``[*B, in_features]``.
        layers: ``nn.Linear`` in turns with ``nn.Tanh``, or with ``nn.ReLU``.

    >>> layers = [nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)]
    >>> x = torch.ones(64, 2)
    >>> torch.allclose(dense_layers(x, layers), nn.Sequential(*layers)(x))
    True
    """
    follows = torch.is_grad_enabled()
    if not _is_plain(x) or (follows and x.shape[:-1].numel() < _LEAST):
        return None
    parameters: list[Tensor] = []
    activation: Any = None  # of the layers, as soon as one has come
    activated, linear_is_next = 0, True
    for layer in layers:
        held, kind = layer.__dict__, type(layer)  # nn.Module finds what it holds as an attribute after everything else
        if held["_forward_pre_hooks"] or held["_forward_hooks"] or "forward" in held:
            return None
        if held["_backward_pre_hooks"] or held["_backward_hooks"]:
            return None
        if linear_is_next and kind is nn.Linear:
            own = held["_parameters"]
            if len(own) != 2 or "weight" in held or "bias" in held:  # TensorDict.to_module puts tensors in their place
                return None
            parameters += own.values()
        elif not linear_is_next and (kind is activation or (activation is None and kind in _ACTIVATIONS)):
            activation, activated = kind, activated + 1
        else:
            return None
        linear_is_next = not linear_is_next
    if not activated or not {*map(type, parameters)} <= _PLAIN:
        return None
    if not follows:
        return _values(activation, activated, x, parameters)[-1]
    outcome: Tensor = _DenseLayers.apply(activation, activated, x, *parameters)  # type: ignore[no-untyped-call]
    return outcome


def one_by_one(x: Tensor, layers: Iterable[nn.Module]) -> Tensor:
    """What the layers make of x, one after the other.

    Where they are compiled for a CPU, tanh x is 2 σ(2x) - 1 to 5e-7, which is faster than the compiler's own tanh; and
    the weight of a layer with few inputs is laid on its side first, for then its gradient is computed so as well.

    Args:
        x: what the first takes.
        layers: any.

    >>> one_by_one(torch.zeros(2, 3), [nn.Linear(3, 1), nn.Tanh()]).shape
    torch.Size([2, 1])
    """
    compiles = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
    quick = compiles and x.is_cpu and x.dtype is torch.float32
    for layer in layers:
        is_plain = quick and not (layer._forward_hooks or layer._forward_pre_hooks or "forward" in layer.__dict__)
        if is_plain and type(layer) is nn.Tanh:
            x = 2.0 * torch.sigmoid(2.0 * x) - 1.0
        elif is_plain and type(layer) is nn.Linear and x.ndim == 2 and _has_few_inputs(*layer.weight.shape):
            weight = layer.weight.t().contiguous()
            x = torch.mm(x, weight) if layer.bias is None else torch.addmm(layer.bias, x, weight)
        else:
            x = layer(x)
    return x


_LEAST = 64
"""For fewer rows a step of autograd in Python costs what it gains."""

_PLAIN = {Tensor, nn.Parameter}
_ACTIVATIONS: tuple[Activation, ...] = (nn.Tanh, nn.ReLU)


def _has_few_inputs(out_features: int, in_features: int) -> bool:
    """Whether the gradient of a weight of this shape is computed in less time on its side, as ``[in, out]``."""
    return in_features < 32 and 2 * in_features <= out_features


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


def _values(activation: Activation, activated: int, x: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """What goes into each layer, and what comes out of the last."""
    values = [x]
    for number, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        y = F.linear(values[-1], weight, bias)
        if number < activated and activation is nn.Tanh:
            array = y.numpy()
            np.tanh(array, out=array)
        elif number < activated:
            y.relu_()
        values.append(y)
    return values


def _differentiable(activation: Activation, activated: int, x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    function = torch.tanh if activation is nn.Tanh else torch.relu
    for number, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        x = F.linear(x, weight, bias)
        x = function(x) if number < activated else x
    return x


def _before_activation(activation: Activation, d: Tensor, y: Tensor, *, is_own: bool) -> Tensor:
    """The gradient d of what came out of an activation, y, as that of what went in; in place of d if it is our own."""
    of_its_input = d if is_own else torch.empty_like(d)
    if activation is nn.Tanh:
        torch.ops.aten.tanh_backward.grad_input(d, y, grad_input=of_its_input)
    else:
        torch.ops.aten.threshold_backward.grad_input(d, y, 0.0, grad_input=of_its_input)
    return of_its_input


class _DenseLayers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activation: Activation, activated: int, x: Tensor, *parameters: Tensor) -> Tensor:
        """Run the layers."""
        values = _values(activation, activated, x, parameters)
        ctx.activation, ctx.activated = activation, activated
        ctx.save_for_backward(*values, *parameters)
        return values[-1]

    @staticmethod
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor | None, ...]:
        """Run them backwards."""
        needed, saved = ctx.needs_input_grad[2:], ctx.saved_tensors
        count = len(saved) // 3  # of layers: each has an output, a weight and a bias
        values, parameters = saved[: count + 1], saved[count + 1 :]
        if torch.is_grad_enabled():  # the gradient is to be differentiated as well
            inputs = [values[0], *parameters]
            asked = [tensor for tensor, is_needed in zip(inputs, needed, strict=True) if is_needed]
            y = _differentiable(ctx.activation, ctx.activated, values[0], parameters)
            found = iter(torch.autograd.grad(y, asked, d_y, create_graph=True))
            return None, None, *[next(found) if is_needed else None for is_needed in needed]
        d, rows = d_y, values
        if d_y.ndim != 2:
            d, rows = d_y.reshape(-1, d_y.shape[-1]), [value.reshape(-1, value.shape[-1]) for value in values]
        gradients: list[Tensor | None] = []  # from the last one to the first
        for number in reversed(range(count)):
            weight, x = parameters[2 * number], rows[number]
            if number < ctx.activated:
                d = _before_activation(ctx.activation, d, rows[number + 1], is_own=number < count - 1)
            on_its_side = _has_few_inputs(*weight.shape)
            gradients.append(d.sum(0) if needed[2 + 2 * number] else None)
            if not needed[1 + 2 * number]:
                gradients.append(None)
            else:
                gradients.append(torch.mm(x.t(), d).t() if on_its_side else torch.mm(d.t(), x))
            if number or needed[0]:
                d = torch.mm(weight.t(), d.t()).t() if on_its_side else torch.mm(d, weight)
        return None, None, d.reshape(values[0].shape) if needed[0] else None, *reversed(gradients)
