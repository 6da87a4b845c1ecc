"""Where what a part runs is written down."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from keywork.flow._describe import named_after
from keywork.flow._parts import Step


def source_of(step: Step) -> str:
    """``file.py:12``, the definition of the class or function that a part is named after; empty if there is none.

    The file is given from the working directory on, or else from the folder that its package lies in.
    """
    thing = named_after(step.module) if step.module is not None else step.env
    return "" if thing is None else place_of(thing)


def place_of(thing: Any) -> str:
    """The same for a class, a function, or an object of a class.

    >>> place_of(Step).endswith("keywork/flow/_parts.py:20"), place_of(len)
    (True, '')
    """
    thing = inspect.unwrap(thing) if callable(thing) else thing
    if not (inspect.isclass(thing) or inspect.isfunction(thing) or inspect.ismethod(thing)):
        thing = type(thing)
    try:
        path, line = Path(inspect.getfile(thing)), inspect.getsourcelines(thing)[1]
    except (TypeError, OSError):
        return ""  # built in, or typed at a prompt
    return f"{_short(path, thing)}:{line}"


def _short(path: Path, thing: Any) -> str:
    here = Path.cwd()
    if path.is_relative_to(here) and "site-packages" not in path.parts:
        return path.relative_to(here).as_posix()
    depth = str(thing.__module__).count(".") + 1 + (path.stem == "__init__")
    return Path(*path.parts[-depth:]).as_posix() if depth < len(path.parts) else path.as_posix()
