"""The convolutional network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from keywork._errors import SpecError, shape_of

from ._reset import Init, Weights

_WHITE = 255.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvConfig:
    """The less common options of a :class:`ConvNet`.

    Attributes:
        image_size: height and width, if they are known: the layers are checked against them when the network is built,
            and ``out_features`` is known.
        flatten: whether the output is one vector ``[*B, C * H * W]``, or images ``[*B, C, H, W]``.
        scale_uint8: whether images of bytes are divided by 255; others are never scaled.
        norm_class: a normalisation ``norm_class(num_channels)`` before each activation, such as ``nn.BatchNorm2d``, or
            ``partial(nn.GroupNorm, 1)`` for a layer norm.
        bias: whether the layers have one.
        gain: with ``init="orthogonal"``, the gain of all layers.
        device: where the parameters are.
        dtype: their type.
    """

    image_size: tuple[int, int] | None = None
    flatten: bool = True
    scale_uint8: bool = True
    norm_class: Callable[[int], nn.Module] | None = None
    bias: bool = True
    gain: float = math.sqrt(2.0)
    device: torch.device | str | None = None
    dtype: torch.dtype | None = None


class ConvNet(nn.Sequential):
    """Convolutions with an activation after each, of images ``[*B, C, H, W]``.    H' = ⌊(H + 2p - k) / s⌋ + 1

    If nothing is said, the layers are those of Mnih et al., Human-level Control through Deep Reinforcement Learning,
    2015, for images of 84 x 84 pixels. There may be any number of batch dimensions, none too. Bytes are scaled to
    [0, 1].

    Args:
        in_channels: C; None finds it at the first call.
        num_cells: channels of each layer.
        kernel_sizes: side of each kernel.
        strides: pixels between two places of the kernel.
        paddings: zeros around the image. Of these four, a single number holds for all layers.
        activation_class: called without arguments for each activation.
        init: ``"torch"`` leaves the layers as their class initialises them; ``"orthogonal"`` is
            :func:`~keywork.nets.orthogonal_`.
        config: the less common options.

    Raises:
        SpecError: lists of different lengths, numbers that cannot be, images too small for a layer; in a call, images
            too small, or of other channels.

    >>> net = ConvNet(4)
    >>> net(torch.zeros(5, 4, 84, 84, dtype=torch.uint8)).shape  # 64 channels of 7 x 7
    torch.Size([5, 3136])
    """

    def __init__(
        self,
        in_channels: int | None = None,
        num_cells: int | Sequence[int] = (32, 64, 64),
        kernel_sizes: int | Sequence[int] = (8, 4, 3),
        strides: int | Sequence[int] = (4, 2, 1),
        paddings: int | Sequence[int] = 0,
        *,
        activation_class: Callable[[], nn.Module] = nn.ReLU,
        init: Init = "torch",
        config: ConvConfig | None = None,
    ) -> None:
        config = config or ConvConfig()
        given = {"num_cells": num_cells, "kernel_sizes": kernel_sizes, "strides": strides, "paddings": paddings}
        channels, *geometry = _repeated(given)
        _check(in_channels, dict(zip(given, [channels, *geometry], strict=True)), init, config)
        forms = list(zip(*geometry, strict=True))
        super().__init__(*_layers((in_channels, *channels), forms, activation_class, config))
        self.config, self._channels, self._forms = config, channels[-1], forms
        self._least = _least(forms)
        if config.image_size is not None:
            self.output_shape(*config.image_size)
        self.to(device=config.device, dtype=config.dtype)
        self._weights = Weights(init, config.gain, config.gain)
        self._weights.draw(self)

    def output_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Channels, height and width of what comes out, before it is flattened.

        Raises:
            SpecError: nothing would; the message names the layer.
        """
        size = (height, width)
        for number, (kernel, stride, padding) in enumerate(self._forms):
            following = [(side + 2 * padding - kernel) // stride + 1 for side in size]
            if min(following) < 1:
                raise SpecError(
                    f"ConvNet cannot take images of {height} x {width}: layer {number} (kernel {kernel}, stride "
                    f"{stride}, padding {padding}) gets {size[0]} x {size[1]}, and less than one pixel would come "
                    f"out. The smallest images for these layers are {self._least} x {self._least}: give kernel_sizes "
                    "and strides for smaller ones, such as kernel_sizes=3, strides=2, paddings=1."
                )
            size = (following[0], following[1])
        return self._channels, *size

    @property
    def out_features(self) -> int | None:
        """The length of the flattened output; None where ``config.image_size`` is not known."""
        return None if self.config.image_size is None else math.prod(self.output_shape(*self.config.image_size))

    def forward(self, images: Tensor) -> Tensor:
        """Map ``[*B, C, H, W]`` to ``[*B, C' * H' * W']``, or to ``[*B, C', H', W']``."""
        first: Any = self[0]
        if images.ndim < 3 or first.in_channels not in (0, images.shape[-3]):
            raise self._misfit(images, first.in_channels)
        if min(images.shape[-2:]) < self._least:
            self.output_shape(*images.shape[-2:])
        batch, x = images.shape[:-3], images
        if not x.is_floating_point():
            x = x.to(first.weight.dtype)
            x = x / _WHITE if images.dtype is torch.uint8 and self.config.scale_uint8 else x
        x = x.reshape(-1, *x.shape[-3:]) if len(batch) != 1 else x
        for layer in self:
            x = layer(x)
        x = x.flatten(-3) if self.config.flatten else x
        return x.reshape(*batch, *x.shape[1:]) if len(batch) != 1 else x

    def reset_parameters(self) -> None:
        """Draw all parameters anew, in the way of construction: from the same ``init``, with the same gain."""
        self._weights.reset(self)

    def __getitem__(self, index: Any) -> Any:
        """One layer, or for a slice an ``nn.Sequential`` of some."""
        # The base would call this class's constructor with the layers.
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)

    def _misfit(self, images: Tensor, channels: int) -> SpecError:
        wanted = f"[*B, {channels or 'C'}, H, W]"
        *_, high, wide, deep = (0, 0, 0, *images.shape)
        fix = f"Pass ConvNet(in_channels={_of(images)})."
        if images.ndim >= 3 and (deep == channels or deep < min(high, wide)):  # few of what comes last: colours
            of_these = "" if deep == channels else f" to ConvNet(in_channels={deep})"
            fix = f"Channels come first: pass images.movedim(-1, -3){of_these}."
        return SpecError(f"ConvNet cannot take {shape_of(images)}: it takes images {wanted}. {fix}")


