"""The one place where the library writes files: whole, or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from keywork._errors import RunError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one and never a part.

    Raises:
        RunError: it cannot be written there.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}. Free or name another place: --runs DIR.") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; see :func:`write_bytes`. NaN and infinity have no JSON and are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}. Name the folder of a run: runs/<name>.") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} does not hold a JSON object but a {type(content).__name__}: it is no file of a run.")
    return content


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors, a format that holds no code; see :func:`write_bytes`."""
    # Parameters may be views of one flat vector, and safetensors stores no views.
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(own))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors.

    Raises:
        RunError: there is no such file, or it is damaged.
    """
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} cannot be read: {error}. Name the folder of a finished run: runs/<name>.") from error


class Lines:
    """A text file that grows line by line; every line is there for a reader as soon as it is added.

    Args:
        path: the file, which is made anew.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}. Name another place: --runs DIR.") from error

    def add(self, line: str) -> None:
        """Append one line."""
        self._file.write(line + "\n")

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()
