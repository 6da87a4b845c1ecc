"""TensorDictModule: any network or function, over named entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn

from keywork._errors import ContractError, Finding
from keywork._keys import SINK, as_key, as_keys
from keywork.nn._base import Inplace, TensorDictModuleBase
from keywork.nn._messages import call_note, describe, shape_of, wrong_outputs


class TensorDictModule(TensorDictModuleBase):
    """Wrap an ``nn.Module`` or a function with the keys that it reads and writes.

    Args:
        module: what is called with the entries of ``in_keys``. It returns a tensor, a tuple of them, a dict or
            TensorDict that holds the out_keys, or nothing.
        in_keys: one key, or a list of keys in the order of the arguments, or a dict ``{argument name: key}``.
            A tuple is one nested key.
        out_keys: one key or a list of keys, in the order of the outputs. ``"_"`` drops an output.
        out_to_in_map: with a dict: ``True`` reads it as ``{argument name: key}``, ``False`` as
            ``{key: argument name}``.
        inplace: where results go, see :class:`TensorDictModuleBase`.
        method: call this method of ``module`` in place of ``module`` itself.
        method_kwargs: further keyword arguments of every call.
        optional_keys: those of ``in_keys`` that may be absent; the module then gets None.

    Raises:
        ContractError: the keys cannot be a contract.

    >>> import torch
    >>> from torch import nn
    >>> net = TensorDictModule(nn.Linear(4, 2), in_keys=["observation"], out_keys=["logits"])
    >>> td = TensorDict(observation=torch.zeros(3, 4), batch_size=[3])
    >>> net(td)["logits"].shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        module: Callable[..., Any],
        in_keys: Any,
        out_keys: Any,
        *,
        out_to_in_map: bool = True,
        inplace: Inplace = True,
        method: str | None = None,
        method_kwargs: Mapping[str, Any] | None = None,
        optional_keys: Any = (),
    ) -> None:
        _check_callable(module, method)
        arguments: tuple[str, ...] | None = None
        if isinstance(in_keys, Mapping):
            pairs = list(in_keys.items()) if out_to_in_map else [(name, key) for key, name in in_keys.items()]
            arguments = tuple(str(name) for name, _ in pairs)
            in_keys = [as_key(key) for _, key in pairs]
        returned = as_keys(out_keys)
        kept = [key for key in returned if key != SINK]
        super().__init__(in_keys, kept, optional_keys=optional_keys, inplace=inplace)
        self.module = module
        self.method = method
        self._arguments = arguments
        self._method_kwargs = dict(method_kwargs or {})
        self._returned = returned
        # The common case, one tensor under one key, needs no sorting of outputs.
        self._single = len(returned) == 1 and len(kept) == 1
        self._plain = arguments is None and not self._method_kwargs

    @property
    def label(self) -> str:
        """``TensorDictModule (Linear 4 -> 2)``."""
        return f"{type(self).__name__} ({describe(self.module)})"

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Call the wrapped module and sort its outputs into the order of the out_keys."""
        # nn.Module finds its children by a slow path; this is the same object.
        module = self._modules.get("module") or self.module
        try:
            if self.method is not None:
                module = getattr(module, self.method)
            if self._plain:
                output = module(*inputs)
            elif self._arguments is None:
                output = module(*inputs, **self._method_kwargs)
            else:
                output = module(**dict(zip(self._arguments, inputs, strict=True)), **self._method_kwargs)
        except Exception as error:
            error.add_note(call_note(self.label, self._in_keys, inputs, self._out_keys))
            raise
        if self._single and isinstance(output, Tensor):
            return (output,)
        return self._sorted(output)

    def _sorted(self, output: Any) -> tuple[Any, ...]:
        kept = self._out_keys
        if isinstance(output, Mapping | TensorDictBase):
            if len(kept) == 1 and isinstance(output, TensorDictBase) and kept[0] not in output.keys(True):
                return (output,)  # a nested entry of its own
            return self._from_mapping(output)
        if output is None:
            output = ()
        elif not isinstance(output, tuple | list):
            output = (output,)
        if len(output) != len(self._returned):
            raise wrong_outputs(
                self.label,
                f"{len(output)} outputs, {', '.join(map(shape_of, output)) or 'nothing'}",
                self._returned,
                "Name one key for each output, and '_' for one to drop.",
            )
        if len(kept) == len(self._returned):
            return tuple(output)
        return tuple(value for key, value in zip(self._returned, output, strict=True) if key != SINK)

    def _from_mapping(self, output: Mapping[Any, Any] | TensorDictBase) -> tuple[Any, ...]:
        nested = output if isinstance(output, TensorDictBase) else TensorDict(dict(output))
        absent = [key for key in self._out_keys if key not in nested.keys(True)]
        if absent:
            raise wrong_outputs(
                self.label,
                f"a mapping with {list(nested.keys(True, True))}, which lacks {absent}",
                self._returned,
                "Name the out_keys as the module names its outputs.",
            )
        return tuple(nested[key] for key in self._out_keys)

    def __getattr__(self, name: str) -> Any:
        """What the wrapper lacks is looked up on the wrapped module: ``net.weight``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            module = self.__dict__.get("_modules", {}).get("module")
            if module is None or name.startswith("_"):
                raise
            return getattr(module, name)


def _check_callable(module: Any, method: str | None) -> None:
    problem = ""
    if isinstance(module, type):
        problem = f"module is the class {module.__name__}: pass an instance, such as {module.__name__}(...)."
    elif method is not None and not callable(getattr(module, method, None)):
        problem = f"module has no method {method!r}: {describe(module)} has to define it."
    elif method is None and not callable(module):
        problem = f"module is {module!r} of type {type(module).__name__}: pass an nn.Module or a function."
    if problem:
        raise ContractError("TensorDictModule", [Finding("not-callable", problem, "", "TensorDictModule(net, ...)")])

