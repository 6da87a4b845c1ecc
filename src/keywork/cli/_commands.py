"""The commands, and what their errors mean for the exit code."""

from __future__ import annotations

from collections.abc import Sequence

from keywork._errors import EnvError, KeyworkError, NonFiniteError
from keywork.cli._check import check
from keywork.cli._codes import FAILED, OK, USAGE, complain
from keywork.cli._eval import play_again
from keywork.cli._graph import graph
from keywork.cli._train import train


def run_command(command: str, words: Sequence[str]) -> int:
    """Run one of the commands with the words after it; returns the exit code."""
    try:
        if command == "graph":
            return graph(words[0], words[1:])
        if command == "check":
            return check(words[0], words[1:])
        if command == "train":
            train(words[0], words[1:])
        else:
            play_again(words)
    except (EnvError, NonFiniteError) as error:  # of the run itself; all others are of what was asked for
        return complain(str(error), USAGE if command == "check" else FAILED)  # where 1 says that there are findings
    except KeyworkError as error:
        return complain(str(error), USAGE)
    return OK
