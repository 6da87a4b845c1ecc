"""Modules of other libraries as steps: anything with in_keys and out_keys that is called on a TensorDict."""

from __future__ import annotations

from typing import Any

from torch import nn

from keywork._errors import ContractError, Finding
from keywork.nn._base import TensorDictModuleBase
from keywork.nn._messages import describe


class ForeignModule(TensorDictModuleBase):
    """A key module of another library, called on TensorDicts just as it is.

    Args:
        module: has ``in_keys`` and ``out_keys`` and takes a TensorDict.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(list(module.in_keys), list(module.out_keys))  # type: ignore[arg-type]
        self.module = module

    @property
    def label(self) -> str:
        """The name of the other library's class."""
        return describe(self.module)

    def forward(self, tensordict: Any = None, *args: Any, tensordict_out: Any = None, **kwargs: Any) -> Any:
        """Call the module on a TensorDict."""
        return self.module(tensordict, *args, **kwargs)


def as_step(module: Any, place: str) -> TensorDictModuleBase:
    """The module as a step of a sequential.

    Raises:
        ContractError: it says nothing of its keys.
    """
    if isinstance(module, TensorDictModuleBase):
        return module
    if isinstance(module, nn.Module) and hasattr(module, "in_keys") and hasattr(module, "out_keys"):
        return ForeignModule(module)
    raise ContractError(
        "TensorDictSequential",
        [
            Finding(
                "no-keys",
                f"{place} is {describe(module)}, which does not say what it reads and writes.",
                f"a {type(module).__name__}",
                "wrap it: TensorDictModule(module, in_keys=[...], out_keys=[...]).",
            )
        ],
    )
