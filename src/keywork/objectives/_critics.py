"""Critics of state and action, one or several, as the losses of actor-critic methods ask them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from keywork._errors import ContractError, Finding
from keywork._keys import Key, listed, meant, next_key, unique
from keywork._wiring import without_keys
from keywork.nets import copies_of, copy_findings
from keywork.nn import TensorDictModuleBase
from keywork.objectives._along import Along

Held = Mapping[Key, Any]


class Critics:
    """Several critics as one: their values side by side ``[*B, N, n]``, n values each.

    Their networks run one after the other, each on its own: for small ones that is as fast as one batched product of
    all (2 of 2x256 on a batch of 256: 3.8 ms forward and backward either way, 4.7 ms in ``torch.vmap``).

    Args:
        networks: key modules; an ensemble of N counts as N.
        value_key: what they write.
        actions: the keys of the action that they judge; none where they write a value for each.

    Attributes:
        reads: what they read at a step.
        follows: what they read of the step after, less the action.

    >>> from keywork.modules import ValueOperator
    >>> judge = ValueOperator(nn.Bilinear(4, 2, 1), ["observation", "action"])
    >>> critics = Critics([judge], "state_action_value", ["action"])
    >>> critics.reads, critics.follows
    (('observation', 'action'), (('next', 'observation'),))
    >>> critics.values({"observation": torch.ones(8, 4), "action": torch.ones(8, 2)}).shape
    torch.Size([8, 1, 1])
    """

    def __init__(self, networks: Sequence[TensorDictModuleBase], value_key: Key, actions: Sequence[Key]) -> None:
        ahead = [next_key(key) for key in actions]
        self._alongs = [Along(network) for network in networks]
        self._places = [network.out_keys.index(value_key) for network in networks]
        self._joined = [hasattr(network, "num_copies") for network in networks]
        self.reads = unique([key for along in self._alongs for key in along.reads])
        self.follows = unique([key for along in self._alongs for key in along.follows if key not in ahead])

    def values(self, held: Held) -> Tensor:
        """Of each step."""
        return self._beside([along.run(held) for along in self._alongs])

    def values_ahead(self, held: Held) -> Tensor:
        """Of the step after each."""
        return self._beside([along.run_ahead(held) for along in self._alongs])

    def values_apart(self, held: Held, actions: Held, first: bool = False) -> Tensor:
        """Of other actions, each judged in the place of the one taken at its step; of the first network alone if so."""
        alongs = self._alongs[:1] if first else self._alongs
        values = self._beside([along.run_apart(held, actions) for along in alongs])
        return values[..., :1, :] if first else values

    def values_of_many(self, held: Held, actions: Held, dims: int) -> Tensor:
        """Of m actions ``[*B, m, *action]`` for each step, ``[*B, m, N, n]``; ``dims`` is how many *B has."""
        count = next(iter(actions.values())).shape[dims]
        states = {key: held[key] for key in self.reads if key not in actions}
        wide = {
            key: x.unsqueeze(dims).expand(*x.shape[:dims], count, *x.shape[dims:])
            for key, x in states.items()
            if x is not None
        }
        return self.values({**held, **wide, **actions})

    def _beside(self, outputs: Sequence[Sequence[Any]]) -> Tensor:
        values = [row[place] for row, place in zip(outputs, self._places, strict=False)]
        if not any(self._joined):
            return torch.stack(values, -2)
        several = [x if joined else x.unsqueeze(-2) for x, joined in zip(values, self._joined, strict=False)]
        return several[0] if len(several) == 1 else torch.cat(several, -2)


def critics_of(owner: str, network: Any, count: int, value_key: Key) -> list[TensorDictModuleBase]:
    """The critics of a loss: those of a list, an ensemble as it is, or ``count`` of one kind.

    The first of these is the network itself, the others are copies that are initialised anew.

    Raises:
        ContractError: one has no keys or writes no such value, or copies would start out equal.
    """
    several = isinstance(network, list | tuple | nn.ModuleList)
    given = [*network] if several else [network]
    findings = [finding for critic in given for finding in _unfit(critic, value_key)]
    if not given or count < 1:
        fix = "num_qvalue_nets=2, or a list of critics."
        findings.append(Finding("no-critic", "it has no critic.", f"{len(given)} given, of each {count}", fix))
    if findings:
        raise ContractError(owner, findings)
    as_given = several or count == 1 or hasattr(network, "num_copies")
    critics = given if as_given else [network, *copies_of(network, count, None)[1:]]
    if found := [] if as_given else copy_findings(critics):
        fix = "call the critic once before, or pass a list of critics in place of one: [critic_1, critic_2]."
        raise ContractError(owner, [replace(each, fix=fix) for each in found])
    if len({id(critic) for critic in critics}) < len(critics):
        problem = f"its {len(critics)} critics are not several: one network ({critics[0].label}) comes more than once."
        fix = "pass the critic alone, of which num_qvalue_nets copies are made, or a list of different ones."
        raise ContractError(owner, [Finding("one-critic", problem, "", fix)])
    carried = [key for critic in critics for key in critic.contract.carries]
    if len({*carried}) < len(carried):
        problem = (
            f"its {len(critics)} critics ({critics[0].label}) each carry a state of their own under {carried[0]!r}."
        )
        fix = f"pass an ensemble, which keeps them apart: EnsembleModule(critic, num_copies={len(critics)})."
        raise ContractError(owner, [Finding("shared-state", problem, "", fix)])
    return critics


def _unfit(critic: Any, value_key: Key) -> list[Finding]:
    if findings := without_keys("its critic", critic):
        return findings
    if value_key in critic.out_keys:
        return []
    problem = f"its critic ({critic.label}) does not write {value_key!r}."
    fix = f"{meant(value_key, critic.out_keys)}Name its output: out_keys=[{value_key!r}]."
    return [Finding("no-value", problem, f"it writes {listed(critic.out_keys)}", fix)]
