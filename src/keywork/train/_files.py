"""The one place where the library writes files: whole, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import safetensors
import safetensors.torch
from torch import Tensor

from keywork._errors import RunError


def save_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one and never a part.

    Raises:
        RunError: it cannot be written there.
    """
    beside = path.with_name(f".{path.name}-{uuid4().hex}")  # not tempfile: its files are for the owner alone
    try:
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def save_text(path: Path, text: str) -> None:
    """Write a text file; see :func:`save_bytes`."""
    # The name of a folder may be no UTF-8, and a report that shows it is written all the same.
    save_bytes(path, text.encode(errors="backslashreplace"))


def save_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; see :func:`save_bytes`. NaN and infinity have no JSON and are refused."""
    save_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from error
    if not isinstance(content, dict):
        raise RunError(f"{path} does not hold a JSON object but a {type(content).__name__}: it is no file of a run.")
    return content


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors, a format that holds no code; see :func:`save_bytes`."""
    # Parameters may be views of one flat vector, and safetensors stores no views.
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_bytes(path, safetensors.torch.save(own))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors.

    Raises:
        RunError: there is no such file, or it is damaged.
    """
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise unreadable(path, error) from error


class Lines:
    """A text file that grows line by line; every line is there for a reader as soon as it is added.

    Args:
        path: the file, which is made anew.

    Raises:
        RunError: it cannot be written; when it is made, or when a line is added.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from error

    def add(self, line: str) -> None:
        """Append one line."""
        try:
            self._file.write(f"{line}\n".encode())
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()


def unreadable(path: Path, error: Exception) -> RunError:
    """The error of a file that is missing or damaged."""
    reason = error.strerror if isinstance(error, OSError) else f"it is damaged ({error})"
    return RunError(f"{path} cannot be read: {reason}. Name the folder of a finished run: runs/<name>.")


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"{path} cannot be written: {error.strerror}. Make room, or name another place: --runs DIR.")
