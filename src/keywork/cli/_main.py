"""From the words of a command to its exit code. What answers at once is answered before torch is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import keywork
from keywork._keys import meant
from keywork.cli._codes import INTERRUPTED, NOBODY_READS, OK, complain
from keywork.cli._help import ALGORITHMS, COMMAND_HELP, HELP
from keywork.cli._stop import Stop

COMMANDS = ("train", "eval", "graph", "check")
_FIRST = {
    "train": "The algorithm comes before the options: keywork train ppo --env CartPole-v1.",
    "graph": "The pipeline comes before the options: keywork graph my_file.py:build -o flow.html.",
    "check": "The pipeline comes before the options: keywork check my_file.py:build --format github.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: its words, without the program's name; None takes those that the process was started with.

    Returns:
        The exit code: 0 if all went well, 1 if the run failed or the pipeline has findings, 2 if it cannot be done as
        asked, 130 after Ctrl-C, 143 after SIGTERM, 141 if nobody reads the output any more (``keywork ... | head``).
    """
    words = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a terminal cannot show is no reason to fail
            stream.reconfigure(errors="replace")
    with Stop(for_good=argv is None) as stop:
        try:
            code = _dispatch(words)
            sys.stdout.flush()
        except BrokenPipeError:
            _close_stdout()
            return NOBODY_READS
        except KeyboardInterrupt:
            complain("Interrupted.")
            return stop.code or INTERRUPTED
    return code or stop.code or OK


def _dispatch(words: list[str]) -> int:
    command, *rest = words or ["--help"]
    if command in ("-h", "--help"):
        return _say(HELP)
    if command in ("-V", "--version"):
        return _say(f"keywork {keywork.__version__}\n")
    if command not in COMMANDS:
        hint = meant(command, COMMANDS).capitalize()
        return complain(f"There is no command {command!r}. {hint}'keywork --help' lists all.")
    if command in COMMAND_HELP:
        about = rest[0] if rest else "--help"
        if about in ("-h", "--help"):
            return _say(COMMAND_HELP[command])
        if about not in ALGORITHMS and (command == "train" or not _is_code(about)):
            return complain(_unknown(command, about))
    from keywork.cli._commands import run_command  # here, because it brings torch

    return run_command(command, rest)


def _is_code(word: str) -> bool:
    """Whether it names code of the user's: ``my_file.py``, ``my_file.py:build``, ``my_module:build``."""
    return word.endswith(".py") or (":" in word and not word.startswith("-"))


def _unknown(command: str, about: str) -> str:
    if about.startswith("-"):
        return _FIRST[command]
    own = "" if command == "train" else f"For a function of your own, type keywork {command} FILE.py:FUNCTION. "
    hint = meant(about, ALGORITHMS).capitalize()
    return f"There is no algorithm {about!r}. {hint}{own}'keywork {command} --help' lists all."


def _say(text: str) -> int:
    sys.stdout.write(text)
    return OK


def _close_stdout() -> None:
    """Let what is still in the buffer go nowhere, or the interpreter complains of it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
