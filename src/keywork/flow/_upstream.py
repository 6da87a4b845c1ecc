"""What an entry comes from: the way back through a pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from keywork._keys import Key
from keywork.flow._graph import Part


def upstream(parts: Sequence[Part], index: int) -> dict[int, tuple[Key, ...]]:
    """The parts that the part at ``index`` depends on, itself too, each with what it reads.

    >>> net, critic = Part("net", reads=("x",), writes=("h",)), Part("critic", reads=("h",))
    >>> upstream([net, Part("other", reads=("h",)), critic], 2)
    {2: ('h',), 0: ('x',)}
    """
    found: dict[int, tuple[Key, ...]] = {}
    waiting = [index]
    while waiting:
        here = waiting.pop()
        if here in found:
            continue
        found[here] = parts[here].inputs
        for key in parts[here].inputs:
            writer = next((i for i in reversed(range(here)) if key in parts[i].writes), None)
            if writer is not None:
                waiting.append(writer)
    return found
