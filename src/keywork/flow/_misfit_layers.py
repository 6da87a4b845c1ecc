"""What is wrong with the input of a layer of torch: its type, its device, the number of its dimensions or its width."""

from __future__ import annotations

import re
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from keywork.flow._trial import Failure


class Misfit(NamedTuple):
    """What does not fit.

    Attributes:
        kind: of the finding.
        problem: what the layer got, and what it takes.
        fix: what to type; ``{who}`` stands for the step, ``{key}`` for what it reads.
        got: the size, if it is one.
        takes: the size that it should be.
    """

    kind: str
    problem: str
    fix: str
    got: int | None = None
    takes: int | None = None


def misfit_of_layer(failure: Failure) -> Misfit | None:
    """Why the layer in which a step failed cannot take its input; None if there is none, or nothing wrong with that."""
    layer, tensors = failure.layer, [value for value in failure.arguments if isinstance(value, Tensor)]
    if layer is None or not tensors:
        return None
    x = tensors[0]
    return _device(layer, x) or _dtype(layer, x) or _rank(layer, x, failure) or _width(layer, x)


def _device(layer: nn.Module, x: Tensor) -> Misfit | None:
    own = sorted({str(p.device) for p in layer.parameters(recurse=False)})
    if not own or own == [str(x.device)]:
        return None
    return _on_devices(f"has its parameters on {' and '.join(own)}, and its input is on {x.device}")


def _on_devices(problem: str) -> Misfit:
    return Misfit("wrong-device", problem, "move all of it to one device: policy.to(device).")


READ_IMAGES = "use an MLP for vectors, or read a key that holds images: in_keys=['pixels']."
"""What to type where a network for images is given none."""

_FLOAT = {
    torch.uint8: "scale the bytes first, TensorDictModule(lambda x: x.float() / 255, [{key}], ['scaled']), or use "
    "ConvNet, which does.",
    torch.bool: "cast {key} in a step before: TensorDictModule(lambda x: x.float(), [{key}], ['flags']).",
}
_INDEX = (
    "cast {key} in a step before, TensorDictModule(lambda x: x.float(), [{key}], ['as_float']), or begin {who} with "
    "nn.Embedding if it is an index."
)
_CAST = "bring both to one type: {who}.to(torch.float32), or x.float() in a step before."


def _dtype(layer: nn.Module, x: Tensor) -> Misfit | None:
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        if x.dtype in (torch.int64, torch.int32):
            return None
        fix = "pass indices: x.argmax(-1) of scores or of a one-hot, x.long() of whole numbers; or use nn.Linear."
        return Misfit("wrong-dtype", f"got {_name(x.dtype)} and takes int64", fix)
    own = {p.dtype for p in layer.parameters(recurse=False)}
    if not own or x.dtype in own or not all(dtype.is_floating_point for dtype in own):
        return None
    wanted = " and ".join(sorted(map(_name, own)))
    return Misfit("wrong-dtype", f"got {_name(x.dtype)} and takes {wanted}", _cast(x.dtype))


def _cast(dtype: torch.dtype) -> str:
    return _FLOAT.get(dtype, _CAST if dtype.is_floating_point else _INDEX)


def _rank(layer: nn.Module, x: Tensor, failure: Failure) -> Misfit | None:
    if isinstance(layer, _ConvNd):
        dims = layer.weight.ndim - 1
        # A batch of vectors would pass for a single image.
        own = x.ndim - len(failure.batch) if any(x is value for value in failure.inputs.values()) else x.ndim
        if own >= dims:
            return None
        shape = list(x.shape[len(failure.batch) :])
        image = f"images [*B, {', '.join(['channels', 'height', 'width', 'depth'][:dims])}]"
        return Misfit("wrong-rank", f"got vectors {shape} and takes {image}", READ_IMAGES)
    # No entry has the size of a batch: what is as wide as that has no dimension of its own.
    flat = x.ndim == 0 or (len(failure.batch) == x.ndim and x.shape[-1] == failure.batch[-1])
    if flat and isinstance(layer, nn.Linear | nn.LayerNorm | nn.RNNBase | nn.RNNCellBase):
        return Misfit("wrong-rank", "got numbers without a last dimension", _UNSQUEEZE)
    return None


