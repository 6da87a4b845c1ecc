"""What a genuine module of TorchRL holds: a keywork module, called under TorchRL's modes."""

from __future__ import annotations

from typing import Any

from tensordict.nn import TensorDictModuleBase as TheirModuleBase
from tensordict.nn import dispatch
from torch import nn

from keywork._errors import MissingKeyError
from keywork._keys import listed, unique
from keywork.interop._modes import modes_of_torchrl
from keywork.nn import TensorDictModuleBase


class TensorStep(nn.Module):
    """A keywork module over tensors, as a TensorDictModule of theirs calls it.

    Args:
        module: the keywork module, whose parameters are these.
    """

    def __init__(self, module: TensorDictModuleBase) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        """From the tensors of the in_keys to those of the out_keys."""
        module: Any = self.module
        contract = module.contract
        given = dict(zip(unique(module.in_keys), inputs, strict=True))
        for key in contract.reads:
            if given[key] is None:  # theirs for an entry that is not there
                held = listed(key for key, value in given.items() if value is not None)
                raise MissingKeyError.of(module.label, key, f"{held}, of what it reads")
        with modes_of_torchrl():
            return module.run(*[given[key] for key in module.in_keys])

    def __getattr__(self, name: str) -> Any:
        """What is not here is looked up on the keywork module: ``step``, ``eps``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            module = self.__dict__.get("_modules", {}).get("module")
            if module is None or name.startswith("_"):
                raise
            return getattr(module, name)


class TensorDictStep(TheirModuleBase):
    """A keywork module that is called on TensorDicts only, as a module of tensordict.nn.

    Args:
        module: the keywork module, whose parameters are these.
    """

    def __init__(self, module: TensorDictModuleBase) -> None:
        super().__init__()
        self.module = module
        keys: Any = module
        self.in_keys, self.out_keys = keys.in_keys, keys.out_keys

    @dispatch(auto_batch_size=False)
    def forward(self, tensordict: Any, tensordict_out: Any = None) -> Any:
        """Call it; what it returns is stored in the TensorDict, or in ``tensordict_out``."""
        return called(self, tensordict, tensordict_out)


def called(step: Any, tensordict: Any, tensordict_out: Any) -> Any:
    """Call the keywork module of a step of theirs on a TensorDict, under TorchRL's modes."""
    with modes_of_torchrl():
        result = step.module(tensordict if tensordict_out is None else tensordict.copy())
    target = tensordict if tensordict_out is None else tensordict_out
    return target if result is target else target.update(result.select(*step.out_keys))
