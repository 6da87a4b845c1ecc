"""What an environment draws: the same under one seed, and something of its own in each environment."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import torch

from keywork.envs import Env
from keywork.testing._env_run import EnvSubject, Step, broken, copied, differ, first, history, masked, run, shortened
from keywork.testing._expect import seeded, skip

_BEGINNINGS = 10


def check_determinism(subject: EnvSubject) -> None:
    """Run three times with one seed: on one environment, again after a reset of it, and on a new one.

    The generators of Python, numpy and torch, which belong to everyone, are seeded otherwise each time.
    """
    with closing(subject.make()) as env:
        with _globals(1):
            one = run(env, subject.steps, env.begin(subject.seed))
        with _globals(2):
            again = run(env, subject.steps, env.begin(subject.seed))
    _repeats(env, one, again, "after a reset with the same seed")
    with closing(subject.make()) as other, _globals(3):
        anew = run(other, subject.steps, other.begin(subject.seed))
    _repeats(env, one, anew, "in a new one with the same seed")


def _repeats(env: Env, one: list[Step], other: list[Step], when: str) -> None:
    ours, theirs = (
        history({**step.entries(), env.action_key: step.action} for step in steps) for steps in (one, other)
    )
    found = {key: at for key, value in ours.items() if (at := first(differ(value, theirs[key])))}
    if found:
        key = min(found, key=found.__getitem__)
        at = found[key]
        raise broken(
            env,
            f"does not repeat itself {when}",
            at,
            expected=f"{key!r} as in the first run: {shortened(ours[key][at])}",
            got=shortened(theirs[key][at]),
            fix="draw from self.np_random alone, call super().reset(seed=seed), and reset all that changes",
        )


@contextmanager
def _globals(seed: int) -> Iterator[None]:
    """Seed the generators that belong to everyone, and give them back as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with seeded(seed):
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def check_streams(subject: EnvSubject) -> None:
    """Do the same in all environments: what is drawn in them differs."""
    with closing(subject.make()) as env:
        if env.num_envs == 1:
            skip("there is one environment only")
        steps = 0 if masked(env) else subject.steps  # what is allowed differs: their beginnings are compared alone
        data = _alike(env, steps, subject.seed, None)
        for one, other in itertools.combinations(range(env.num_envs), 2):
            if any(not torch.equal(entry[one], entry[other]) for entry in data[1]):
                continue
            elsewhere = _alike(env, steps, subject.seed + 1, data[0])
            if all(torch.equal(a, b) for a, b in zip(data[1], elsewhere[1], strict=True)):
                skip("nothing is drawn: another seed gives the same")
            raise broken(
                env,
                "draws the same in two environments",
                f"all steps, env {one} and env {other} of {env.num_envs}",
                expected="other random numbers in each: seeds differ",
                got="the same observations and rewards from the same actions",
                fix="seed nothing in __init__ or in step; reset(seed=seed) brings each environment's own seed",
            )


def _alike(
    env: Env, steps: int, seed: int, actions: list[torch.Tensor] | None
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The actions, one for all environments, and all that is seen of some beginnings and a run."""
    roots = [copied(env.begin(seed)), *(copied(env.begin()) for _ in range(_BEGINNINGS - 1))]
    root = env.begin(seed)
    if actions is None:
        actions = [env.random_action()[:1].expand_as(env.random_action()).clone() for _ in range(steps)]
    seen = [value for entries in roots for value in entries.values()]
    return actions, seen + [value for step in run(env, steps, root, actions) for value in step.entries().values()]
