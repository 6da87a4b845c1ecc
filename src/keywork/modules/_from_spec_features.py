"""Observations of any specs as one vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keywork.nets import ConvConfig, ConvNet
from keywork.specs import Bounded, Categorical, MultiDiscrete, Spec

ImageNetwork = Callable[[int, tuple[int, int]], ConvNet]
"""From the number of channels, and height and width, to a network."""

Encoder = Callable[[Tensor, torch.dtype], Tensor]
"""From an observation to vectors of a type."""

_LEAST = 36
"""The side of the smallest image for the layers that ConvNet has if nothing is said."""


class Features(nn.Module):
    """Observations of any specs as one vector, one after the other.

    Numbers are flattened and indices one-hot. Images, which are bytes in three dimensions, go through a
    :class:`~keywork.nets.ConvNet` each; where the last of these dimensions is the smallest, it counts the channels, and
    is brought to the front. All takes the type of the module: that of torch if nothing is said, and what
    ``features.to(dtype)`` asks for.

    Args:
        specs: what each observation holds.
        image_network: ``image_network(channels, (height, width))`` makes the network of an image. If left out, it is
            the ConvNet that there is if nothing is said, and for less than 36 pixels one of smaller kernels.

    >>> from keywork.specs import Unbounded
    >>> features = Features([Unbounded((2,)), Categorical(3)])
    >>> features(torch.zeros(1, 2), torch.tensor([2])), features.size
    (tensor([[0., 0., 0., 0., 1.]]), 5)
    """

    _like: Tensor

    def __init__(self, specs: Sequence[Spec], *, image_network: ImageNetwork | None = None) -> None:
        super().__init__()
        self.specs = tuple(specs)
        pairs = [_encoder_of(spec, image_network or usual_image_network) for spec in self.specs]
        self.images = nn.ModuleDict({str(n): one for n, (one, _) in enumerate(pairs) if isinstance(one, nn.Module)})
        # A function is called at a fifth of the price of a module.
        self._encoders = tuple([None if isinstance(one, nn.Module) else one for one, _ in pairs])
        self.size = sum(size for _, size in pairs)
        """The length of the vector."""
        # An empty tensor, which goes where the module goes.
        self.register_buffer("_like", torch.empty(0), persistent=False)

    def forward(self, *observations: Tensor) -> Tensor:
        """Of ``[*B, *shape]`` each, ``[*B, size]``."""
        dtype = self._like.dtype
        pairs = enumerate(zip(self._encoders, observations, strict=True))
        parts = [self.images[str(n)](x, dtype) if encode is None else encode(x, dtype) for n, (encode, x) in pairs]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def usual_image_network(
    channels: int, size: tuple[int, int], *, init: Literal["torch", "orthogonal"] = "torch"
) -> ConvNet:
    """The network of images of this size, where nothing else is said."""
    config = ConvConfig(image_size=size)
    if min(size) >= _LEAST:
        return ConvNet(channels, init=init, config=config)
    return ConvNet(channels, (32, 64), 3, 2, 1, init=init, config=config)


def _numbers(dims: int, value: Tensor, dtype: torch.dtype) -> Tensor:
    value = value if value.dtype is dtype else value.to(dtype)
    return value if dims == 1 else value.flatten(-dims) if dims else value.unsqueeze(-1)


def _indices(counts: tuple[int, ...], dims: int, value: Tensor, dtype: torch.dtype) -> Tensor:
    """Indices of ``dims`` dimensions as one-hot vectors in a row."""
    if dims == 0:
        return _one_hot(value, counts[0]).to(dtype)
    flat = value.flatten(-dims)
    if len(set(counts)) == 1:
        return _one_hot(flat, counts[0]).flatten(-2).to(dtype)
    return torch.cat([_one_hot(flat[..., k], n) for k, n in enumerate(counts)], -1).to(dtype)


class _Images(nn.Module):
    def __init__(self, network: ConvNet, channels_last: bool) -> None:
        super().__init__()
        self.network, self.channels_last = network, channels_last

    def forward(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        network: Any = self._modules["network"]
        output: Tensor = network(value.movedim(-1, -3) if self.channels_last else value)
        return output.to(dtype)


def _encoder_of(spec: Spec, image_network: ImageNetwork) -> tuple[Encoder | nn.Module, int]:
    """What makes vectors of an observation, and their length."""
    dims, count = len(spec.shape), spec.shape.numel()
    if isinstance(spec, Categorical) and count:
        return partial(_indices, (spec.n,) * count, dims), spec.n * count
    if isinstance(spec, MultiDiscrete) and count:
        counts = spec.nvec.flatten().tolist()
        return partial(_indices, tuple(counts), dims), sum(counts)
    if isinstance(spec, Bounded) and dims == 3 and spec.dtype is torch.uint8:
        first, second, third = spec.shape
        channels_last = third < min(first, second)
        channels, *size = (third, first, second) if channels_last else (first, second, third)
        network = image_network(channels, (size[0], size[1]))
        shape = network.output_shape(*size)
        return _Images(network, channels_last), torch.Size(shape).numel()
    return partial(_numbers, dims), count


def _one_hot(index: Tensor, n: int) -> Tensor:
    if torch._C._are_functorch_transforms_active():
        # Torch's own looks at the values, which may not be there to be looked at.
        return (index.unsqueeze(-1) == torch.arange(n, device=index.device)).long()
    return F.one_hot(index.long(), n)
