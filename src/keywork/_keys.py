"""Keys: how an entry of a TensorDict is named, and the names that everyone uses.

A key is a string, or a tuple of strings for a nested entry. Everything that handles keys in this package goes
through here, and a well-known key is spelt nowhere else.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeAlias

Key: TypeAlias = str | tuple[str, ...]

NEXT = "next"
OBSERVATION = "observation"
ACTION = "action"
ACTION_MASK = "action_mask"
ACTION_VALUE = "action_value"
REWARD = "reward"
DONE = "done"
TERMINATED = "terminated"
TRUNCATED = "truncated"
IS_INIT = "is_init"
LOC = "loc"
SCALE = "scale"
LOGITS = "logits"
STATE_VALUE = "state_value"
STATE_ACTION_VALUE = "state_action_value"
SAMPLE_LOG_PROB = "sample_log_prob"
ADVANTAGE = "advantage"
VALUE_TARGET = "value_target"
RECURRENT_STATE = "recurrent_state"
RECURRENT_STATE_H = "recurrent_state_h"
RECURRENT_STATE_C = "recurrent_state_c"
INDEX = "index"
PRIORITY_WEIGHT = "priority_weight"
TD_ERROR = "td_error"
DISCOUNT = "discount"
VALID: Key = ("collector", "valid")
"""Where a batch says which of its steps were really taken."""

SINK = "_"
"""As an out-key: this output is dropped."""


def path_of(key: Key) -> tuple[str, ...]:
    """The key as a tuple, also where it is a plain string.

    >>> path_of("action"), path_of(("next", "reward"))
    (('action',), ('next', 'reward'))
    """
    return (key,) if isinstance(key, str) else key


def as_key(key: Any) -> Key:
    """Normalise one key: nested tuples are flattened, and a tuple of one is its string.

    Raises:
        TypeError: the key is no string and no tuple of strings, or is empty.

    >>> as_key(("agents", ("left", "action"))), as_key(("action",))
    (('agents', 'left', 'action'), 'action')
    """
    if type(key) is str and key:
        return key
    flat = tuple(_flatten(key))
    if not flat or not all(flat):
        raise TypeError(
            f"A key is a non-empty string, or a non-empty tuple of such strings for a nested entry; got {key!r}."
        )
    return flat[0] if len(flat) == 1 else flat


def _flatten(key: Any) -> Iterable[str]:
    if isinstance(key, str):
        yield str(key)
    elif isinstance(key, tuple):
        for part in key:
            yield from _flatten(part)
    else:
        raise TypeError(
            f"A key is a string, or a tuple of strings for a nested entry; got {key!r} of type {type(key).__name__}."
        )


def as_keys(keys: Any) -> tuple[Key, ...]:
    """Normalise one key or a list of keys to a tuple of keys; the order is kept.

    A tuple is *one* nested key, as everywhere in TensorDict: several keys are a list.

    >>> as_keys("action"), as_keys(("next", "reward")), as_keys(["loc", ("next", "scale")])
    (('action',), (('next', 'reward'),), ('loc', ('next', 'scale')))
    """
    if isinstance(keys, str | tuple):
        return (as_key(keys),) if keys != () else ()
    if isinstance(keys, Iterable) and not isinstance(keys, set | frozenset):
        return tuple(as_key(key) for key in keys)
    raise TypeError(f"Keys are one key or a list of keys, in order; got {keys!r} of type {type(keys).__name__}.")


def unique(keys: Iterable[Key]) -> tuple[Key, ...]:
    """The keys without repetition, in the order of their first occurrence."""
    return tuple(dict.fromkeys(keys))


def leaf(key: Key) -> str:
    """The last part of a key: ``"action"`` of ``("agents", "action")``."""
    return key if isinstance(key, str) else key[-1]


def with_leaf(key: Key, name: str) -> Key:
    """The key's sibling of another name.

    >>> with_leaf(("agents", "action"), "logits")
    ('agents', 'logits')
    """
    return name if isinstance(key, str) else (*key[:-1], name)


def with_suffix(key: Key, suffix: str) -> Key:
    """The key with a suffix on its last part.

    >>> with_suffix("left", "_log_prob")
    'left_log_prob'
    """
    return with_leaf(key, leaf(key) + suffix)


def next_key(key: Key) -> Key:
    """Where the same entry of the following step is: under ``"next"``.

    >>> next_key("reward"), next_key(("agents", "reward"))
    (('next', 'reward'), ('next', 'agents', 'reward'))
    """
    return (NEXT, *path_of(key))


def argument_name(key: Key, separator: str = "_") -> str:
    """The keyword under which a key is passed as an argument: ``next_reward`` for ``("next", "reward")``."""
    return separator.join(path_of(key))


def is_parent(parent: Key, child: Key) -> bool:
    """Whether ``child`` lies inside the nested entry ``parent`` (a key is not its own parent).

    >>> is_parent("next", ("next", "reward")), is_parent("next", "next")
    (True, False)
    """
    above, below = path_of(parent), path_of(child)
    return len(above) < len(below) and below[: len(above)] == above


def renamed(key: Key, names: Mapping[Key, Key]) -> Key:
    """The key under its new name; a key inside a renamed parent moves along, and so does the entry of the next step.

    >>> renamed(("agents", "action"), {"agents": "robots"})
    ('robots', 'action')
    >>> renamed(("next", "observation"), {"observation": "pixels"})
    ('next', 'pixels')
    """
    if key in names:
        return names[key]
    above = max((old for old in names if is_parent(old, key)), key=lambda old: len(path_of(old)), default=None)
    if above is not None:
        return path_of(names[above]) + path_of(key)[len(path_of(above)) :]
    if isinstance(key, tuple) and key[0] == NEXT:
        return next_key(renamed(as_key(key[1:]), names))
    return key


def renaming(keys: Iterable[Key], names: Mapping[Key, Key]) -> dict[Key, Key]:
    """The new name of every key.

    Raises:
        ValueError: two keys would get one name.
    """
    new = {key: renamed(key, names) for key in keys}
    for key, other in combinations(new, 2):
        if new[key] == new[other]:
            clash = f"give {key!r} and {other!r} the one name {new[key]!r}"
            raise ValueError(f"renamed() would {clash}: two entries cannot share a key; choose another name.")
    return new


def nearest(key: Key, candidates: Iterable[Key], cutoff: float = 0.75) -> Key | None:
    """The candidate that a person probably meant by ``key``, or None if none is near.

    >>> nearest("hidden", ["observation", "hiden"])
    'hiden'
    >>> nearest("state_value", ["observation", "action"])
    >>> nearest(("next", "state"), [("next", "truncated")])
    """
    alike = dict[Key, float]()
    for other in candidates:
        ours, theirs = list(path_of(key)), list(path_of(other))
        while ours[:1] == theirs[:1] and ours:  # a group around both would make any two names alike
            del ours[0], theirs[0]
        alike[other] = difflib.SequenceMatcher(None, ".".join(theirs), ".".join(ours)).ratio() if ours else 0.0
    return max((other for other in alike if alike[other] >= cutoff), key=lambda other: alike[other], default=None)


def misspelling(key: Key, candidates: Iterable[Key]) -> Key | None:
    """The candidate of which ``key`` may be a misspelling: one part differs a little, and not only in its digits.

    >>> misspelling("hidden", ["hiden"]), misspelling("head_1", ["head_2"]), misspelling("h", [("next", "h")])
    ('hiden', None, None)
    """
    ours, alike = path_of(key), dict[Key, float]()
    for other in candidates:
        different = [(a, b) for a, b in zip(path_of(other), ours, strict=False) if a != b]
        letters = [{"".join(c for c in name if not c.isdigit()) for name in pair} for pair in different]
        if len(path_of(other)) == len(ours) and len(different) == 1 and len(letters[0]) == 2:
            # Of that part alone: a group around both would make any two names alike.
            alike[other] = difflib.SequenceMatcher(None, *different[0]).ratio()
    return max((other for other in alike if alike[other] >= 0.75), key=lambda other: alike[other], default=None)


def meant(key: Key, candidates: Iterable[Key], cutoff: float = 0.6) -> str:
    """``did you mean 'hiden'? `` for a message, or nothing where no candidate is near."""
    near = nearest(key, candidates, cutoff)
    return "" if near is None else f"did you mean {near!r}? "


def listed(keys: Sequence[Key] | Iterable[Key]) -> str:
    """The keys for a message: ``'observation', ('next', 'reward')``, or ``nothing``."""
    return ", ".join(repr(key) for key in keys) or "nothing"
