"""What each step of an environment holds, against its specs and against what is promised of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from keywork._keys import ACTION_MASK, DONE, NEXT, REWARD, TERMINATED, TRUNCATED, Key, next_key, path_of
from keywork.envs import Env
from keywork.specs import OneHot, Spec
from keywork.testing._env_run import (
    Data,
    EnvSubject,
    Step,
    broken,
    counts_of,
    differ,
    first,
    first_run,
    history,
    masked,
    require_keys,
    shortened,
    tensor,
)
from keywork.testing._expect import skip

_REWARD, _DONE, _TERMINATED, _TRUNCATED = (next_key(key) for key in (REWARD, DONE, TERMINATED, TRUNCATED))


def check_specs(subject: EnvSubject) -> None:
    """Compare each entry of each step with its spec: it is there, of that shape and dtype, and inside."""
    verify_specs(*first_run(subject))


def verify_specs(env: Env, steps: list[Step]) -> None:
    """See `check_specs`."""
    seen = list(env.observation_spec)
    specs = dict(env.specs.items())
    following = [key for key in specs if path_of(key)[0] == NEXT]
    entries = [{**step.entries(), env.action_key: step.action} for step in steps]
    for number, (step, held) in enumerate(zip(steps, entries, strict=True)):
        require_keys(env, step.root, seen, f"step {number}, the root")
        require_keys(env, step.observation, seen, f"step {number}, the observation to act on next")
        require_keys(env, step.reached, following, f"step {number}, under {NEXT!r}")
        _have_forms(env, specs, held, number)
    for key, value in history(entries).items():
        if not specs[key].is_in(value):
            _find_outside(env, specs[key], key, value)


def _have_forms(env: Env, specs: Mapping[Key, Spec], held: Data, number: int) -> None:
    for key, value in held.items():
        spec = specs[key]
        wanted = (env.num_envs, *spec.shape)
        if tuple(value.shape) != wanted or value.dtype != spec.dtype:
            raise broken(
                env,
                f"breaks the spec of {key!r}: its shape or dtype is another",
                f"step {number}, all {env.num_envs} envs",
                expected=f"{list(wanted)} of {spec.dtype}: {spec}",
                got=f"{list(value.shape)} of {value.dtype}",
                fix="return what the spec says, or let the spec say what is returned",
            )


def _find_outside(env: Env, spec: Spec, key: Key, value: Tensor) -> None:
    """Look for the first value outside of its domain; what is not finite is another check's."""
    for step, rows in enumerate(value):
        for row, one in enumerate(rows):
            if one.isfinite().all() and not spec.is_in(one):
                raise broken(
                    env,
                    f"breaks the spec of {key!r}: a value is outside of its domain",
                    (step, row),
                    expected=spec.domain,
                    got=shortened(one),
                    fix="give its space the bounds that it has, or clip what it returns",
                )


def check_finite(subject: EnvSubject) -> None:
    """Look for NaN and infinity in all that the environment shows and pays."""
    env, steps = first_run(subject)
    for key, value in history(step.entries() for step in steps).items():
        if at := first(~value.isfinite()):
            raise broken(
                env,
                f"shows a {key!r} that is not finite",
                at,
                expected="finite numbers",
                got=shortened(value[at]),
                fix="mend the environment; a single NaN ends a training",
            )


def check_flags(subject: EnvSubject) -> None:
    """Compare done with ``terminated | truncated``, and look at the steps that are none of an episode."""
    env, steps = first_run(subject)
    held = history(step.reached for step in steps)
    reward, done, terminated, truncated = (held[key] for key in (_REWARD, _DONE, _TERMINATED, _TRUNCATED))
    if at := first(done != (terminated | truncated)):
        raise broken(
            env,
            "does not have done = terminated | truncated",
            at,
            expected=f"done {bool(terminated[at] | truncated[at])}",
            got=f"done {bool(done[at])}, terminated {bool(terminated[at])}, truncated {bool(truncated[at])}",
            fix="compute done from the two others",
        )
    gap = ~torch.stack([step.valid for step in steps]).unsqueeze(-1)
    if at := first(gap & (terminated | ~truncated | (reward != 0))):
        raise broken(
            env,
            "has a step that is none of an episode (valid is False) and joins two",
            at,
            expected="reward 0, truncated True, terminated False",
            got=f"reward {reward[at].item():g}, truncated {bool(truncated[at])}, terminated {bool(terminated[at])}",
            fix="close it off as an episode of its own",
        )


def check_aliasing(subject: EnvSubject) -> None:
    """Keep everything that a run hands out, and look at its end whether something has changed."""
    env, steps = first_run(subject)
    for number, step in enumerate(steps):
        for name, (live, kept) in step.handed_out().items():
            now = tensor(live)
            if at := first(differ(now, kept).unsqueeze(0)):
                raise broken(
                    env,
                    f"writes into {name} of a step that is over",
                    (number, at[1]),
                    expected=shortened(kept[at[1]]),
                    got=f"{shortened(now[at[1]])}, {len(steps) - 1 - number} steps later",
                    fix="return copies: array.copy(), tensor.clone()",
                )


def check_masks(subject: EnvSubject) -> None:
    """Look for an allowed action wherever one is to be chosen, and whether random ones are allowed."""
    env, steps = first_run(subject)
    if not masked(env):
        skip("there is no mask of actions")
    valid = torch.stack([step.valid for step in steps])
    action = torch.stack([step.action for step in steps])
    mask = torch.stack([step.root[ACTION_MASK] for step in steps])
    chosen = (action.argmax(-1) if isinstance(env.action_spec, OneHot) else action).reshape(*valid.shape, -1).long()
    counts = counts_of(env.action_spec) or []
    for part, flags in enumerate(torch.split(mask, counts, -1)):
        of_part = f", part {part} of the action" * (len(counts) > 1)
        if at := first(valid & ~flags.any(-1)):
            raise broken(
                env,
                "asks for an action and allows none",
                at,
                expected=f"at least one True in {ACTION_MASK!r}{of_part}",
                got=shortened(flags[at]),
                fix="allow an action that does nothing, or end the episode before",
            )
        index = chosen[..., part : part + 1]
        if at := first(valid & ~flags.gather(-1, index)[..., 0]):
            raise broken(
                env,
                "draws a random action that its mask forbids",
                at,
                expected=f"one of {flags[at].nonzero().flatten().tolist()}{of_part}",
                got=str(index[at].item()),
                fix="draw in random_action() from the allowed ones",
            )
