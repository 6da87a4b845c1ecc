"""The command line: ``keywork train`` and ``keywork eval``."""

from keywork.cli._main import main

__all__ = ["main"]