_UNSQUEEZE = (
    "add a last dimension of one in a step before: TensorDictModule(lambda x: x.unsqueeze(-1), [{key}], ['wide'])."
)


def _width(layer: nn.Module, x: Tensor) -> Misfit | None:
    dim, takes, noun = _asks(layer)
    if takes is None or x.ndim < -dim or x.shape[dim] == takes:
        return None
    got = x.shape[dim]
    if isinstance(layer, _ConvNd) and x.shape[-1] == takes:
        return Misfit("wrong-width", f"got {got} {noun} and takes {takes}, which come last", _TO_THE_FRONT.format(dim))
    fix = f"build {{who}} for {got} {noun}, here {_layer_for(layer, got)}"
    return Misfit("wrong-width", f"got {got} {noun} and takes {takes}", fix, got, takes)


_TO_THE_FRONT = (
    "bring the channels to the front in a step before: "
    "TensorDictModule(lambda x: x.movedim(-1, {}), [{{key}}], ['channels_first'])."
)


def _layer_for(layer: Any, size: int) -> str:
    """What to type for a layer that takes ``size``."""
    name = type(layer).__name__
    if isinstance(layer, nn.Linear):
        return f"nn.Linear({size}, {layer.out_features}) or nn.LazyLinear({layer.out_features})"
    if isinstance(layer, _ConvNd):
        return f"nn.{name}({size}, {layer.out_channels}, ...) or nn.Lazy{name}({layer.out_channels}, ...)"
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        return f"nn.{name}({size}, {layer.hidden_size})"
    return f"nn.{name}({size})"


def _asks(layer: Any) -> tuple[int, int | None, str]:
    """In which dimension a layer asks for which size, and what that counts."""
    if isinstance(layer, nn.Linear):
        return -1, layer.in_features, "features"
    if isinstance(layer, _ConvNd):
        return -(layer.weight.ndim - 1), layer.in_channels, "channels"
    if isinstance(layer, nn.LayerNorm):
        return -1, layer.normalized_shape[-1], "features"
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        return -1, layer.input_size, "features"
    if isinstance(layer, _BatchNorm) and type(layer) is nn.BatchNorm1d:
        return -1, layer.num_features, "features"
    return -1, None, ""


_TYPES = re.compile(
    r"must have the same dtype|expected scalar type|mixed dtype|not implemented for '|can't be cast to the desired"
    r"|could not infer output dtype|to have one of the following scalar types|inputs not supported for|Boolean alpha"
    r"|does not support \w+ input"
    r"|is not supported.*bool tensor|only supports floating-point"
)
_DEVICES = re.compile(r"tensors to be on the same device|is not on the expected device|different devices")
_SHAPES = re.compile(
    r"mat1 and mat2 shapes|size mismatch|must match the size of tensor|Sizes of tensors must match"
    r"|don't multiply up to the size|split_with_sizes expects|does not broadcast|normalized_shape"
)
_DIMENSIONS = re.compile(
    r"same number of dimensions|Dimension out of range|too many indices|zero-dimensional|at least a 1-dimensional"
)


def misfit_of_text(failure: Failure) -> Misfit | None:
    """The same by what torch says, for functions and networks of anybody's.

    A message that names a size of the batch may be one of a network that is made for another batch: that is not known.
    """
    text = next(iter(str(failure.error).splitlines()), "")
    said = f"failed: {text.rstrip('.')}"
    if _TYPES.search(text):
        return Misfit(
            "wrong-dtype",
            said,
            "cast what it reads in a step before: TensorDictModule(lambda x: x.float(), [{key}], [new]).",
        )
    if _DEVICES.search(text):
        return _on_devices(said)
    numbers = {int(number) for number in re.findall(r"(?<!dimension )\b\d+", text)}  # which dimension is no size
    of_batch = {*failure.batch, prod(failure.batch)} if failure.batch else set[int]()
    if _SHAPES.search(text) and ("mat1 and mat2" in text or not numbers & of_batch):
        return Misfit("wrong-shape", said, "make {who} fit what it reads, or give it other in_keys.")
    if _DIMENSIONS.search(text):
        return Misfit(
            "wrong-rank", said, "make {who} fit the dimensions of what it reads, or x.unsqueeze(-1) in a step before."
        )
    return None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
