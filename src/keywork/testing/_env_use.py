"""How an environment is used: what it takes for an action, and how it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import torch
from torch import Tensor

from keywork._errors import KeyworkError
from keywork.envs import Env
from keywork.specs import Bounded, Categorical, MultiBinary, MultiDiscrete, OneHot, Spec
from keywork.testing._env_run import EnvSubject, broken, masked
from keywork.testing._expect import skip

_MOST_CHOICES = 32


def check_actions(subject: EnvSubject) -> None:
    """Take the outermost actions of the action spec, and every choice of few, as tensors and as arrays."""
    with closing(subject.make()) as env:
        if masked(env):
            skip("its mask says which actions it takes: see the check 'masks'")
        corners = list(_corners(env.action_spec))
        if not corners:
            skip("its actions have neither bounds nor choices")
        for action in corners:
            batch = action.expand(env.num_envs, *action.shape).clone()
            for form in (batch, batch.cpu().numpy()):
                env.begin(subject.seed)
                _takes(env, form, action)


def _takes(env: Env, batch: object, action: Tensor) -> None:
    try:
        env.advance(batch)
    except Exception as error:
        raise broken(
            env,
            "does not take an action that is in its action_spec",
            f"step 0, all {env.num_envs} envs, action {action.tolist()}",
            expected=f"a step: the spec is {env.action_spec}",
            got=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
            fix="give action_space the actions that the environment takes, or show a mask of them",
        ) from error


def _corners(spec: Spec) -> Iterator[Tensor]:
    """The outermost actions of a spec, and all of few."""
    if isinstance(spec, Bounded):
        for bound in (spec.low, spec.high):
            corner = spec.project(torch.where(bound.isfinite(), bound, 0).expand(spec.shape))
            yield corner
    elif isinstance(spec, MultiDiscrete):
        yield from (spec.zero(), (spec.nvec - 1).to(spec.dtype))
    elif isinstance(spec, MultiBinary):
        yield from (spec.zero(), torch.ones_like(spec.zero()))
    elif isinstance(spec, Categorical | OneHot):
        indices = range(spec.n) if spec.n <= _MOST_CHOICES else (0, spec.n - 1)
        for index in indices:
            number = torch.full((), index, dtype=spec.dtype, device=spec.device)
            one_hot = torch.nn.functional.one_hot(number.long(), spec.n).to(spec.dtype)
            yield one_hot if isinstance(spec, OneHot) else number.expand(spec.shape)


def check_close(subject: EnvSubject) -> None:
    """Close it twice, in the middle of an episode; after that it refuses to begin."""
    env = subject.make()
    env.begin(subject.seed)
    env.advance(env.random_action())
    env.close()
    try:
        env.close()
    except Exception as error:
        raise broken(
            env,
            "cannot be closed twice",
            "the second close()",
            expected="that it does nothing",
            got=f"{type(error).__name__}: {error}",
            fix="return from close() where it is closed already",
        ) from error
    try:
        env.begin()
    except KeyworkError:
        return
    raise broken(
        env,
        "begins an episode after it was closed",
        "begin() after close()",
        expected="an EnvError",
        got="an observation",
        fix="refuse it: whoever goes on with it does so by mistake",
    )
