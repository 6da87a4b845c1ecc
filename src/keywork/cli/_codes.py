"""How a command ends: its exit code, and what on stderr says why."""

from __future__ import annotations

import sys

OK, FAILED, USAGE, INTERRUPTED, NOBODY_READS = 0, 1, 2, 130, 141


def complain(message: str, code: int = USAGE) -> int:
    """Say on stderr what is wrong, each part of it on the line that it has in Python; returns the exit code."""
    sys.stderr.write(f"keywork: {message.rstrip()}\n")
    return code
