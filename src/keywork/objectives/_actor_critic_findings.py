"""What can be wrong with an actor and the critics of its actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from keywork._errors import ContractError, Finding
from keywork._keys import Key, listed, nearest, with_suffix
from keywork.nn import TensorDictModuleBase
from keywork.objectives._acting import last_step


def require_pair(owner: str, actor: Any, critics: Sequence[Any], found: Sequence[Finding]) -> None:
    """Refuse an actor and critics of its action that do not belong together; or what was found already.

    Raises:
        ContractError: something is wrong.
    """
    require_apart(owner, actor, critics, found or _unjudged_findings(actor, critics))


def require_apart(owner: str, actor: Any, critics: Sequence[Any], found: Sequence[Finding]) -> None:
    """Refuse an actor and critics that have something in common; or what was found already.

    Raises:
        ContractError: something is wrong.
    """
    findings = [*found] or common_findings([("actor", actor), ("critic", nn.ModuleList(critics))])
    if findings:
        raise ContractError(owner, findings)


def judged_actions(actor: Any, critic: Any) -> list[Key]:
    """The keys of the action: what the actor draws, or, if it draws nothing, what it writes and the critic reads."""
    drawn: list[Key] = list(getattr(actor, "dist_sample_keys", ()))
    return drawn or [key for key in actor.out_keys if key in critic.in_keys]


def _unjudged_findings(actor: Any, critics: Sequence[Any]) -> list[Finding]:
    """A finding where a critic does not read the action that the actor decides on."""
    findings = []
    for critic in critics:
        wanted = judged_actions(actor, critic) or list(actor.out_keys)
        missing = [key for key in wanted if key not in critic.in_keys]
        if not missing:
            continue
        strange = [key for key in critic.in_keys if key not in actor.in_keys]
        near = strange[0] if len(strange) == 1 else nearest(missing[0], strange, cutoff=0.6)
        problem = (
            f"its critic ({critic.label}) does not read {listed(missing)}, which its actor ({actor.label}) decides on."
        )
        fix = f"did you mean {near!r}? Rename one of the two." if near else f"add it: in_keys=[..., {missing[0]!r}]."
        findings.append(Finding("unjudged-action", problem, f"it reads {listed(critic.in_keys)}", fix))
        break
    return findings


def common_findings(roles: Sequence[tuple[str, Any]]) -> list[Finding]:
    """What networks, each with its role, must not have in common: parameters, or the key of a state."""
    findings = []
    for number, (role, network) in enumerate(roles):
        for other_role, other in roles[:number]:
            findings += _common(f"its {other_role} and its {role}", role, other, network)
    return findings


def _common(both: str, role: str, first: nn.Module, second: nn.Module) -> list[Finding]:
    others = {id(parameter) for parameter in second.parameters()}
    shared = [name for name, parameter in first.named_parameters() if id(parameter) in others]
    if shared:
        problem = f"{both} have {len(shared)} parameter tensors in common ({listed(shared[:2])} of the former)."
        provided = "each learns from a loss of its own, and has a target that follows it alone"
        fix = f"give the {role} parameters of its own: copy.deepcopy what they share, or build it anew."
        return [Finding("shared-parameters", problem, provided, fix)]
    states = [key for key in _states(first) if key in _states(second)]
    if states:
        problem = f"{both} each carry a state of their own under {states[0]!r}."
        fix = f"give the {role}'s another key, such as {with_suffix(states[0], '_2')!r}."
        return [Finding("shared-state", problem, "", fix)]
    return []


def _states(network: nn.Module) -> Sequence[Key]:
    if isinstance(network, TensorDictModuleBase):
        return network.contract.carries
    return [key for part in network.children() for key in _states(part)]


def makers_of(actor: Any) -> list[Any]:
    """The distributions of a policy's actions, or the functions that make them."""
    return [call.maker for call in last_step(actor)._plan.calls]
