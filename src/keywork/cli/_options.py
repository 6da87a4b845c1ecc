"""Options of a command, from frozen dataclasses: each field is an option without a prefix."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import fields, is_dataclass
from itertools import dropwhile, takewhile
from math import isfinite
from typing import Any, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from keywork._errors import UsageError
from keywork._keys import nearest


def whole_number(word: str) -> int:
    """A whole number as people write one.

    >>> whole_number("100000"), whole_number("100_000"), whole_number("1e5")
    (100000, 100000, 100000)
    """
    with suppress(ValueError):
        return int(word)
    with suppress(ValueError):
        if number(word).is_integer():
            return int(float(word))
    raise ValueError(f"{word!r} is no whole number such as 100000")


def number(word: str) -> float:
    """A finite number.

    >>> number("3e-4")
    0.0003
    """
    value = float("nan")
    with suppress(ValueError):
        value = float(word)
    if not isfinite(value):
        raise ValueError(f"{word!r} is no number such as 0.5")
    return value


def _rule(kind: type[Any], read: Callable[[str], Any]) -> Callable[[PrimitiveTypeInfo], Any]:
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if info.type not in (kind, kind | None):
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=kind.__name__.upper(),
            instance_from_str=lambda words: read(words[0]),
            is_instance=lambda value: value is None or type(value) is kind,
            str_from_instance=lambda value: [str(value)],
        )

    return rule


_registry = ConstructorRegistry()
for _kind, _read in ((int, whole_number), (float, number)):
    _registry.primitive_rule(_rule(_kind, _read))


def parse(
    kind: type[Any],
    words: Sequence[str],
    prog: str,
    description: str,
    *,
    default: Any = None,
    told: Callable[[str], str] | None = None,
) -> Any | None:
    """The options that the words of a command ask for, or None if they asked for help, which has been given.

    Args:
        kind: a dataclass; the fields of a dataclass within it are a group of their own in the help.
        words: those of the command line, without the command.
        prog: the command.
        description: the first lines of its help.
        default: an instance of it, whose values hold for what is not given; None takes those of the dataclass.
        told: what to say of an option that there is not, in place of what is usual; empty for that.

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
                default=tyro.MISSING_NONPROP if default is None else default,
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
                registry=_registry,
            )
    except SystemExit as end:
        if not end.code:
            return None
        raise _own_error(end) or UsageError(f"{_sentence(drawn.getvalue())} '{prog} --help' says more.") from None
    if unknown:
        raise UsageError(f"{_unknown(unknown, kind, told)} '{prog} --help' lists all options.")
    return options


def _own_error(error: BaseException | None) -> UsageError | None:
    """The refusal of a dataclass, which tyro draws a box around."""
    while error is not None and not isinstance(error, UsageError):
        error = error.__context__
    return error


def _sentence(box: str) -> str:
    """The first paragraph below the title of what tyro drew in a box, in one line and without the frame."""

    def is_rule(row: str) -> bool:
        return not row.strip("─-╰╯")

    rows = [row.strip("│ ") for row in box.splitlines()[1:]]
    text = " ".join(takewhile(lambda row: not is_rule(row), dropwhile(is_rule, rows)))
    return text.removeprefix("Error parsing ").rstrip(".") + "."


def _unknown(words: Sequence[str], kind: type[Any], told: Callable[[str], str] | None) -> str:
    option = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
    if option is None:
        return f"{words[0]!r} belongs to no option."
    if said := told and told(option):
        return said
    near = nearest(option.lstrip("-").replace("_", "-"), option_names(kind), cutoff=0.6)
    return f"There is no option {option}.{f' Did you mean --{near}?' if near else ''}"


def option_names(kind: type[Any]) -> Iterator[str]:
    """The options of a dataclass and of those within it, without their dashes."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if is_dataclass(hints[field.name]):
            yield from option_names(hints[field.name])
        else:
            name = field.name.replace("_", "-")
            yield name
            if hints[field.name] is bool:
                yield f"no-{name}"
