"""Options of a command, from frozen dataclasses: each field is an option without a prefix."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import fields, is_dataclass
from itertools import takewhile
from typing import Any, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from keywork._errors import UsageError
from keywork._keys import meant

registry = ConstructorRegistry()


@registry.primitive_rule
def _whole_number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda words: _int(words[0]),
        is_instance=lambda value: type(value) is int,
        str_from_instance=lambda value: [str(value)],
    )


def _int(word: str) -> int:
    """A whole number as people write one.

    >>> _int("100000"), _int("100_000"), _int("1e5")
    (100000, 100000, 100000)
    """
    try:
        return int(word)
    except ValueError:
        pass
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not value.is_integer():
        raise ValueError(f"{word!r} is no whole number such as 100000.")
    return int(value)


def parse(kind: type[Any], words: Sequence[str], prog: str, description: str) -> Any | None:
    """The options that the words of a command ask for, or None if they asked for help, which has been given.

    Args:
        kind: a dataclass; the fields of a dataclass within it are a group of their own in the help.
        words: those of the command line, without the command.
        prog: the command.
        description: the first lines of its help.

    Raises:
        UsageError: they are no such options; one line that says what to type.
    """
    drawn = io.StringIO()
    try:
        with redirect_stderr(drawn):
            options, unknown = tyro.cli(
                kind,
                prog=prog,
                description=description,
                args=words,
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
                registry=registry,
            )
    except SystemExit as end:
        if not end.code:
            return None
        raise _own_error(end) or UsageError(f"{_sentence(drawn.getvalue())} '{prog} --help' says more.") from None
    if unknown:
        raise UsageError(f"{_unknown(unknown, kind)} '{prog} --help' lists all options.")
    return options


def _own_error(error: BaseException | None) -> UsageError | None:
    """The refusal of a dataclass, which tyro draws a box around."""
    while error is not None and not isinstance(error, UsageError):
        error = error.__context__
    return error


def _sentence(box: str) -> str:
    """The first paragraph of what tyro drew in a box of several, in one line and without the frame."""
    rows = [row.strip("│| ") for row in box.splitlines()[1:]]
    text = " ".join(takewhile(lambda row: row.strip("─-╰╯+"), rows))
    return text.removeprefix("Error parsing ").rstrip(".") + "."


def _unknown(words: Sequence[str], kind: type[Any]) -> str:
    option = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
    if option is None:
        return f"{words[0]!r} belongs to no option."
    return f"There is no option {option}. {meant(option, option_names(kind))}".rstrip()


def option_names(kind: type[Any]) -> Iterator[str]:
    """The options of a dataclass and of those within it."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if is_dataclass(hints[field.name]):
            yield from option_names(hints[field.name])
        else:
            yield "--" + field.name.replace("_", "-")
            if hints[field.name] is bool:
                yield "--no-" + field.name.replace("_", "-")
