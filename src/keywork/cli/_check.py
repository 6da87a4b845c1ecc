"""``keywork check``: all that is wrong with a pipeline, without a step of its environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from keywork._errors import ContractError
from keywork.cli._codes import FAILED, OK
from keywork.cli._pipeline import asked_for
from keywork.cli._verdict import SHOWN, Verdict


@dataclass(frozen=True)
class CheckOptions:
    """Check a pipeline: exit code 0 if nothing is wrong with it, 1 with findings, 2 if it cannot be checked."""

    format: Literal["text", "github", "json"] = "text"
    """Of the findings: to read, as annotations of a GitHub workflow, or for a program."""


def check(target: str, words: Sequence[str]) -> int:
    """Run ``keywork check TARGET`` with the words after it; returns the exit code.

    Raises:
        KeyworkError: whatever cannot be done as asked.
    """
    asked = asked_for("check", CheckOptions, target, words)
    if asked is None:
        return OK
    source, options = asked
    try:
        flow = source.flow(check=True)
        if flow.findings:  # it was built with check=False
            raise ContractError("Flow", flow.findings)
        verdict = Verdict(source.name, flow)
    except ContractError as error:
        verdict = Verdict(source.name, None, error, source.place_of(error))
    sys.stdout.write(SHOWN[options.format](verdict))
    return OK if verdict.error is None else FAILED
