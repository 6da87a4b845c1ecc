"""Several modules of one kind as one: their parameters stacked, each where the first one has its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from keywork._errors import Finding


def copies_of(module: nn.Module, count: int, initialise: Callable[[Any], Any] | None) -> list[nn.Module]:
    """The module as it is, and further ones that are initialised anew, all of them copies."""
    made = [copy.deepcopy(module) for _ in range(count)]
    for one in made[1:]:
        if initialise is None:
            _reset(one)
        else:
            initialise(one)
    return made


def findings_of(copies: Sequence[nn.Module]) -> list[Finding]:
    """Why these cannot be members of one ensemble."""
    first = dict(copies[0].named_parameters())
    lazy = [name for name, parameter in first.items() if is_lazy(parameter)]
    if lazy:
        problem = f"the parameter {lazy[0]!r} has no size yet."
        return [Finding("lazy-parameter", problem, "", "call the module once before, on an input of the right size.")]
    shapes = {name: tensor.shape for name, tensor in _tensors(copies[0])}
    for number, other in enumerate(copies[1:], 1):
        if {name: tensor.shape for name, tensor in _tensors(other)} != shapes:
            problem = f"member {number} has other parameters than member 0."
            return [Finding("unlike-members", problem, "", "give modules of one kind and size.")]
        for name, parameter in other.named_parameters():
            varied = parameter.numel() > 1 and bool((parameter != parameter.flatten()[0]).any())
            if varied and torch.equal(parameter, first[name]):
                problem = f"the parameter {name!r} is the same in members 0 and {number}, which would learn the same."
                fix = "pass parameter_init_function=function(module), or a list of modules in place of one."
                return [Finding("equal-members", problem, "no reset_parameters() that would change it", fix)]
    return []


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


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _reset(module: nn.Module) -> None:
    """Initialise a module anew; one that can do so answers for all that is in it."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for child in module.children():
        _reset(child)
