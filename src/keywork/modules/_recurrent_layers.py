"""The parameters of torch's GRU or LSTM, under torch's names."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn


class Weights(NamedTuple):
    """The parameters of one layer in one direction, as torch names them."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_hr: Tensor | None


class Layers(nn.Module):
    """The parameters and sizes of an ``nn.GRU`` or ``nn.LSTM``, which it shares: their state dicts are interchangeable.

    (torch.compile refuses to follow a module that holds one of those, even if it is not called.)

    >>> layers = Layers(nn.GRU(4, 8))
    >>> list(layers.state_dict()), layers[0].weight_hh.shape
    (['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0'], torch.Size([24, 8]))
    """

    def __init__(self, network: nn.RNNBase) -> None:
        super().__init__()
        for name, parameter in network.named_parameters():
            self.register_parameter(name, parameter)
        self.input_size, self.hidden_size, self.proj_size = network.input_size, network.hidden_size, network.proj_size
        self.num_layers, self.directions = network.num_layers, 1 + network.bidirectional
        self.dropout = network.dropout
        suffixes = [
            f"_l{layer}{way}" for layer in range(self.num_layers) for way in ("", "_reverse")[: self.directions]
        ]
        names = [[f"{name}{suffix}" for name in Weights._fields] for suffix in suffixes]
        self._names = [[name if name in self._parameters else None for name in of_layer] for of_layer in names]

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Weights:
        held = self._parameters  # at a fraction of the price of attributes, where parametrised ones are
        names: list[Any] = self._names[index]
        found: list[Any] = [held[n] if n in held else None if n is None else getattr(self, n) for n in names]
        return Weights(*found)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, as torch does: uniform in ±1/√H."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, for the repr."""
        return f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, directions={self.directions}"
