"""``my_file.py:build``: what a function of the user's gives, and where in it something went wrong."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from keywork._errors import ContractError, UsageError
from keywork._keys import listed, meant, nearest
from keywork.cli._place import Place, place_in, shown

DEFAULT = "build"
"""What is taken of a file where nothing is named."""

_MOST = 8  # functions that a message lists


class UserCode:
    """A file or module, and what is looked for in it.

    Args:
        target: ``my_file.py:build``, ``my_module:build``, or ``my_file.py`` alone.
        whole: show the whole traceback of what the code raises.

    Attributes:
        name: what messages call it.

    Raises:
        UsageError: the target names no file and no module.
    """

    def __init__(self, target: str, *, whole: bool = False) -> None:
        found = re.fullmatch(r"(?P<file>.*\.py)(:(?P<of_file>[^:]*))?|(?P<module>[^:]*):(?P<of_module>[^:]*)", target)
        named = found.groupdict("") if found else dict.fromkeys(("file", "of_file", "module", "of_module"), "")
        self._file, self._module = named["file"], named["module"]
        self._attribute = named["of_file"] or named["of_module"] or DEFAULT
        if not self._file and not all(part.isidentifier() for part in self._module.split(".")):
            raise UsageError(f"{target!r} names no file and no module. Type such as my_file.py:build.")
        self.name = f"{self._file or self._module}:{self._attribute}"
        self._whole = whole
        self._folder = Path(self._file).absolute().parent if self._file else Path.cwd()
        self._begins: Place | None = None

    def get(self) -> Any:
        """What the function returns, called without arguments; anything but a function or class is taken as it is.

        Raises:
            ContractError: as the code raised it.
            UsageError: there is no such file or function, it needs arguments, or raised anything else.
        """
        with _importable(self._folder):
            module = self._load()
            if not hasattr(module, self._attribute):
                raise self._no_such_function(module)
            thing = getattr(module, self._attribute)
            if not inspect.isroutine(thing) and not inspect.isclass(thing):
                return thing
            self._look_at(thing)
            with self._watched("cannot be used"):
                return thing()

    def place_of(self, error: BaseException) -> Place | None:
        """The line of the code that an exception came through, or else that of the function."""
        return place_in(error, self._folder) or self._begins

    def _load(self) -> ModuleType:
        with self._watched("cannot be loaded"):
            if self._module:
                importlib.invalidate_caches()  # or a file that is newer than the last look is not seen
                return importlib.import_module(self._module)
            path = Path(self._file)
            try:
                source = path.read_bytes()
            except OSError as error:
                raise _NotThereError(_no_file(path, error)) from error
            # Named as an import would name it, unless something else has that name.
            module = ModuleType(path.stem if path.stem not in sys.modules else f"{path.stem}_file")
            module.__file__ = str(path.absolute())
            sys.modules[module.__name__] = module  # where a dataclass looks for what its annotations name
            exec(compile(source, module.__file__, "exec", dont_inherit=True), vars(module))
            return module

    def _look_at(self, function: Any) -> None:
        """Remember where it is, and that it can be called as it will be."""
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is not None:
            self._begins = Place(shown(code.co_filename), code.co_firstlineno)
        try:
            signature = inspect.signature(function)
        except ValueError:
            return  # of a function that is not written in Python
        needed = [
            name
            for name, parameter in signature.parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        if needed:
            raise UsageError(
                f"{self.name} cannot be called: it needs {listed(needed)}, and it is called without arguments. "
                "Give them defaults, or name a function that takes none."
            )

    @contextmanager
    def _watched(self, what: str) -> Iterator[None]:
        """Whatever the user's code raises, with the line where; the findings of a pipeline as they are."""
        try:
            yield
        except (ContractError, _NotThereError):
            raise
        except (Exception, SystemExit) as error:
            raise self._raised(what, error) from error

    def _raised(self, what: str, error: BaseException) -> UsageError:
        absent = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if absent and f"{self._module}.".startswith(f"{absent}."):
            path = f"{self._module.replace('.', '/')}.py"
            return UsageError(f"There is no module {self._module!r}. Name the file instead: {path}:{self._attribute}.")
        if self._whole:
            sys.stderr.write("".join(traceback.format_exception(error)))
        place = self.place_of(error)
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        kind = f"{type(error).__name__}{f': {message}' if message else ''}"
        more = "" if self._whole else "--traceback shows the way there."
        end = "\n" if "\n" in kind else f"{'' if kind.endswith('.') else '.'} "
        return UsageError(f"{self.name} {what}: {f'{place} raises ' if place else ''}{kind}{end}{more}".rstrip())

    def _no_such_function(self, module: ModuleType) -> UsageError:
        functions = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        ]
        here = self._file or self._module
        there = f"It has {listed(functions[:_MOST])}{', ...' if len(functions) > _MOST else ''}. "
        near = nearest(self._attribute, functions, cutoff=0.6) or next(iter(functions), DEFAULT)
        fix = f"Name what to call, such as {here}:{near}."
        hint = _hint(self._attribute, functions)
        return UsageError(f"{here} has no {self._attribute!r}. {hint}{there if functions else ''}{fix}")


class _NotThereError(UsageError):
    """There is no such file."""


def _no_file(path: Path, error: OSError) -> str:
    hint = _hint(path.name, [other.name for other in path.parent.glob("*.py")])
    return f"The file {str(path)!r} cannot be read: {error.strerror}. {hint}Name one, such as my_file.py:build."


def _hint(word: str, candidates: Sequence[str]) -> str:
    hint = meant(word, candidates)
    return hint[:1].upper() + hint[1:]


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let code import what is beside it, as it can when Python runs it."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
