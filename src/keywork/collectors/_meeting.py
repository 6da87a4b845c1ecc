"""What has to be so for a policy to act in an environment; checked before the first step."""

from __future__ import annotations

import copy
from typing import Any

from keywork._errors import ContractError, Finding, UsageError, refusal
from keywork._keys import NEXT, Key, listed, meant, next_key, path_of
from keywork._wiring import specs_of_carried
from keywork.envs import Env
from keywork.flow import Flow
from keywork.nn import ExplorationType, TensorDictModuleBase
from keywork.specs import Bounded


def check_meeting(env: Env, policy: TensorDictModuleBase, exploration_type: ExplorationType) -> None:
    """Check what an environment and a policy exchange: their keys in words of a meeting, all the rest by their flow.

    Raises:
        ContractError: the policy reads what the environment does not show, does not write its action, carries
            something of which none of its modules says what it is, changes an action whose log-probability it has
            written (which noise does under RANDOM alone), or their flow has other findings.
    """
    shown = [key for key in env.specs if path_of(key)[0] != NEXT and key != env.action_key]
    fed = specs_of_carried(policy)
    findings = [_unshown(env, policy, key, shown) for key in policy.contract.reads if key not in (*shown, *fed)]
    findings += [_shown_and_carried(env, policy, key) for key in fed if key in shown]
    if env.action_key not in policy.out_keys:
        problem = f"the environment {env.name!r} takes {env.action_key!r}, which the policy does not write."
        fix = f"{meant(env.action_key, policy.out_keys)}End the policy with out_keys=[{env.action_key!r}]."
        findings.append(Finding("no-action", problem, f"the policy writes {listed(policy.out_keys)}", fix))
    findings += [found for found in _of_the_flow(env, policy, exploration_type) if found.kind not in _SAID_HERE]
    if findings:
        raise ContractError("Collector", findings)


def check_warm_up(policy: TensorDictModuleBase, frames: int) -> None:
    """Refuse random actions in the place of a policy's own, if it writes how likely its own are.

    Raises:
        UsageError: it does.
    """
    scores = [key for part in policy.modules() for key in getattr(part, "log_prob_keys", ()) if key in policy.out_keys]
    if scores:
        raise refusal(
            UsageError,
            f"Collector cannot begin with random actions: its policy ({policy.label}) writes log-probabilities.",
            where="init_random_frames",
            expected="a policy that stores none, as those of off-policy algorithms: random actions are not drawn "
            "from it, and the score of its own action would be stored beside them",
            got=f"init_random_frames={frames}, and {scores[0]!r} in the policy's out_keys",
            fix="return_log_prob=False in the actor, or init_random_frames=0",
        )


# Whatever a policy reads that is not there has been said above.
_SAID_HERE = (
    *("missing-key", "dropped-key", "unfed-state", "two-sources"),
    *("no-action", "no-is-init", "no-next", "no-target", "no-value", "no-advantage", "no-log-prob"),
)


def _computed(module: Any) -> list[Key]:
    """What a key module computes, selected or not."""
    return copy.copy(module).reset_out_keys().out_keys if isinstance(module, TensorDictModuleBase) else []


def _of_the_flow(env: Env, policy: TensorDictModuleBase, exploration_type: ExplorationType) -> list[Finding]:
    try:
        Flow(env, policy)
    except ContractError as error:
        if exploration_type is ExplorationType.RANDOM:
            return list(error.findings)
        # What is not drawn can keep to bounds that a draw would leave, and no noise changes it.
        unsure = {"stale-log-prob", *["action-range"] * isinstance(env.action_spec, Bounded)}
        return [found for found in error.findings if found.kind not in unsure]
    return []


def _unshown(env: Env, policy: TensorDictModuleBase, key: Key, shown: list[Key]) -> Finding:
    carried = key in policy.contract.carries
    kind = "unfed-state" if carried else "missing-key"
    problem = f"the policy ({policy.label}) reads {key!r}, which the environment {env.name!r} does not show."
    fix = f"{meant(key, shown)}Read one of these: in_keys=[...]."
    if carried:
        problem = (
            f"the policy ({policy.label}) carries {key!r} from step to step, and none of its modules says what it is."
        )
        fix = f"give the module that carries it a property carried_specs: Composite({{{key!r}: Unbounded(shape)}})."
    elif any(next_key(key) in _computed(part) for part in policy.modules()):
        kind = "dropped-key"
        problem += f" Its selected out_keys drop {next_key(key)!r}, which would become that."
        fix = f"Keep it: select_out_keys(..., {next_key(key)!r})."
    return Finding(kind, problem, f"{env.name} shows {listed(shown)}", fix)


def _shown_and_carried(env: Env, policy: TensorDictModuleBase, key: Key) -> Finding:
    problem = (
        f"the policy ({policy.label}) carries {key!r} from step to step, and the environment {env.name!r} shows it."
    )
    return Finding("two-sources", problem, "", "give the state another key, such as in_keys=[..., 'memory'].")
