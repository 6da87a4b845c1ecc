"""What has to be so for a policy to act in an environment; checked before the first step."""

from __future__ import annotations

from keywork._errors import ContractError, Finding
from keywork._keys import NEXT, Key, listed, meant, path_of
from keywork.collectors._carried import specs_of_carried
from keywork.envs import GymEnv
from keywork.flow import stale_log_probs
from keywork.nn import ExplorationType, TensorDictModuleBase


def check_meeting(env: GymEnv, policy: TensorDictModuleBase, exploration_type: ExplorationType) -> None:
    """Check the keys that an environment and a policy exchange.

    Raises:
        ContractError: the policy reads what the environment does not show, does not write its action, carries
            something of which none of its modules says what it is, or changes an action whose log-probability it has
            written (which noise does under RANDOM alone).
    """
    shown = [key for key in env.specs if path_of(key)[0] != NEXT and key != env.action_key]
    fed = specs_of_carried(policy)
    findings = [_unshown(env, policy, key, shown) for key in policy.contract.reads if key not in (*shown, *fed)]
    findings += [_shown_and_carried(env, policy, key) for key in fed if key in shown]
    if env.action_key not in policy.out_keys:
        problem = f"the environment {env.name!r} takes {env.action_key!r}, which the policy does not write."
        fix = f"{meant(env.action_key, policy.out_keys)}End the policy with out_keys=[{env.action_key!r}]."
        findings.append(Finding("no-action", problem, f"the policy writes {listed(policy.out_keys)}", fix))
    if exploration_type is ExplorationType.RANDOM:
        findings += stale_log_probs(policy)
    if findings:
        raise ContractError("Collector", findings)


def _unshown(env: GymEnv, policy: TensorDictModuleBase, key: Key, shown: list[Key]) -> Finding:
    carried = key in policy.contract.carries
    kind = "unfed-state" if carried else "missing-key"
    problem = f"the policy ({policy.label}) reads {key!r}, which the environment {env.name!r} does not show."
    fix = f"{meant(key, shown)}Read one of these: in_keys=[...]."
    if carried:
        problem = (
            f"the policy ({policy.label}) carries {key!r} from step to step, and none of its modules says what it is."
        )
        fix = f"give the module that carries it a property carried_specs: Composite({{{key!r}: Unbounded(shape)}})."
    return Finding(kind, problem, f"{env.name} shows {listed(shown)}", fix)


def _shown_and_carried(env: GymEnv, policy: TensorDictModuleBase, key: Key) -> Finding:
    problem = (
        f"the policy ({policy.label}) carries {key!r} from step to step, and the environment {env.name!r} shows it."
    )
    return Finding("two-sources", problem, "", "give the state another key, such as in_keys=[..., 'memory'].")
