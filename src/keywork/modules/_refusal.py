"""What messages of this room say of arguments and keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from keywork._errors import Finding
from keywork._errors import refusal as refusal
from keywork._keys import meant


def require_known(owner: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keyword arguments that there are not, as Python does for those of a signature.

    Raises:
        TypeError: an option is unknown.
    """
    names = list(known)
    for name in options:
        if name not in names:
            hint = meant(name, names).strip()
            raise TypeError(f"{owner}.__init__() got an unexpected keyword argument {name!r}{hint and '; ' + hint}")


def without_external(findings: Iterable[Finding]) -> list[Finding]:
    """The findings of a chain whose class takes no ``external``: without the advice to pass it."""
    return [replace(f, fix=f.fix.partition(_EXTERNAL)[0] + "." * (_EXTERNAL in f.fix)) for f in findings]


_EXTERNAL = ", or pass external="
