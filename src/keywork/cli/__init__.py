"""The command line: ``keywork train``, ``eval``, ``graph`` and ``check``."""

from keywork.cli._main import main

__all__ = ["main"]