def _of(images: Tensor) -> str:
    return str(images.shape[-3]) if images.ndim >= 3 else "..."


def _repeated(given: dict[str, int | Sequence[int]]) -> list[list[int]]:
    """Every option as a list, as long as there are layers."""
    lengths = {name: len(value) for name, value in given.items() if not isinstance(value, int)}
    if len({*lengths.values()}) > 1 or 0 in lengths.values():
        said = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise SpecError(
            f"ConvNet cannot be built: there are {said}. Give as many of each as there are layers, at least one, or "
            "one number for all of them."
        )
    count = next(iter(lengths.values()), 1)
    return [[value] * count if isinstance(value, int) else list(value) for value in given.values()]


def _check(in_channels: int | None, sizes: dict[str, list[int]], init: str, config: ConvConfig) -> None:
    named = {**sizes, "in_channels": [1 if in_channels is None else in_channels]}
    named["image_size"] = list(config.image_size or ())
    for name, values in named.items():
        least = 0 if name == "paddings" else 1
        if not all(isinstance(value, int) and value >= least for value in values):
            raise SpecError(
                f"ConvNet cannot be built: {name} has {values}, and each must be a whole number from {least} on. "
                f"Check {name}."
            )
    if init not in ("torch", "orthogonal"):
        raise SpecError(f"ConvNet cannot be built: there is no init={init!r}. Pass init='torch' or init='orthogonal'.")
    if config.norm_class is nn.LayerNorm:
        raise SpecError(
            "ConvNet cannot be built: norm_class=nn.LayerNorm would normalise the rows of an image, and is made with "
            "its number of channels. Pass norm_class=partial(nn.GroupNorm, 1), which normalises all of an image."
        )


def _layers(
    channels: Sequence[int | None],
    forms: Sequence[tuple[int, ...]],
    activation_class: Callable[[], nn.Module],
    config: ConvConfig,
) -> Iterator[nn.Module]:
    for (count_in, count_out), (kernel, stride, padding) in zip(pairwise(channels), forms, strict=True):
        if count_in is None:
            yield nn.LazyConv2d(count_out or 0, kernel, stride, padding, bias=config.bias)
        else:
            yield nn.Conv2d(count_in, count_out or 0, kernel, stride, padding, bias=config.bias)
        if config.norm_class is not None:
            yield config.norm_class(count_out or 0)
        yield activation_class()


def _least(forms: Sequence[tuple[int, ...]]) -> int:
    """The side of the smallest image of which anything comes out."""
    side = 1
    for kernel, stride, padding in reversed(forms):
        side = max(1, (side - 1) * stride + kernel - 2 * padding)
    return side
