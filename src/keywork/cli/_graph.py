"""``keywork graph``: a pipeline as a table or a picture, without a step of its environment."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from keywork._errors import ContractError, RunError, UsageError
from keywork._keys import meant
from keywork.cli._codes import FAILED, OK, complain
from keywork.cli._console import make_console
from keywork.cli._pipeline import asked_for
from keywork.cli._texts import show_flow, show_rows, size_of
from keywork.flow import Flow
from keywork.train import save_text

_DRAWN: dict[str, Callable[[Flow, str], str]] = {
    "html": lambda flow, name: flow.html(title=name),
    "svg": lambda flow, _: flow.svg(),
    "mmd": lambda flow, _: flow.mermaid(),
    "json": lambda flow, _: flow.to_json(),
    "txt": lambda flow, _: flow.table(),
}
_STDOUT = "-"


@dataclass(frozen=True)
class GraphOptions:
    """Draw a pipeline: who writes and who reads every key, and what it holds. Nothing is trained."""

    out: Annotated[str, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = ""
    """The file to write, such as flow.html; - writes to stdout. Left out, the table is shown here."""
    format: Literal["auto", "html", "svg", "mmd", "json", "txt"] = "auto"
    """Of what is written; auto takes it from the file's name. mmd is Mermaid, txt is the table."""

    @property
    def form(self) -> str:
        """The format that is asked for, or "" for a table to look at.

        Raises:
            UsageError: the file's name and the format do not go together, or neither says what to draw.
        """
        suffix = "" if self.out == _STDOUT else Path(self.out).suffix.removeprefix(".").lower()
        if self.format != "auto":
            if suffix in _DRAWN and suffix != self.format:
                fix = f"Leave --format out, or name it {Path(self.out).with_suffix('.' + self.format)}."
                raise UsageError(f"-o {self.out} is a name for {suffix}, and --format asks for {self.format}. {fix}")
            return self.format
        if self.out == _STDOUT:
            return "txt"
        if self.out and suffix not in _DRAWN:
            wrong = f"the suffix '.{suffix}'" if suffix else "no suffix"
            endings = ", ".join(f".{name}" for name in _DRAWN)
            hint = meant(suffix, _DRAWN).capitalize()
            fix = f"{hint}Let it end in {endings}, or say it with --format svg."
            raise UsageError(f"-o {self.out} does not say what to draw: it has {wrong}. {fix}")
        return suffix


def graph(target: str, words: Sequence[str]) -> int:
    """Run ``keywork graph TARGET`` with the words after it; returns the exit code.

    Raises:
        KeyworkError: whatever cannot be done as asked.
    """
    asked = asked_for("graph", GraphOptions, target, words)
    if asked is None:
        return OK
    source, options = asked
    form = options.form
    path = _place_for(options.out) if options.out not in ("", _STDOUT) else None
    try:
        flow = source.flow(check=False)
    except ContractError as error:
        place = source.place_of(error)
        sys.stderr.write(f"keywork: {f'{place}: ' if place else ''}{error}\n")
        return FAILED
    console = make_console()
    if not form:
        show_flow(console, flow)
    elif path is None:
        _to_stdout(_DRAWN[form](flow, source.name))
    else:
        _save(path, _DRAWN[form](flow, source.name))
        show_rows(console, [("pipeline", size_of(flow)), ("written", options.out)])
    if flow.findings:
        count = f"{len(flow.findings)} finding{'s' * (len(flow.findings) != 1)}"
        complain(f"The pipeline has {count}: 'keywork check {shlex.quote(target)}' shows what to change.")
    return OK


def _place_for(out: str) -> Path:
    """The file to write, before anything is built: a mistake is told at once."""
    path = Path(out)
    folder = path.parent
    if os.path.exists(path) and not os.path.isfile(path):  # Path's own raise where a name is too long
        raise UsageError(f"-o {out} cannot be written: it is no file. Name one in it: -o {path / 'flow.html'}.")
    if not os.path.isdir(folder):
        fix = f"Type mkdir -p {shlex.quote(str(folder))} first, or name another place."
        raise UsageError(f"-o {out} cannot be written: there is no folder {str(folder)!r}. {fix}")
    return Path(os.path.realpath(path))  # through a link, the file that it leads to is replaced, and not the link


def _save(path: Path, text: str) -> None:
    try:
        save_text(path, f"{text.rstrip()}\n")
    except RunError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise UsageError(f"{path} cannot be written: {reason}. Make room, or name another place: -o FILE.") from error


def _to_stdout(text: str) -> None:
    """In UTF-8 whatever the terminal has, as in a file."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:  # a notebook's
        sys.stdout.write(f"{text.rstrip()}\n")
        return
    sys.stdout.flush()
    stream.write(f"{text.rstrip()}\n".encode())
    stream.flush()
