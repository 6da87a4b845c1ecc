"""Which actions an algorithm learns, choices or numbers, and where an environment says which of them are allowed."""

from __future__ import annotations

from keywork._errors import SpecError, refusal
from keywork._keys import ACTION_MASK, Key
from keywork.envs import Env
from keywork.specs import Categorical, MultiDiscrete, OneHot


def require_choices(algorithm: str, env: Env) -> None:
    """Refuse an environment whose actions are numbers.

    Raises:
        SpecError: they are.
    """
    if _takes_numbers(env):
        raise _misfit(algorithm, env, "discrete actions", "sac, td3 or ddpg")


def require_numbers(algorithm: str, env: Env) -> None:
    """Refuse an environment whose actions are choices.

    Raises:
        SpecError: they are.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("Pendulum-v1") as env:
    ...     require_numbers("sac", env)
    """
    if not _takes_numbers(env):
        raise _misfit(algorithm, env, "actions of numbers", "dqn, qrdqn, rainbow or sacd")


def mask_of(env: Env) -> Key | None:
    """Where the environment says which choices are allowed, if it does and the action is one of choices."""
    chosen = isinstance(env.action_spec, Categorical | OneHot | MultiDiscrete)
    return ACTION_MASK if chosen and ACTION_MASK in env.observation_spec else None


def _takes_numbers(env: Env) -> bool:
    return env.action_spec.dtype is not None and env.action_spec.dtype.is_floating_point


def _misfit(algorithm: str, env: Env, expected: str, others: str) -> SpecError:
    return refusal(
        SpecError,
        f"{algorithm} cannot learn in {env.name}: it does not learn such actions.",
        where="the action",
        expected=expected,
        got=repr(env.action_spec),
        fix=f"train {others}; or ppo, a2c or reinforce, which take any actions",
    )
