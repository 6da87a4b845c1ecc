"""Functions as key modules: of whole TensorDicts, or of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any

from tensordict import TensorDictBase, is_tensor_collection

from keywork._errors import ContractError, Finding, OutputError, describe
from keywork._keys import Key, listed
from keywork.nn import TensorDictModule, TensorDictModuleBase


class WrapModule(TensorDictModuleBase):
    """A function from TensorDict to TensorDict as a step of a sequential.

    The function sees the whole TensorDict, so the sequential around it runs on TensorDicts, step by step. There, only
    what the function is declared to write is kept, and what it needs has to be declared as well.

    Args:
        func: from a TensorDict to a TensorDict: the same one, changed in place, or a new one.
        inplace: store the entries of a new TensorDict in the given one, and return that.
        in_keys: what the function reads.
        out_keys: what it writes.

    Raises:
        ContractError: ``func`` cannot be called.
        OutputError: in a call, ``func`` returns no TensorDict, or one without the out_keys.

    >>> import torch
    >>> from tensordict import TensorDict
    >>> flip = WrapModule(lambda td: td.set("y", td["x"].flip(0)), in_keys=["x"], out_keys=["y"])
    >>> flip(TensorDict(x=torch.arange(3)))["y"]
    tensor([2, 1, 0])
    """

    def __init__(
        self, func: Callable[[Any], Any], *, inplace: bool = False, in_keys: Any = None, out_keys: Any = None
    ) -> None:
        if isinstance(func, type) or not callable(func):
            problem = f"func is {describe(func)}, which cannot be called on a TensorDict."
            fix = "pass a function: WrapModule(lambda td: td.set('y', td['x'] + 1), in_keys=['x'], out_keys=['y'])."
            raise ContractError(type(self).__name__, [Finding("not-callable", problem, "", fix)])
        super().__init__(() if in_keys is None else in_keys, () if out_keys is None else out_keys, inplace=inplace)
        self.func = func

    @property
    def label(self) -> str:
        """``WrapModule (normalise)``."""
        return f"{type(self).__name__} ({describe(self.func)})"

    def forward(self, tensordict: Any = None, *args: Any, tensordict_out: Any = None, **kwargs: Any) -> Any:
        """Call the function on a TensorDict."""
        if not is_tensor_collection(tensordict) or args or kwargs:
            raise TypeError(f"{self.label} takes one TensorDict, as its function does.")
        self.read(tensordict)
        # What is not to be stored must not be seen in the TensorDict that is given, even if it is changed in place.
        given = tensordict if self._selected is None else tensordict.copy()
        result = self.func(given)
        if not isinstance(result, TensorDictBase) and not is_tensor_collection(result):
            raise OutputError(
                f"{self.label} cannot hand on its result: it returned a {type(result).__name__}, for a TensorDict.\n"
                "   Return the TensorDict, also where it was changed in place."
            )
        absent = [key for key in self._out_keys if result.get(key, None) is None]
        if absent:
            held = listed(result.keys(include_nested=True, leaves_only=True))
            raise OutputError(
                f"{self.label} did not write {listed(absent)}, which its out_keys promise.\n"
                f"   its result holds: {held}\n   Store the entry, or leave its key out of out_keys."
            )
        if self._selected is not None:
            if tensordict_out is None and not self.inplace and result is not given:
                return result.exclude(*[key for key in self._out_keys if key not in self._stored])
            out = tensordict if tensordict_out is None else tensordict_out
            return self.write([result[key] for key in self._stored], tensordict, out)
        if tensordict_out is not None:
            return tensordict_out.update(result)
        return tensordict.update(result) if self.inplace and result is not tensordict else result


class as_tensordict_module:  # noqa: N801  (used as a decorator)
    """Make a key module of a function or method over tensors.

    Args:
        in_keys: what is passed to it, as :class:`~keywork.nn.TensorDictModule` takes it.
        out_keys: what it returns.

    >>> import torch
    >>> from tensordict import TensorDict
    >>> @as_tensordict_module(in_keys=["x"], out_keys=["y"])
    ... def double(x):
    ...     return 2 * x
    >>> double(TensorDict(x=torch.ones(2)))["y"], double.out_keys
    (tensor([2., 2.]), ['y'])
    """

    def __init__(self, *, in_keys: Any, out_keys: Any) -> None:
        self.in_keys, self.out_keys = in_keys, out_keys

    def __call__(self, function: Callable[..., Any]) -> FunctionModule:
        """The key module."""
        module = FunctionModule(function, self.in_keys, self.out_keys)
        update_wrapper(module, function, updated=())
        return module


class FunctionModule(TensorDictModule):
    """What :class:`as_tensordict_module` makes: a key module that as a method is bound to its object."""

    def __init__(self, function: Callable[..., Any], in_keys: Any, out_keys: Any) -> None:
        super().__init__(function, in_keys, out_keys)
        self._keys = (in_keys, out_keys)

    def _renamed(self, names: Mapping[Key, Key]) -> Any:
        # One without a name of its own, by which __reduce__ would take it for this.
        return TensorDictModule(self.module, *self._keys)._renamed(names)

    def __get__(self, instance: Any, owner: type | None = None) -> TensorDictModule:
        function: Any = self.module
        return self if instance is None else TensorDictModule(function.__get__(instance, owner), *self._keys)

    def __reduce__(self) -> str:
        # By its name, as a function: under that name stands this, and not the function that it calls.
        return str(self.__qualname__)
