"""What can be wrong with the actor and the critic of a loss."""

from __future__ import annotations

from typing import Any

from torch import nn

from keywork._errors import Finding
from keywork._keys import STATE_VALUE, Key, listed, with_suffix
from keywork._wiring import without_keys
from keywork.nn import TensorDictModuleBase


def actor_findings(actor: Any, *, log_prob: bool = False, params: bool = False) -> list[Finding]:
    """What keeps the actions of a batch from being scored by this actor.

    Args:
        actor: what should be a policy with a distribution.
        log_prob: whether it has to have written the log-probability when it acted.
        params: whether it has to have written the parameters of its distribution.
    """
    if findings := without_keys("its actor", actor):
        return findings
    writes = f"it writes {listed(actor.out_keys)}"
    if not has_distribution(actor):
        problem = f"its actor ({actor.label}) has no distribution to score actions with."
        fix = (
            "pass a ProbabilisticActor(net, in_keys=['logits'], distribution_class=Categorical, return_log_prob=True)."
        )
        return [Finding("no-distribution", problem, writes, fix)]
    findings = []
    missing = [key for key in actor.log_prob_keys if log_prob and key not in actor.out_keys]
    if missing:
        problem = f"it reads {listed(missing)}, which its actor ({actor.label}) does not write."
        findings.append(Finding("no-log-prob", problem, writes, "pass return_log_prob=True to it."))
    missing = [key for key in actor.dist_params_keys if params and key not in (*actor.out_keys, *actor.in_keys)]
    if missing:
        problem = f"it reads {listed(missing)}, which its actor ({actor.label}) does not keep."
        fix = f"keep the parameters of its distribution: select_out_keys(..., {listed(missing)})."
        findings.append(Finding("no-parameters", problem, writes, fix))
    if getattr(actor, "num_samples", None) is not None:
        problem = f"its actor ({actor.label}) draws {actor.num_samples} samples an element, of which one is taken."
        findings.append(Finding("several-samples", problem, "", "build the actor without num_samples."))
    return findings


def has_distribution(actor: Any) -> bool:
    """Whether this is a policy that draws its actions: an actor that puts all on one action does not."""
    return hasattr(actor, "dist_of") and hasattr(actor, "log_prob_keys")


def value_findings(critic: Any) -> list[Finding]:
    """What keeps a critic from saying what a state is worth."""
    if findings := without_keys("its critic", critic):
        return findings
    if STATE_VALUE in critic.out_keys:
        return []
    problem = f"its critic ({critic.label}) does not write {STATE_VALUE!r}."
    fix = f"name the critic's output: ValueOperator(net, in_keys=[...]), or out_keys=[{STATE_VALUE!r}]."
    return [Finding("no-value", problem, f"it writes {listed(critic.out_keys)}", fix)]


def findings_between(actor: Any, critic: Any) -> list[Finding]:
    """What actor and critic must not have in common."""
    if without_keys("its actor", actor) or without_keys("its critic", critic):
        return []
    findings = []
    taken = [key for key in getattr(actor, "dist_sample_keys", ()) if key in critic.in_keys]
    if taken:
        problem = f"its critic ({critic.label}) reads {listed(taken)}, which the actor decides on."
        rest = [key for key in critic.in_keys if key not in taken]
        fix = f"let it read the state alone: in_keys=[{listed(rest)}]."
        findings.append(Finding("knowing-critic", problem, f"it reads {listed(critic.in_keys)}", fix))
    own, other = _memories(actor), _memories(critic)
    for key in own:
        if key in other and own[key] is not other[key]:
            problem = f"its actor and its critic each carry a state of their own under {key!r}."
            fix = f"give the critic's another key, such as {with_suffix(key, '_2')!r}, or share one module."
            findings.append(Finding("shared-state", problem, "", fix))
    return findings


def _memories(network: nn.Module) -> dict[Key, nn.Module]:
    """The innermost module that carries each state."""
    parts = (part for part in network.modules() if isinstance(part, TensorDictModuleBase))
    return {key: part for part in parts for key in part.contract.carries}
