"""Policies that mix the environments of a batch: a recurrent layer or attention that takes them for moments of time."""

from __future__ import annotations

from torch import Tensor, nn

from keywork._errors import Finding
from keywork._keys import Key, listed
from keywork.flow._parts import Step
from keywork.flow._rehearsal import Rehearsal
from keywork.flow._trace import Trial
from keywork.flow._trial import Outcome


def mixing_layers(step: Step) -> list[str]:
    """The layers of a policy that work along a dimension of time, which a batch of environments has none of."""
    if step.part.kind != "policy" or any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in _all(step)):
        return []
    return [type(layer).__name__ for layer in _all(step) if isinstance(layer, nn.RNNBase | nn.MultiheadAttention)]


def mixed_rows(trial: Trial, rehearsal: Rehearsal) -> list[Finding]:
    """A finding if what the step writes for other environments changes with what the first one shows.

    Args:
        trial: of the step.
        rehearsal: with one batch dimension, of environments, as far as the step.
    """
    once = rehearsal.attempt(trial.step)
    kept = dict(rehearsal.values)
    for key in trial.step.module.in_keys:
        if key in kept and kept[key].is_floating_point():
            changed = kept[key].clone()
            changed[0] += 1
            rehearsal.values[key] = changed
    again = rehearsal.attempt(trial.step)
    rehearsal.values.update(kept)
    if not isinstance(once, Outcome) or not isinstance(again, Outcome):
        return []
    rows = rehearsal.batch[0]
    mixed = [key for key, value in once.outputs.items() if _changed(value, again.outputs.get(key), rows)]
    return [_finding(trial, mixed)] if mixed else []


def _changed(value: Tensor, other: Tensor | None, rows: int) -> bool:
    comparable = other is not None and value.shape == other.shape and value.shape[:1] == (rows,)
    return comparable and bool((value[1:] != other[1:]).any() & value.isfinite().all())  # type: ignore[index]


def _all(step: Step) -> list[nn.Module]:
    return list(step.module.modules()) if isinstance(step.module, nn.Module) else []


def _finding(trial: Trial, keys: list[Key]) -> Finding:
    layers = mixing_layers(trial.step)
    problem = (
        f"{trial.place} mixes the environments of a batch: its {layers[0]} takes them for moments of time, and "
        f"{listed(keys)} of one depends on what the others show."
    )
    recurrent = f"{layers[0]}Module(..., in_key=..., out_key=...), which carries its state from step to step"
    fix = f"use {recurrent}." if layers[0] in ("GRU", "LSTM") else "add a dimension of time: x.unsqueeze(1) before it."
    return Finding("mixed-batch", problem, trial.provided, fix)
