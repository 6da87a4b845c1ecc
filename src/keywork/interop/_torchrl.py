"""The one place from which TorchRL is imported."""

from __future__ import annotations

import importlib
from typing import Any

from keywork._errors import MissingExtraError


def torchrl(room: str, what: str) -> Any:
    """A package of TorchRL, such as ``torchrl.modules``.

    Args:
        room: ``"modules"``, ``"data"`` or ``"envs"``.
        what: who needs it, for the message.

    Raises:
        MissingExtraError: TorchRL is not installed.
    """
    try:
        importlib.import_module("torchrl")
    except ModuleNotFoundError as error:
        if error.name != "torchrl":
            raise
        raise MissingExtraError(what, "torchrl", "torchrl") from None
    return importlib.import_module(f"torchrl.{room}")
