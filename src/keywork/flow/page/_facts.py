"""What the page knows of each part and key, as plain values for its script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keywork._errors import Finding
from keywork._keys import Key, path_of
from keywork.flow._graph import Graph


def facts_of(graph: Graph, findings: Sequence[Finding], sources: Mapping[str, str]) -> dict[str, Any]:
    """Parts and keys by their place in the graph; keys and parts know the numbers of the findings that name them.

    Args:
        graph: the pipeline.
        findings: what is wrong with it.
        sources: for parts by name, where they are defined: ``"file.py:12"``.
    """
    named_keys = [named_in(_asked(finding), [repr(entry.key) for entry in graph.entries]) for finding in findings]
    noted_keys = [named_in(note, [repr(entry.key) for entry in graph.entries]) for note in graph.notes]
    named_parts = [named_in(finding.problem, [part.name for part in graph.parts]) for finding in findings]
    parts = [
        {
            "name": part.name,
            "kind": part.kind,
            "description": part.description,
            "source": sources.get(part.name, ""),
            "findings": [n for n, named in enumerate(named_parts) if i in named],
        }
        for i, part in enumerate(graph.parts)
    ]
    keys = [
        {
            "name": dotted(entry.key),
            "shape": entry.holds.shape_text,
            "dtype": entry.holds.dtype,
            "domain": entry.holds.domain,
            "writers": [i for i, part in enumerate(graph.parts) if entry.key in part.writes],
            "readers": [i for i, part in enumerate(graph.parts) if entry.key in part.inputs],
            "before": _unique(carry.source for carry in graph.carries if carry.key == entry.key),
            "findings": [n for n, named in enumerate(named_keys) if k in named],
            "notes": [n for n, named in enumerate(noted_keys) if k in named],
        }
        for k, entry in enumerate(graph.entries)
    ]
    said = {"findings": [finding.problem for finding in findings], "notes": list(graph.notes)}
    return {"parts": parts, "keys": keys, **said}


def dotted(key: Key) -> str:
    """``next.reward``."""
    return ".".join(path_of(key))


def named_in(text: str, names: Sequence[str]) -> set[int]:
    """Which of the names a text mentions; ``Linear 2`` does not mention ``Linear``.

    >>> sorted(named_in("Linear 2 (policy) reads 'x'.", ["Linear", "Linear 2", "'x'"]))
    [1, 2]
    """
    found = set()
    for i in sorted(range(len(names)), key=lambda i: -len(names[i])):
        if names[i] and names[i] in text:
            found.add(i)
            text = text.replace(names[i], "\0")
    return found


def _asked(finding: Finding) -> str:
    # What there is instead names many keys that nothing is wrong with.
    return f"{finding.problem}\n{finding.fix}"


def _unique(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))
