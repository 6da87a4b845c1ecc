"""TensorDictModule: any network or function, over named entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from keywork._errors import ContractError, Finding, OutputError, describe, shape_of
from keywork._keys import SINK, as_key, as_keys
from keywork.nn._base import Inplace, TensorDictModuleBase


class TensorDictModule(TensorDictModuleBase):
    """Wrap an ``nn.Module`` or a function with the keys that it reads and writes.

    Args:
        module: what is called with the entries of ``in_keys``. It returns a tensor, a tuple of them, a dict or
            TensorDict that holds the out_keys, or nothing.
        in_keys: one key, or a list of keys in the order of the arguments, or a dict ``{argument name: key}``.
            A tuple is one nested key.
        out_keys: one key or a list of keys, in the order of the outputs. ``"_"`` drops an output.
        out_to_in_map: of a dict: ``False`` reads it as ``{key: argument name}``.
        inplace: where results go, see :class:`TensorDictModuleBase`.
        method: call this method of ``module`` in place of ``module`` itself.
        method_kwargs: further keyword arguments of every call.
        optional_keys: those of ``in_keys`` that may be absent; the module then gets None.

    >>> import torch
    >>> net = TensorDictModule(torch.nn.Linear(4, 2), in_keys=["observation"], out_keys=["logits"])
    >>> net(TensorDict(observation=torch.zeros(3, 4), batch_size=[3]))["logits"].shape
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
            arguments, in_keys = tuple(str(name) for name, _ in pairs), [as_key(key) for _, key in pairs]
        returned = as_keys(out_keys)
        kept = [key for key in returned if key != SINK]
        super().__init__(list(as_keys(in_keys)), kept, optional_keys=optional_keys, inplace=inplace)
        self.module, self.method, self.method_kwargs = module, method, dict(method_kwargs or {})
        self._arguments, self._returned = arguments, returned
        self._plain = method is None and arguments is None and not self.method_kwargs
        self._single = len(returned) == 1 == len(kept)

    @property
    def label(self) -> str:
        """``TensorDictModule (Linear 4 -> 2)``."""
        return f"{type(self).__name__} ({describe(self.module)})"

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Call the wrapped module and bring its outputs into the order of the out_keys."""
        # self.module by the fast path: nn.Module finds a child as an attribute only after everything else.
        held: dict[str, Any] = self._modules if "module" in self._modules else self.__dict__
        output = held["module"](*inputs) if self._plain else self._call(*inputs)
        if self._single and isinstance(output, Tensor):
            return (output,)
        in_order = type(output) is tuple and len(output) == len(self._out_keys) == len(self._returned)
        return output if in_order else self._in_order(output)

    def _call(self, *inputs: Any) -> Any:
        function = self.module if self.method is None else getattr(self.module, self.method)
        if self._arguments is None:
            return function(*inputs, **self.method_kwargs)
        return function(**dict(zip(self._arguments, inputs, strict=True)), **self.method_kwargs)

    def _in_order(self, output: Any) -> tuple[Any, ...]:
        if isinstance(output, Mapping | TensorDictBase):
            held = output if isinstance(output, TensorDictBase) else TensorDict(dict(output))
            there = held.keys(include_nested=True)
            if all(key in there for key in self._returned if key != SINK):
                return tuple(held[key] for key in self._returned if key != SINK)
            if len(self._returned) == 1 and isinstance(output, TensorDictBase):
                return (output,)  # a nested entry of its own
            raise self._wrong(f"a mapping with the keys {list(held.keys(True, True))}", "Name the keys as it does.")
        values = output if isinstance(output, tuple | list) else () if output is None else (output,)
        if len(values) != len(self._returned):
            kinds = ", ".join(map(shape_of, values)) or "nothing"
            raise self._wrong(f"{len(values)} outputs ({kinds})", "Name one key for each, and '_' for one to drop.")
        return tuple([value for key, value in zip(self._returned, values, strict=True) if key != SINK])

    def _wrong(self, returned: str, fix: str) -> OutputError:
        asked = f"out_keys={list(self._returned)} ({len(self._returned)})"
        return OutputError(f"{self.label} cannot store its result: it returned {returned}, for {asked}.\n   {fix}")

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
    if isinstance(module, type):
        problem = f"module is the class {module.__name__}, not an instance of it."
    elif not callable(module if method is None else getattr(module, method, None)):
        lack = "cannot be called" if method is None else f"has no method {method!r}"
        problem = f"module ({describe(module)}) {lack}."
    else:
        return
    fix = "pass an nn.Module or a function: TensorDictModule(nn.Linear(4, 2), in_keys=[...], out_keys=[...])."
    raise ContractError("TensorDictModule", [Finding("not-callable", problem, "", fix)])
