"""Networks one after the other."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Chain(nn.Sequential):
    """One network after the other, where several tensors may go in and be handed on.

    The entries of its ``state_dict`` are those of an ``nn.Sequential``, which takes and hands on a single value.

    >>> import torch
    >>> chain = Chain(nn.Bilinear(3, 2, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> chain(torch.zeros(5, 3), torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """

    def forward(self, *inputs: Tensor) -> Any:
        """Of the first network's inputs, the last one's output; a tuple is the next one's arguments."""
        values: tuple[Any, ...] = inputs
        for network in self:
            output = network(*values)
            values = output if isinstance(output, tuple) else (output,)
        return output if len(self) else inputs[0] if len(inputs) == 1 else inputs
