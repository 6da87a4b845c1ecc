"""Progress as plain lines, for a log."""

from __future__ import annotations

from keywork.cli._progress import Progress, duration
from rich.console import Console
from keywork.train import Evaluation, Metrics, Outcome, Run, RunSettings
