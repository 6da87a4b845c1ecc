"""Where in the user's own code something happened."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keywork

_OURS = Path(keywork.__file__).parent
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, as an editor opens it.

    >>> str(Place("my_file.py", 12))
    'my_file.py:12'
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def shown(file: str | Path) -> str:
    """A file's name as seen from here, or its full one if it is elsewhere.

    >>> shown(Path.cwd() / "a" / "b.py")
    'a/b.py'
    """
    path, here = Path(os.path.abspath(file)), Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def place_in(error: BaseException, folder: Path) -> Place | None:
    """The deepest line below a folder that an exception came through: whose mistake it is, if not in a library."""
    inside = [(file, line) for file, line in _lines(error) if _is_own(Path(file), folder)]
    return Place(shown(inside[-1][0]), inside[-1][1]) if inside else None


def _lines(error: BaseException) -> Iterator[tuple[str, int]]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield os.path.abspath(frame.f_code.co_filename), line
    if isinstance(error, SyntaxError) and error.filename:  # of a file that has not begun to run
        yield os.path.abspath(error.filename), error.lineno or 1


def _is_own(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and not path.is_relative_to(_OURS) and not _INSTALLED & set(path.parts)
