"""From a flat list of values to nested entries: planned once, so that it is a few assignments each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from keywork._keys import Key, path_of


class Tree:
    """Nested dictionaries for entries of these keys.

    >>> Tree(["action", ("next", "reward")]).of([1, 2], {("next", "done"): 3})
    {'action': 1, 'next': {'reward': 2, 'done': 3}}
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        groups: dict[tuple[str, ...], int] = {(): 0}
        # In this order: which group gets an entry, its name there, and the group (or None for a value) that it is.
        self._plan: list[tuple[int, str, int | None]] = []
        for key in keys:
            path = path_of(key)
            for end in range(1, len(path)):
                if path[:end] not in groups:
                    groups[path[:end]] = len(groups)
                    self._plan.append((groups[path[: end - 1]], path[end - 1], groups[path[:end]]))
            self._plan.append((groups[path[:-1]], path[-1], None))
        self._groups = len(groups)

    def of(self, values: Sequence[Any], more: Mapping[Key, Tensor] | None = None) -> Any:
        """The values in the order of the keys, and further entries."""
        groups: list[Any] = [{} for _ in range(self._groups)]
        value = iter(values)
        for group, name, inner in self._plan:
            groups[group][name] = next(value) if inner is None else groups[inner]
        for key, entry in (more or {}).items():
            *above, name = path_of(key)
            tree = groups[0]
            for part in above:
                tree = tree.setdefault(part, {})
            tree[name] = entry
        return groups[0]
