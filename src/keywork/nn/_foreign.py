"""What can be a step, and those that are called on TensorDicts just as they are, as another library's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from keywork._errors import Finding, describe
from keywork._keys import Key, renamed
from keywork.nn._base import TensorDictModuleBase
from keywork.nn._contract import Contract


class Foreign(TensorDictModuleBase):
    """A key module that is called on TensorDicts; under other keys on one in which its own are.

    Args:
        module: has ``in_keys`` and ``out_keys``, and a contract if it is of this package.
    """

    _follows_keys = True

    def __init__(self, module: Any) -> None:
        said = module.contract if isinstance(module, TensorDictModuleBase) else Contract()
        optional, carries = list(said.optional), list(said.carries)
        super().__init__(list(module.in_keys), list(module.out_keys), optional_keys=optional, carries=carries)
        self.module, self._own = module, (self._in_keys, self._out_keys)

    def forward(self, tensordict: Any = None, *args: Any, tensordict_out: Any = None, **kwargs: Any) -> Any:
        """What the module does."""
        if self._own == (self._in_keys, self._out_keys):
            return self.module(tensordict, *args, **kwargs)
        inner, (reads, writes) = tensordict.empty(), self._own
        for key, value in zip(reads, self.read(tensordict), strict=True):
            inner = inner if value is None else inner.set(key, value)
        result, own = self.module(inner), dict(zip(self._out_keys, writes, strict=True))
        return self.write([result[own[key]] for key in self._stored], tensordict, tensordict_out)


def renamed_step(step: TensorDictModuleBase, names: Mapping[Key, Key]) -> TensorDictModuleBase:
    """The step under other keys, or itself if it has none of them."""
    if all(renamed(key, names) == key for key in step._all_keys):
        return step
    translated = step if step._follows_keys or not step.opaque else Foreign(step)
    return translated._renamed(names)


def strange(name: Any, module: Any) -> list[Finding]:
    """A finding if this is no step."""
    if isinstance(module, nn.Module) and hasattr(module, "in_keys") and hasattr(module, "out_keys"):
        return []
    problem = f"step {name} is {describe(module)}, which does not say what it reads and writes."
    fix = "wrap it: TensorDictModule(module, in_keys=[...], out_keys=[...])."
    return [Finding("no-keys", problem, "", fix)]
