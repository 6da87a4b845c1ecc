"""Modules of tensordict.nn and TorchRL as keywork modules."""

from __future__ import annotations

from typing import Any

from torch import nn

from keywork._errors import ContractError, Finding, describe
from keywork._keys import as_keys, next_key
from keywork.interop._modes import modes_of_keywork
from keywork.interop._specs import spec_from_torchrl
from keywork.nn import TensorDictModuleBase
from keywork.specs import Composite


class TorchRLModule(TensorDictModuleBase):
    """A module of tensordict.nn or TorchRL as a keywork module: what :func:`from_torchrl` returns.

    Args:
        module: theirs, which is called on TensorDicts, under the exploration type and the recurrent mode that are set
            here.
    """

    def __init__(self, module: Any) -> None:
        reads, writes = as_keys(list(module.in_keys)), as_keys(list(module.out_keys))
        super().__init__(list(reads), list(writes), carries=[key for key in reads if next_key(key) in writes])
        self.module = module

    @property
    def label(self) -> str:
        """``TorchRLModule (ProbabilisticActor)``."""
        return f"{type(self).__name__} ({describe(self.module)})"

    @property
    def carried_specs(self) -> Composite:
        """What its recurrent parts carry, as their primers say it."""
        held: dict[Any, Any] = {}
        for part in self.module.modules():
            if hasattr(part, "make_tensordict_primer"):
                held |= dict(spec_from_torchrl(part.make_tensordict_primer().primers).items())  # type: ignore[attr-defined]
        return Composite({key: held[key] for key in self._carries if key in held})

    def forward(self, tensordict: Any = None, *args: Any, tensordict_out: Any = None, **kwargs: Any) -> Any:
        """Call it on a TensorDict, or on tensors if it can be."""
        options = {} if tensordict_out is None else {"tensordict_out": tensordict_out}
        given = () if tensordict is None else (tensordict, *args)
        with modes_of_keywork():
            return self.module(*given, **options, **kwargs)

    def get_dist(self, tensordict: Any) -> Any:
        """The distribution that follows from what a TensorDict holds."""
        with modes_of_keywork():
            return self.module.get_dist(tensordict)

    def __getattr__(self, name: str) -> Any:
        """What is not here is looked up on their module: ``log_prob_keys``, ``spec``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            module = self.__dict__.get("_modules", {}).get("module")
            if module is None or name.startswith("_"):
                raise
            return getattr(module, name)


def from_torchrl(module: Any) -> TorchRLModule:
    """A module of tensordict.nn or TorchRL as a keywork module with the same parameters.

    Such a module is a step of a :class:`~keywork.nn.TensorDictSequential` just as it is. This brings what goes beyond
    its keys: the exploration type and the recurrent mode that are set here hold in it (with TorchRL's own context
    managers, for the length of each call), and a collector feeds the state that its recurrent parts carry.

    Args:
        module: a module with ``in_keys`` and ``out_keys`` that is called on a TensorDict.

    Raises:
        ContractError: it is no such module.

    >>> import torch
    >>> from tensordict import TensorDict
    >>> from tensordict.nn import TensorDictModule
    >>> actor = from_torchrl(TensorDictModule(nn.Linear(4, 2), in_keys=["observation"], out_keys=["action"]))
    >>> actor(TensorDict(observation=torch.zeros(3, 4), batch_size=[3]))["action"].shape
    torch.Size([3, 2])
    """
    if not isinstance(module, nn.Module) or not hasattr(module, "in_keys") or not hasattr(module, "out_keys"):
        problem = f"module is {describe(module)}, which does not say what it reads and writes."
        fix = "wrap it: keywork.nn.TensorDictModule(module, in_keys=[...], out_keys=[...])."
        raise ContractError("from_torchrl", [Finding("no-keys", problem, "", fix)])
    return TorchRLModule(module)
