"""Ctrl-C and SIGTERM: the first one ends a run early and in order, the second one at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While this is open, the first signal raises KeyboardInterrupt, and the second one ends the process.

    Args:
        for_good: stay open, where the process ends right afterwards: a signal while Python shuts down is a second one.

    Attributes:
        signal: the one that came, if any.
    """

    def __init__(self, *, for_good: bool = False) -> None:
        self._for_good = for_good
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def code(self) -> int | None:
        """The exit code of a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM; None if none came."""
        return None if self.signal is None else 128 + self.signal

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as a shell starts what shall not hear of Ctrl-C
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        if self._for_good and self.signal is not None:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), b"\x1b[?25h\n")  # the live display hides the cursor
            os._exit(128 + number)
        self.signal = number
        raise KeyboardInterrupt
