"""Which key brings which parameter, and which takes which log-probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keywork._errors import Finding
from keywork._keys import (
    SAMPLE_LOG_PROB,
    Key,
    as_key,
    as_keys,
    leaf,
    listed,
    meant,
    path_of,
    unique,
    with_leaf,
    with_suffix,
)

from ._composite_parts import ActionPart

GROUP = "params"


@dataclass(frozen=True, slots=True)
class Named:
    """The parameters of a distribution of one or several parts.

    Attributes:
        keys: all keys, in order.
        slots: of each part, which of the keys are its.
        arguments: of each part, the names under which it takes them.
        grouped: whether the only key is that of a group, in which each part has its own.
    """

    keys: tuple[Key, ...]
    slots: tuple[tuple[int, ...], ...]
    arguments: tuple[tuple[str, ...], ...]
    grouped: bool = False


def parameters_of(in_keys: Any, parts: Sequence[ActionPart], several: bool) -> tuple[Named, list[Finding]]:
    """The parameters that in_keys names, and the keys that say no action.

    >>> parts = [ActionPart("steer", "steer", dict, {}), ActionPart("gear", "gear", dict, {})]
    >>> named, _ = parameters_of([("p", "steer", "loc"), ("p", "gear", "logits"), ("p", "steer", "scale")], parts, True)
    >>> named.slots, named.arguments
    (((0, 2), (1,)), (('loc', 'scale'), ('logits',)))
    """
    if not several:
        pairs = _pairs(in_keys)
        keys, arguments = tuple(key for _, key in pairs), tuple(name for name, _ in pairs)
        return Named(keys, (tuple(range(len(keys))),), (arguments,)), []
    group = _group(in_keys, parts)
    if group is not None:
        nothing: tuple[tuple[Any, ...], ...] = ((),) * len(parts)
        return Named((group,), nothing, nothing, grouped=True), []
    by_action, findings = _by_action(in_keys, parts)
    keys = unique(key for _, _, key in by_action)
    owned = [[(argument, key) for name, argument, key in by_action if name == part.name] for part in parts]
    slots = tuple(tuple(keys.index(key) for _, key in pairs) for pairs in owned)
    return Named(keys, slots, tuple(tuple(argument for argument, _ in pairs) for pairs in owned)), findings


def owner_of(key: Key, parts: Sequence[ActionPart]) -> Key | None:
    """The action that a parameter's key names before its last part; the longest name, if several fit.

    >>> parts = [ActionPart("gear", "gear", dict, {}), ActionPart(("arm", "gear"), "arm_gear", dict, {})]
    >>> owner_of(("params", "arm", "gear", "logits"), parts), owner_of("logits", parts)
    (('arm', 'gear'), None)
    """
    above = path_of(key)[:-1]
    fitting = [part.name for part in parts if above[-len(path_of(part.name)) :] == path_of(part.name)]
    return max(fitting, key=lambda name: len(path_of(name)), default=None)


def log_prob_keys_of(samples: Sequence[Key], one: Any, each: Any) -> tuple[tuple[Key, ...], list[Finding]]:
    """Where log-probabilities go: one for each sample, or one for all; and what is wrong with the keys given.

    >>> log_prob_keys_of(["action"], None, None)[0], log_prob_keys_of(["steer", ("arm", "gear")], None, None)[0]
    (('sample_log_prob',), ('steer_log_prob', ('arm', 'gear_log_prob')))
    """
    if one is not None and each is not None:
        fix = "log_prob_keys is one for each action, log_prob_key that of all together: keep one of the two."
        problem = f"log_prob_key is {one!r} and log_prob_keys {each!r}."
        return (as_key(one),), [Finding("log-prob-keys", problem, "", fix)]
    if each is not None:
        keys = as_keys(each)
        if len(keys) == len(samples):
            return keys, []
        fix = "name one for each sample, or with log_prob_key= a single one for all together."
        problem = f"log_prob_keys names {len(keys)}, {listed(keys)}, for {len(samples)} sample(s)."
        return keys, [Finding("log-prob-keys", problem, f"the samples are {listed(samples)}", fix)]
    if one is not None:
        return (as_key(one),), []
    if len(samples) == 1:
        return (with_leaf(samples[0], SAMPLE_LOG_PROB),), []
    return tuple(with_suffix(key, "_log_prob") for key in samples), []


def _pairs(in_keys: Any) -> list[tuple[str, Key]]:
    """Name of the argument and key."""
    if isinstance(in_keys, Mapping):
        return [(str(name), as_key(key)) for name, key in in_keys.items()]
    return [(leaf(key), key) for key in as_keys(in_keys)]


def _group(in_keys: Any, parts: Sequence[ActionPart]) -> Key | None:
    """The key of the group that holds all parameters, if in_keys is just that."""
    if isinstance(in_keys, Mapping):
        named = list(in_keys) == [GROUP] and isinstance(in_keys[GROUP], str | tuple)
        return as_key(in_keys[GROUP]) if named and all(part.name != GROUP for part in parts) else None
    keys = as_keys(in_keys)
    return keys[0] if len(keys) == 1 and owner_of(keys[0], parts) is None else None


def _by_action(in_keys: Any, parts: Sequence[ActionPart]) -> tuple[list[tuple[Key, str, Key]], list[Finding]]:
    """Action, argument and key of every parameter."""
    names, found, findings = [part.name for part in parts], [], []
    if isinstance(in_keys, Mapping):
        for name, given in ((as_key(name), given) for name, given in in_keys.items()):
            if name in names:
                found += [(name, argument, key) for argument, key in _pairs(given)]
            else:
                fix = f"{meant(name, names)}name an action: in_keys={{{names[0]!r}: {{'argument': key}}}}."
                findings.append(_unknown(f"in_keys names the action {name!r}, which there is not.", names, fix))
        return found, findings
    for key in as_keys(in_keys):
        owner = owner_of(key, parts)
        if owner is None:
            problem = f"in_keys has {key!r}, whose last two parts are no action and its argument."
            fix = f"say whose it is: ({names[0]!r}, 'argument'), or in_keys={{{names[0]!r}: {{'argument': key}}}}."
            findings.append(_unknown(problem, names, fix))
        else:
            found.append((owner, leaf(key), key))
    return found, findings


def _unknown(problem: str, names: Sequence[Key], fix: str) -> Finding:
    return Finding("unknown-action", problem, f"the actions are {listed(names)}", fix)
