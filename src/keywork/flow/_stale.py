"""Log-probabilities that are no longer those of the action beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from keywork._errors import Finding
from keywork._keys import ACTION, SAMPLE_LOG_PROB, Key, leaf, listed
from keywork.flow._describe import name_of
from keywork.flow._graph import Part
from keywork.flow._parts import Step, steps_of
from keywork.nn import TensorDictSequential

_HANDS_ON = {"input", "env", "collector", "buffer"}  # their entries go together: they change none of them


class Score(NamedTuple):
    """Who has scored which samples, and what has changed which of them since."""

    scorer: str
    samples: tuple[Key, ...]
    changer: str = ""
    changed: tuple[Key, ...] = ()


def stale_log_probs(*parts: Any) -> list[Finding]:
    """A finding for every log-probability of an action that a later step changes, and that is stored all the same.

    What such an entry says is not true of the action that is taken, whatever reads it later: a loss, or whoever opens
    the batch. A step that changes an action and scores it anew is fine, and so is noise after an actor that stores no
    log-probability.

    Args:
        parts: as :class:`Flow` takes them, in the order in which they act.

    >>> import torch
    >>> from keywork.nn import ProbabilisticTensorDictModule, TensorDictModule, TensorDictSequential
    >>> options = {"distribution_class": torch.distributions.Normal, "return_log_prob": True}
    >>> draw = ProbabilisticTensorDictModule(["loc", "scale"], ["action"], **options)
    >>> noise = TensorDictModule(lambda action: action + torch.randn_like(action), ["action"], ["action"])
    >>> [finding.kind for finding in stale_log_probs(TensorDictSequential(draw, noise))]
    ['stale-log-prob']
    >>> stale_log_probs(draw)
    []
    """
    return stale_in(steps_of(parts))


def stale_in(steps: Sequence[Step]) -> list[Finding]:
    """The same of steps."""
    scores: dict[Key, Score] = {}
    for step in steps:
        _follow(scores, f"{step.part.name} ({step.part.kind})", step.part, step.module)
    parts = [step.part for step in steps]
    return [_finding(key, score, parts) for key, score in scores.items() if score.changed]


def _follow(scores: dict[Key, Score], name: str, contract: Any, module: Any) -> None:
    """Take note of what one step, or each of the steps of a sequential, scores and changes."""
    if isinstance(module, TensorDictSequential):
        before = dict(scores)
        for child in module:
            _follow(scores, name_of(child), child.contract, child)
        hidden = {key for child in module for key in child.out_keys} - set(module.out_keys)
        for key in hidden:  # nobody sees what was written there
            scores.pop(key, None)
            scores.update({key: before[key]} if key in before else {})
        return
    writes = contract.writes
    for key, score in scores.items():
        changed = tuple(sample for sample in score.samples if sample in writes)
        if key in writes:
            scores[key] = Score(name, score.samples)  # anew, of what there is by now
        elif changed and not score.changed and getattr(contract, "kind", "") not in _HANDS_ON:
            scores[key] = score._replace(changer=name, changed=changed)
    # Of what says nothing of itself, the well-known names do.
    log_probs = getattr(module, "log_prob_keys", [key for key in writes if leaf(key) == SAMPLE_LOG_PROB])
    samples = getattr(module, "dist_sample_keys", [key for key in writes if leaf(key) == ACTION])
    each = len(log_probs) == len(samples)  # has its own; otherwise one is that of all of them together
    for index, key in enumerate(log_probs):
        if key in writes and samples:
            scores[key] = Score(name, tuple(samples[index : index + 1] if each else samples))


def _finding(key: Key, score: Score, parts: Sequence[Part]) -> Finding:
    readers = [part.name for part in parts if key in part.inputs]
    problem = (
        f"{score.changer} changes {listed(score.changed)} after {score.scorer} has scored it: "
        f"{key!r} is stored for an action that is not taken."
    )
    return Finding(
        "stale-log-prob",
        problem,
        f"{key!r} (written by {score.scorer.partition(' (')[0]}, read by {', '.join(readers) or 'no one'})",
        "let the distribution explore (a larger scale, or gSDEModule(..., return_log_prob=True) as the last step, "
        "which scores what it draws), or store no log-probability: return_log_prob=False.",
    )
