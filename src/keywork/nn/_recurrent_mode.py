"""Whether recurrent modules take steps or sequences: one variable a thread, honoured by every module below it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Current(threading.local):  # see _exploration
    def __init__(self) -> None:
        self.mode = False


_current = _Current()


def recurrent_mode() -> bool:
    """Whether the last batch dimension is time; False outside of any context."""
    return _current.mode


@contextmanager
def set_recurrent_mode(mode: bool = True) -> Iterator[None]:
    """Let recurrent modules run over sequences (or, if False, over steps): a context manager and a decorator."""
    if not isinstance(mode, bool):
        raise TypeError(f"set_recurrent_mode takes True for sequences or False for steps; got {mode!r}.")
    before, _current.mode = _current.mode, mode
    try:
        yield
    finally:
        _current.mode = before
