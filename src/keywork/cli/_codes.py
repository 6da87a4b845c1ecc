"""How a command ends: its exit code, and the one line on stderr that says why."""

from __future__ import annotations

import sys

OK, FAILED, USAGE, INTERRUPTED, NOBODY_READS = 0, 1, 2, 130, 141


def complain(message: str, code: int = USAGE) -> int:
    """Say on one line of stderr what is wrong; returns the exit code."""
    sys.stderr.write(f"keywork: {' '.join(message.split())}\n")
    return code
