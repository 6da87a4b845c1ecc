"""From the words of a command to its exit code. What answers at once is answered before torch is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import keywork
from keywork._keys import meant
from keywork.cli._codes import INTERRUPTED, NOBODY_READS, OK, complain
from keywork.cli._stop import Stop

ALGORITHMS = {"ppo": "proximal policy optimisation, for discrete and continuous actions"}
COMMANDS = ("train", "eval")

HELP = """\
usage: keywork COMMAND ...

Reinforcement learning whose data flow you can see.

commands:
  train ALGORITHM [OPTIONS]   train a policy; leaves a folder with a report
  eval RUN [OPTIONS]          play a trained policy again, from its folder

  keywork COMMAND --help      what a command takes
  keywork --version           the version

first steps:
  keywork train ppo --env CartPole-v1
  keywork eval runs/NAME
"""

TRAIN_HELP = """\
usage: keywork train ALGORITHM [OPTIONS]

algorithms:
{algorithms}

  keywork train ALGORITHM --help      its options and their defaults
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: its words, without the program's name; None takes those that the process was started with.

    Returns:
        The exit code: 0 if all went well, 1 if the run failed, 2 if it cannot be done as asked, 130 after Ctrl-C,
        143 after SIGTERM, 141 if nobody reads the output any more (``keywork ... | head``).
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
    if command == "train":
        algorithm = rest[0] if rest else "--help"
        if algorithm in ("-h", "--help"):
            rows = (f"  {name:<10}{text}" for name, text in ALGORITHMS.items())
            return _say(TRAIN_HELP.format(algorithms="\n".join(rows)))
        if algorithm not in ALGORITHMS:
            if algorithm.startswith("-"):
                return complain("The algorithm comes before the options: keywork train ppo --env CartPole-v1.")
            hint = meant(algorithm, ALGORITHMS).capitalize()
            return complain(f"There is no algorithm {algorithm!r}. {hint}'keywork train --help' lists all.")
    from keywork.cli._commands import run_command  # here, because it brings torch

    return run_command(command, rest)


def _say(text: str) -> int:
    sys.stdout.write(text)
    return OK


def _close_stdout() -> None:
    """Let what is still in the buffer go nowhere, or the interpreter complains of it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
