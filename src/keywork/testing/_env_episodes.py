"""How an environment ends an episode and begins the next."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import torch

from keywork._keys import DONE, IS_INIT, REWARD, TERMINATED, TRUNCATED, next_key
from keywork.envs import Env
from keywork.testing._env_data import verify_specs
from keywork.testing._env_run import (
    Data,
    EnvSubject,
    Step,
    broken,
    differ,
    first,
    first_run,
    history,
    run,
    shortened,
    tensor,
)
from keywork.testing._expect import skip

_DONE, _REWARD = next_key(DONE), next_key(REWARD)
_SHORT_EPISODES = 25


def check_following(subject: EnvSubject) -> None:
    """Compare what a step led to with what is acted on next: the same, where no episode has ended."""
    env, steps = first_run(subject)
    reached, shown = history(step.reached for step in steps), history(step.observation for step in steps)
    for key in env.observation_spec:
        value = shown[key]
        unlike = differ(value, reached[next_key(key)]).reshape(*reached[_DONE].shape[:2], -1)
        if at := first(unlike & ~reached[_DONE]):
            raise broken(
                env,
                f"goes on from another {key!r} than the one that its step led to",
                at,
                expected=f"{shortened(reached[next_key(key)][at])}, as under {next_key(key)!r}: the episode goes on",
                got=shortened(value[at]),
                fix="return one observation as both, except where an episode ended",
            )


def check_final(subject: EnvSubject) -> None:
    """Look for the true final observations: not those that begin the next episodes, under ``"next"``."""
    env, steps = first_run(subject)
    done = torch.stack([step.reached[_DONE][:, 0] & step.valid for step in steps])
    ends: list[tuple[int, int]] = [(number, row) for number, row in done.nonzero().tolist()]
    if not ends:
        skip(f"no episode ended within {len(steps)} steps: set more steps")
    if not (ends := [(number, row) for number, row in ends if _changes(env, steps, row)]):
        skip("what is observed never changes, so that a final observation is like any other")
    if all(_same(_final(env, steps[number]), _begun(steps, number, row), row) for number, row in ends):
        raise broken(
            env,
            "has the first observation of the next episode in the place of the final one",
            "step {}, env {} of {}, and all {} ends of episodes".format(*ends[0], env.num_envs, len(ends)),
            expected="what the last step led to",
            got="what the reset after it returned",
            fix="keep the observation of the last step before you reset (a vector environment: info['final_obs'])",
        )


def _final(env: Env, step: Step) -> Data:
    return {key: step.reached[next_key(key)] for key in env.observation_spec}


def _changes(env: Env, steps: list[Step], row: int) -> bool:
    """Whether a row observes more than one thing in the whole run: a bandit, say, does not."""
    begins = steps[0].root
    return not all(_same(_final(env, step), begins, row) for step in steps)


def _begun(steps: list[Step], number: int, row: int) -> Data:
    """The first observation after an end: one step later, where that is the reset."""
    later = steps[number + 1] if number + 1 < len(steps) else steps[number]
    return steps[number].observation if later.valid[row] else later.observation


def _same(one: Data, other: Data, row: int) -> bool:
    return all(torch.equal(value[row], other[key][row]) for key, value in one.items())


def check_is_init(subject: EnvSubject) -> None:
    """Compare ``is_init`` with the ends of episodes; no root is itself done."""
    with closing(subject.make()) as env:
        running: Any = env
        if not (hasattr(running, "reset") and hasattr(running, "step_and_maybe_reset")):
            skip("it has no reset() and step_and_maybe_reset()")
        root = running.reset(subject.seed)
        begins = torch.ones(env.num_envs, 1, dtype=torch.bool)
        for number in range(subject.steps):
            is_init = tensor(root[IS_INIT])
            if at := first((is_init != begins).unsqueeze(0)):
                raise broken(
                    env,
                    f"is wrong about {IS_INIT!r}",
                    (number, at[1]),
                    expected=f"{bool(begins[at[1]])}: {'an' if begins[at[1]] else 'no'} episode begins",
                    got=str(bool(is_init[at[1]])),
                    fix=f"{IS_INIT} is what {_DONE!r} was one step before, and True after a reset",
                )
            over = tensor(root[DONE] | root[TERMINATED] | root[TRUNCATED])
            if at := first(over.unsqueeze(0)):
                raise broken(
                    env,
                    "goes on in an episode that is over",
                    (number, at[1]),
                    expected=f"{DONE}, {TERMINATED} and {TRUNCATED} False at the root",
                    got="one of them True",
                    fix="begin the next episode in the step that ends one",
                )
            td, root = running.step_and_maybe_reset(root.set(env.action_key, env.random_action()))
            begins = tensor(td[_DONE])


def check_episodes(subject: EnvSubject) -> None:
    """Compare the statistics of episodes with the sums of their rewards and the numbers of their steps."""
    env, steps = first_run(subject)
    if verify_episodes(env, steps) == 0:
        skip(f"no episode ended within {len(steps)} steps: set more steps")


def verify_episodes(env: Env, steps: list[Step]) -> int:
    """See `check_episodes`; returns how many there were."""
    returns = torch.zeros(env.num_envs, dtype=torch.float64)
    sizes = torch.zeros_like(returns)  # of the rewards, which sets how far rounding may go
    lengths = torch.zeros(env.num_envs, dtype=torch.int64)
    count = 0
    for number, step in enumerate(steps):
        reward = step.reached[_REWARD][:, 0].double()
        returns, sizes, lengths = returns + reward, sizes + reward.abs(), lengths + 1
        done = step.reached[_DONE][:, 0]
        told = {stats.env: stats for stats in step.transition.episodes}
        for row in range(env.num_envs):
            stats, ended = told.get(row), bool(done[row] & step.valid[row])
            near = stats is None or abs(stats.return_ - returns[row].item()) <= 1e-5 * (1.0 + sizes[row].item())
            if ended != (stats is not None) or not near or (stats is not None and stats.length != lengths[row]):
                here = f"{lengths[row]} steps, return {returns[row]:g}" if ended else "none"
                raise broken(
                    env,
                    "is wrong about an episode: its statistics are not those of its rewards",
                    (number, row),
                    expected=f"an episode that ended: {here}",
                    got="none" if stats is None else f"{stats.length} steps, return {stats.return_:g}",
                    fix="sum the rewards from reset to done, and tell it in Transition.episodes",
                )
        count += len(told)
        goes_on = ~done
        returns, sizes, lengths = returns * goes_on, sizes * goes_on, lengths * goes_on
    return count


def check_resets(subject: EnvSubject) -> None:
    """Reset again and again in the middle of episodes; after that everything is as after the first reset."""
    with closing(subject.make()) as env:
        root = env.begin(subject.seed)
        for number in range(_SHORT_EPISODES):
            run(env, 1 + number % 3, root)
            root = env.begin()
        steps = run(env, subject.steps, root)
    verify_specs(env, steps)
    verify_episodes(env, steps)
