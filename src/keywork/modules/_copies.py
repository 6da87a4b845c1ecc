"""Several modules of one kind as one: their parameters stacked, each where the first one has its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn


class Stacked:
    """Modules as one: the first, with the parameters and buffers of all in place of its own, stacked in front.

    Args:
        copies: the modules; the first one is changed.

    Attributes:
        module: the first module, which is not to be called any more but by :meth:`call`.
    """

    def __init__(self, copies: Sequence[nn.Module]) -> None:
        self.module = copies[0]
        found: dict[int, tuple[Any, list[tuple[nn.Module, str]]]] = {}
        for parts in zip(*(one.modules() for one in copies), strict=True):
            for kind in ("_parameters", "_buffers"):
                held = getattr(parts[0], kind)
                for name, own in [(name, own) for name, own in held.items() if own is not None]:
                    if id(own) not in found:
                        together = torch.stack([getattr(part, kind)[name].detach() for part in parts])
                        is_parameter = isinstance(own, nn.Parameter)
                        found[id(own)] = (nn.Parameter(together, own.requires_grad) if is_parameter else together), []
                    # A parameter that two modules share stays shared.
                    held[name], places = found[id(own)]
                    places.append((parts[0], name))
        self._places = [places for _, places in found.values()]

    def tensors(self) -> list[Tensor]:
        """The stacked parameters and buffers."""
        return [getattr(*places[0]) for places in self._places]

    def call(self, tensors: Sequence[Tensor], function: Callable[..., Any], *inputs: Any) -> Any:
        """Call a function while the module has these tensors in place of the stacked ones.

        (What ``torch.func.functional_call`` does, in a third of the time; as there, in one thread at a time.)
        """
        before = self.tensors()
        try:
            self._put(tensors)
            return function(*inputs)
        finally:
            self._put(before)

    def _put(self, tensors: Sequence[Tensor]) -> None:
        for places, tensor in zip(self._places, tensors, strict=True):
            for part, name in places:
                # In its __dict__ where somebody has replaced a parameter by a tensor, as TensorDict.to_module does.
                held = next((h for h in (part._parameters, part._buffers) if name in h), part.__dict__)
                cast(dict[str, Any], held)[name] = tensor
