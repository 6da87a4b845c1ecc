"""Every package says what it exports, exports nothing else, and explains it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import keywork

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "keywork",
    *(m.name for m in pkgutil.walk_packages(keywork.__path__, "keywork.") if m.ispkg and "._" not in m.name),
]


def undocumented(name: str, thing: Any) -> Iterator[str]:
    """The names of a class or function, and of its public methods, that lack a docstring.

    A class needs its own, and more than the signature that dataclasses writes; an override may inherit one.
    """
    if isinstance(thing, type):
        own = thing.__dict__.get("__doc__") or ""
        if not own.strip() or own.startswith(f"{thing.__name__}("):
            yield name
        for member in (m for m in vars(thing) if not m.startswith("_")):
            value = inspect.getattr_static(thing, member)
            described = inspect.isroutine(value) or isinstance(value, property | classmethod | staticmethod)
            if described and not inspect.getdoc(getattr(thing, member)):
                yield f"{name}.{member}"
    elif inspect.isroutine(thing) and not inspect.getdoc(thing):
        yield name


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_what_is_visible(package: str) -> None:
    module = importlib.import_module(package)
    visible = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    }
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing
    assert visible <= set(module.__all__)
    assert len(module.__all__) == len(set(module.__all__))  # ruff's RUF022 keeps them sorted


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_explained(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__doc__
    found = [text for name in module.__all__ for text in undocumented(name, getattr(module, name))]
    assert not found, f"without a docstring: {', '.join(found)}"


def test_a_missing_docstring_is_seen() -> None:
    class Bare:
        def method(self) -> None: ...

    assert list(undocumented("Bare", Bare)) == ["Bare", "Bare.method"]


def test_the_newest_version_of_the_changelog_is_the_packages() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)[0] == keywork.__version__
