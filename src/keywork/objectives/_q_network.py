"""What a loss of action values takes from a policy: the network, and how an action is chosen by its values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from keywork._errors import ContractError, Finding
from keywork._keys import Key, listed, next_key
from keywork._wiring import without_keys
from keywork.nn import TensorDictModuleBase, TensorDictSequential
from keywork.specs import Categorical


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a loss takes.

    Attributes:
        mark: an attribute that only the right last step of a policy has.
        actor: the policy to type.
        single: whether an action has to be one choice of n.
    """

    mark: str
    actor: str
    single: bool = True


@dataclass(frozen=True, slots=True)
class QNetwork:
    """The network of a policy that acts greedily, apart from the choice and from all exploration after it.

    Attributes:
        network: computes the values, and the states that it carries.
        values_at: their place among its outputs.
        head: what chooses, with ``choices``, the form of an action.
        action: the action's key.
        mask: that of the mask of what is allowed, or None.
    """

    network: TensorDictSequential
    values_at: int
    head: Any
    action: Key
    mask: Key | None

    def best(self, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The action of the highest value, and that value ``[*B, 1]``."""
        best: tuple[Tensor, Tensor] = self.head.choose(values, mask)
        return best

    def of(self, values: Tensor, action: Tensor) -> Tensor:
        """The value of an action, ``[*B, 1]``."""
        value: Tensor = self.head.choices.value_of(values, action)
        return value

    def rows_of(self, rows: Tensor, action: Tensor) -> Tensor:
        """The N numbers ``[*B, N]`` of an action, out of ``[*B, N, n]``."""
        batch = rows.ndim - 2
        each = action.unsqueeze(batch).expand(*rows.shape[:-1], *action.shape[batch:])
        return self.of(rows, each).squeeze(-1)


def q_network(owner: str, policy: Any, wanted: Wanted) -> QNetwork:
    """The network of a policy.

    Args:
        owner: the loss.
        policy: a QValueActor or one of its kin, alone or in a sequential with other steps.
        wanted: which of them.

    Raises:
        ContractError: it has no such network.
    """
    findings = without_keys("its value network", policy) or _findings(policy, wanted)
    if findings:
        raise ContractError(owner, findings)
    (head,) = _heads(policy)
    values = head.in_keys[0]
    steps = list(_before(policy, head))
    read = [key for step in steps for key in step.in_keys]
    whole = TensorDictSequential(steps, external=read)
    network = whole.select_subsequence(out_keys=[values, *map(next_key, whole.contract.carries)])
    mask = head.in_keys[1] if len(head.in_keys) > 1 else None
    return QNetwork(network, network.out_keys.index(values), head, head.action_key, mask)


def _heads(module: Any) -> Iterator[Any]:
    """The steps that choose an action by its values."""
    if isinstance(module, TensorDictSequential):
        for step in module:
            yield from _heads(step)
    elif hasattr(module, "action_value_key") and hasattr(module, "choose"):
        yield module


def _before(module: TensorDictModuleBase, head: Any) -> Iterator[Any]:
    """The steps before the one that chooses."""
    if isinstance(module, TensorDictSequential):
        for step in module:
            if head in step.modules():
                yield from _before(step, head)
                return
            yield step


def _findings(policy: Any, wanted: Wanted) -> list[Finding]:
    heads = list(_heads(policy))
    fix = f"pass a {wanted.actor}, or a sequential that has one."
    if not heads:
        problem = f"its value network ({policy.label}) does not choose actions by their values."
        return [Finding("no-action-values", problem, f"it writes {listed(policy.out_keys)}", fix)]
    if len(heads) > 1:
        problem = f"its value network ({policy.label}) makes {len(heads)} choices by values."
        keys = listed([head.action_key for head in heads])
        fix = "give each a loss of its own, or make them one action: spec=MultiDiscrete([...])."
        return [Finding("several-choices", problem, f"it chooses {keys}", fix)]
    (head,) = heads
    if not hasattr(head, wanted.mark):
        problem = f"its value network ({policy.label}) computes values of another kind."
        return [Finding("other-values", problem, f"it ends in a {head.label}", fix)]
    if head.in_keys[0] not in [key for step in _before(policy, head) for key in step.out_keys]:
        problem = f"its value network ({policy.label}) has no network that computes {head.in_keys[0]!r}."
        return [Finding("no-action-values", problem, f"it reads {listed(policy.in_keys)}", fix)]
    elements = isinstance(head.spec, Categorical) and bool(head.spec.shape)
    if elements or (wanted.single and not hasattr(head.choices, "n")):
        several = "each element of the action has a value of its own" if elements else "an action is several choices"
        problem = f"its value network ({policy.label}) has no one value of an action: {several}."
        fix = "make it a single choice: spec=Categorical(n)."
        fix = fix if wanted.single else "spec=MultiDiscrete([n, ...]), whose value is the sum of its choices'."
        return [Finding("several-choices", problem, f"its spec is {head.spec!r}", fix)]
    return []
