"""A graph for other programs."""

from __future__ import annotations

import json
from typing import Any

from keywork._keys import Key
from keywork.flow._graph import Graph

FORMAT = 1
"""Counts up when a reader of the files has to change."""


def to_json(graph: Graph) -> str:
    """JSON text; a nested key is a list of strings, an unknown shape is null."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "parts": [
            {
                "name": part.name,
                "kind": part.kind,
                "description": part.description,
                "reads": [_key(key) for key in part.reads],
                "optional": [_key(key) for key in part.optional],
                "writes": [_key(key) for key in part.writes],
            }
            for part in graph.parts
        ],
        "entries": [
            {
                "key": _key(entry.key),
                "shape": None if entry.holds.shape is None else list(entry.holds.shape),
                "batched": entry.holds.batched,
                "dtype": entry.holds.dtype,
                "domain": entry.holds.domain,
                "written_by": list(entry.written_by),
                "read_by": list(entry.read_by),
            }
            for entry in graph.entries
        ],
        "carries": [
            {"key": _key(carry.key), "from": graph.parts[carry.source].name, "to": graph.parts[carry.target].name}
            for carry in graph.carries
        ],
        "notes": list(graph.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _key(key: Key) -> str | list[str]:
    return key if isinstance(key, str) else list(key)
