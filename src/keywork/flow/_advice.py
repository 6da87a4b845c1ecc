"""What to type where an entry is read that nobody writes: by the name of the entry."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from keywork._keys import (
    ACTION,
    ADVANTAGE,
    IS_INIT,
    NEXT,
    SAMPLE_LOG_PROB,
    STATE_ACTION_VALUE,
    STATE_VALUE,
    VALUE_TARGET,
    Key,
    as_key,
    leaf,
    path_of,
)
from keywork._wiring import SOURCES

_TARGET = "target"


class Advice(NamedTuple):
    """The kind of a finding, and what to type."""

    kind: str
    fix: str


_BY_NAME = {
    ACTION: Advice("no-action", "add the policy that writes it before, such as Actor(net)"),
    ADVANTAGE: Advice("no-advantage", SOURCES[ADVANTAGE]),
    VALUE_TARGET: Advice("no-target", SOURCES[VALUE_TARGET]),
    STATE_VALUE: Advice("no-value", "add the critic that writes it before: ValueOperator(net)"),
    STATE_ACTION_VALUE: Advice(
        "no-value", "add the critic that writes it before: ValueOperator(net, in_keys=['observation', 'action'])"
    ),
    SAMPLE_LOG_PROB: Advice("no-log-prob", SOURCES[SAMPLE_LOG_PROB]),
    IS_INIT: Advice(
        "no-is-init",
        "begin with the environment, which shows it, or say that it comes from outside: "
        "Flow({..., 'is_init': Binary(1, dtype=torch.bool)}, ...)",
    ),
}
_OTHER = Advice("missing-key", "add the part that writes it before")


def advice_on(key: Key, there: Collection[Key], action: Key) -> Advice:
    """What to do about a key that is read and not there.

    >>> advice_on("sample_log_prob", [], "action").fix
    'let the actor write it: ProbabilisticActor(..., return_log_prob=True)'
    >>> advice_on(("next", "hidden"), ["hidden"], "action").kind
    'no-next'
    """
    if key == action:
        return _BY_NAME[ACTION]
    if path_of(key)[0] == NEXT and len(path_of(key)) > 1:
        now = as_key(path_of(key)[1:])
        if now == action:
            return Advice(
                "no-next", "nobody knows the action after this step: what looks ahead reads observations, not actions"
            )
        if now in there:
            return Advice(
                "no-next",
                f"nobody computes {now!r} of the step after: let what reads it begin with the step that writes "
                f"{now!r}, such as TensorDictSequential(encoder, critic)",
            )
    if leaf(key) in _BY_NAME:
        return _BY_NAME[leaf(key)]
    if any(name == _TARGET or name.startswith(_TARGET + "_") for name in path_of(key)):
        return Advice("no-target", "add the target network, or the estimator, that writes it before")
    return _OTHER
