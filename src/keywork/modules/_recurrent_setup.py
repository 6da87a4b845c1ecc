"""How a recurrent module is asked for: its keys, and torch's module or the sizes of a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch.nn.utils.parametrize import is_parametrized

from keywork._errors import Finding, describe
from keywork._keys import IS_INIT, Key, as_key, as_keys, listed, next_key


class RecurrentOptions(TypedDict, total=False):
    """What else torch's ``GRU`` and ``LSTM`` take.

    Attributes:
        bias: whether there are biases; True if left out.
        batch_first: True, as entries always are ``[*B, T, F]``.
        dropout: in training, between layers; 0 if left out.
        bidirectional: also run backwards through each episode: over sequences only.
        device: where the parameters are.
    """

    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    device: torch.device | str | None


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """The keys as they were asked for: one of the first two, and one of the last two.

    Attributes:
        in_key: what goes in; the states and the flag are under their default keys.
        in_keys: what goes in, the states, and the flag if it is not ``"is_init"``.
        out_key: what comes out; the states are under ``("next", key)``.
        out_keys: what comes out, and the states, spelt out.
    """

    in_key: Any
    in_keys: Any
    out_key: Any
    out_keys: Any

    def resolve(self, states: Sequence[Key]) -> tuple[list[Key], list[Key], list[Finding]]:
        """All in_keys, all out_keys, and what is wrong with them; ``states`` are the default keys of the states."""
        found = [_one_of(*pair) for pair in (("in", self.in_key, self.in_keys), ("out", self.out_key, self.out_keys))]
        findings = [finding for finding in found if finding is not None]
        if findings:
            return [], [], findings
        ins = list(as_keys(self.in_keys)) if self.in_key is None else [as_key(self.in_key), *states]
        ins += [IS_INIT] * (len(ins) == 1 + len(states) and IS_INIT not in ins)
        if len(ins) != 2 + len(states):
            return [], [], [_wrong_count(ins, states)]
        following: list[Key] = [next_key(key) for key in ins[1:-1]]
        outs = list(as_keys(self.out_keys)) if self.out_key is None else [as_key(self.out_key), *following]
        if outs[1:] != following:
            subject = "states are" if len(states) > 1 else "state is"
            problem = f"out_keys is {outs}, and the {subject} read from {listed(ins[1:-1])}."
            fix = f"out_keys={[*outs[:1], *following]}, or out_key={outs[0]!r} for the same."
            findings.append(
                Finding(
                    "state-not-handed-on", problem, "what is written for the following step is under ('next', key)", fix
                )
            )
        return ins, outs, findings


def _one_of(side: str, one: Any, several: Any) -> Finding | None:
    if (one is None) != (several is None):
        return None
    problem = (
        f"{'neither' if one is None else 'both'} {side}_key {'nor' if one is None else 'and'} {side}_keys was given."
    )
    example = "'observation'" if side == "in" else "'features'"
    return Finding(f"no-{side}-key", problem, "", f"give one of them, such as {side}_key={example}.")


def _wrong_count(ins: list[Key], states: Sequence[Key]) -> Finding:
    asked = f"in_keys has {len(ins)} key{'s' * (len(ins) != 1)}: {listed(ins)}."
    there = f"what goes in, {len(states)} state{'s' * (len(states) > 1)}, and (if it is not {IS_INIT!r}) the flag"
    return Finding("wrong-count", asked, there, f"in_keys={[*ins[:1], *states, IS_INIT]}.")


def network_of(
    kind: Any, given: Any, sizes: tuple[int | None, int | None, int], options: Mapping[str, Any]
) -> tuple[Any, list[Finding]]:
    """The module that was given, or a new one of this kind and size; and what is wrong with what was asked for."""
    name, argument = kind.__name__, kind.__name__.lower()
    example = f"input_size=4, hidden_size=64 or {argument}=nn.{name}(4, 64)"
    if options.get("batch_first", True) is not True:
        fix = "leave batch_first out."
        problem = f"batch_first is {options['batch_first']!r}, and entries always are [*B, T, F]."
        return None, [Finding("batch-first", problem, "", fix)]
    if given is None:
        if None in sizes:
            problem = f"input_size is {sizes[0]} and hidden_size {sizes[1]}, and no {argument} was given."
            return None, [Finding("no-size", problem, "", f"give {example}.")]
        return kind(*sizes, **{**options, "batch_first": True}), []
    if not isinstance(given, kind):
        problem = f"{argument} is {describe(given)}, which is no nn.{name}."
        return None, [Finding("wrong-network", problem, "", f"give {example}.")]
    if is_parametrized(given):
        problem = f"{argument} is parametrised, and only its parameters would be taken."
        return None, [
            Finding("parametrised", problem, "", f"parametrise the layers of what is built: module.{argument}.")
        ]
    if sizes != (None, None, 1) or options:
        problem = f"{argument} was given, and sizes or options as well."
        provided = f"{argument} has its own: {given.input_size} -> {given.hidden_size}"
        return None, [Finding("size-twice", problem, provided, f"give one of the two: {example}.")]
    return given, []
