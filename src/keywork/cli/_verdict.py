"""What `keywork check` found, for people, for GitHub and for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from keywork._errors import ContractError
from keywork.cli._place import Place
from keywork.cli._texts import size_of
from keywork.flow import Flow

FORMAT = 1
"""Counts up when a reader of the JSON has to change."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a pipeline.

    Attributes:
        name: what was checked.
        flow: the pipeline, if it could be built.
        error: its findings, if it has any.
        place: the line of the user's that they belong to, if there is one.
    """

    name: str
    flow: Flow | None
    error: ContractError | None = None
    place: Place | None = None


def text(verdict: Verdict) -> str:
    """One line, and what could not be found out; or the numbered findings below the place that an editor opens."""
    if verdict.error is None:
        size = f"{size_of(verdict.flow)}: " if verdict.flow else ""
        return "".join([f"{size}no finding.\n", *(f"note: {note}\n" for note in _notes(verdict))])
    return f"{verdict.place or verdict.name}: {verdict.error}\n"


def github(verdict: Verdict) -> str:
    """One annotation for each finding, as a GitHub workflow reads them; the line for people if there is none."""
    if verdict.error is None:
        return text(verdict)
    where = {"file": verdict.place.file, "line": verdict.place.line} if verdict.place else {}
    lines = []
    for finding in verdict.error.findings:
        about = {**where, "title": finding.kind}
        properties = ",".join(f"{name}={_property(str(value))}" for name, value in about.items())
        lines.append(f"::error {properties}::{_message(f'{verdict.error.what}: {finding}')}\n")
    return "".join(lines)


def as_json(verdict: Verdict) -> str:
    """Everything, for other programs; what is not known is null."""
    flow, error, place = verdict.flow, verdict.error, verdict.place
    document = {
        "format": FORMAT,
        "checked": verdict.name,
        "parts": len(flow.parts) if flow else None,
        "keys": len(flow.entries) if flow else None,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "what": error.what if error else None,
        "findings": [asdict(finding) for finding in error.findings] if error else [],
        "notes": list(_notes(verdict)),
    }
    return json.dumps(document, indent=2) + "\n"


def _notes(verdict: Verdict) -> Sequence[str]:
    return verdict.flow.graph.notes if verdict.flow else ()


def _message(words: str) -> str:
    r"""As it stands in an annotation, which is one line.

    >>> _message("50 %\nof it")
    '50 %25%0Aof it'
    """
    return words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(words: str) -> str:
    """As it stands before the message, where a comma ends it too.

    >>> _property("a:b,c")
    'a%3Ab%2Cc'
    """
    return _message(words).replace(":", "%3A").replace(",", "%2C")


SHOWN: dict[str, Callable[[Verdict], str]] = {"text": text, "github": github, "json": as_json}
