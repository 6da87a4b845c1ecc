"""Outputs that nobody reads and that look as though somebody was meant to."""

from __future__ import annotations

from collections.abc import Sequence

from keywork._keys import misspelling
from keywork.flow._graph import Part


def unread_outputs(parts: Sequence[Part]) -> list[str]:
    """A note for each output that nobody reads where a later part reads, from outside or perhaps, nearly the same key.

    Most outputs that nobody reads are there to be looked at, and no note is made of them.

    >>> unread_outputs([Part("inputs", "input", writes=("x", "mask")), Part("rules", reads=("x",), writes=("maks",)),
    ...                 Part("net", reads=("x", "mask"))])[0]
    "nobody reads 'maks', which rules (module) writes; net (module) reads 'mask' of inputs. Did you mean one key?"
    """
    notes = []
    for index, part in enumerate(parts):
        for key in part.writes if part.kind not in ("input", "env", "buffer", "collector") else ():
            if any(key in later.inputs for later in parts[index + 1 :]):
                continue
            for later in parts[index + 1 :]:
                meant = misspelling(key, [k for k in later.inputs if _is_from_outside(parts, k)])
                if meant is not None:
                    source = next((p.name for p in parts if meant in p.writes), "")
                    reads = f"reads {meant!r} of {source}" if source else f"may read {meant!r}, which nobody writes"
                    notes.append(
                        f"nobody reads {key!r}, which {part.name} ({part.kind}) writes; "
                        f"{later.name} ({later.kind}) {reads}. Did you mean one key?"
                    )
                    break
    return notes


def _is_from_outside(parts: Sequence[Part], key: object) -> bool:
    return all(part.kind == "input" for part in parts if key in part.writes)
