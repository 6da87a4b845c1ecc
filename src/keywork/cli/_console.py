"""Where the commands write: a terminal with colours, or anything else without."""

from __future__ import annotations

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # rich would end the process here, and with it the run


def make_console() -> Console:
    """A console that shows text as it is: brackets are no markup, and nothing in it is highlighted."""
    return _Console(markup=False, highlight=False, emoji=False)


def is_live(console: Console) -> bool:
    """Whether what was written can be written over: a terminal that can move its cursor."""
    return console.file.isatty() and console.is_terminal and not console.is_dumb_terminal
