"""What may be passed as an environment: an id, something that makes one, one that is made, or a vector of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from keywork._errors import EnvError, MissingExtraError, UsageError
from keywork._keys import nearest
from keywork.envs._backend import Backend, InProcess
from keywork.envs._fault import raised
from keywork.envs._processes import Processes, ProcessWorkers
from keywork.envs._vector import Vectorised

EnvSource: TypeAlias = (
    str | EnvSpec | Callable[..., gymnasium.Env[Any, Any]] | gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any]
)

_EXTRAS = {"mujoco": "mujoco", "Box2D": "box2d", "ale_py": "atari"}  # the module that is missing -> our extra
_WORKERS = ("sync", "process", "vector")


@dataclass(frozen=True, slots=True)
class FromSpec:
    """Makes an environment as it is registered.

    A spec instead of an id: what was registered in this process is not registered in a worker. Gymnasium's passive
    checker is left out, because every observation, reward and flag is checked here, at every step.
    """

    spec: EnvSpec
    kwargs: Mapping[str, Any]

    def __call__(self) -> gymnasium.Env[Any, Any]:
        """Make one.

        Raises:
            MissingExtraError: it needs a package that one of the extras brings.
            EnvError: it needs another package that is not installed.
        """
        try:
            return gymnasium.make(self.spec, **{"disable_env_checker": True, **self.kwargs})
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            raise missing(self.spec.id, error) from error


@dataclass(frozen=True, slots=True)
class FromCallable:
    """Makes an environment by a function or class of the user's."""

    function: Callable[..., gymnasium.Env[Any, Any]]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> gymnasium.Env[Any, Any]:
        """Make one."""
        return self.function(**self.kwargs)


def name_of(env: EnvSource) -> str:
    """What messages call it."""
    if isinstance(env, str):
        return env
    spec = env if isinstance(env, EnvSpec) else getattr(env, "spec", None)
    if isinstance(spec, EnvSpec):
        return spec.id
    return str(getattr(env, "__name__", type(env).__name__))


def backend_for(env: EnvSource, num_envs: int, workers: str | ProcessWorkers, env_kwargs: Mapping[str, Any]) -> Backend:
    """The backend that runs ``num_envs`` of what was passed.

    Raises:
        UsageError: it cannot be run like this, or is no environment at all.
        MissingExtraError: it needs a package that one of the extras brings.
        EnvError, EnvFault: it failed.
    """
    if num_envs < 1:
        raise UsageError(f"GymEnv cannot run num_envs={num_envs} environments; type 1 or more.")
    if not isinstance(workers, ProcessWorkers) and workers not in _WORKERS:
        known = ", ".join(map(repr, _WORKERS))
        raise UsageError(
            f"GymEnv cannot run its environments with workers={workers!r}; type one of {known}, or ProcessWorkers(...)."
        )
    if isinstance(env, VectorEnv):
        return _given_vector(env, num_envs, workers, env_kwargs)
    if isinstance(env, gymnasium.Env):
        if num_envs != 1 or workers != "sync" or env_kwargs:
            raise UsageError(
                f"GymEnv cannot run {name_of(env)!r} like this: it is one environment that is made already.\n"
                "   With num_envs, workers or env_kwargs, pass what makes one instead: an id, a function or a class."
            )
        return InProcess(lambda: env, 1)
    factory = _factory(env, env_kwargs)
    if workers == "sync":
        return InProcess(factory, num_envs)
    if workers == "vector":
        return Vectorised(_made_vector(factory, num_envs), ProcessWorkers())
    return Processes(factory, num_envs, workers if isinstance(workers, ProcessWorkers) else ProcessWorkers())


def _factory(env: Any, kwargs: Mapping[str, Any]) -> FromSpec | FromCallable:
    if isinstance(env, str | EnvSpec):
        return FromSpec(find_spec(env) if isinstance(env, str) else env, kwargs)
    if callable(env):
        return FromCallable(env, kwargs)
    raise UsageError(
        f"GymEnv cannot run {env!r}, a {type(env).__name__}.\n"
        "   Pass a Gymnasium id, what makes an environment (a function or class), an environment, or a vector of them."
    )


def _given_vector(
    env: VectorEnv[Any, Any, Any], num_envs: int, workers: str | ProcessWorkers, env_kwargs: Mapping[str, Any]
) -> Backend:
    if num_envs not in (1, env.num_envs) or workers == "process" or env_kwargs:
        raise UsageError(
            f"GymEnv cannot run {env} like this: it is made already, with num_envs={env.num_envs}.\n"
            "   With num_envs, workers or env_kwargs of your own, pass an id, a function or a class instead."
        )
    return Vectorised(env, workers if isinstance(workers, ProcessWorkers) else ProcessWorkers())


def _made_vector(factory: FromSpec | FromCallable, num_envs: int) -> VectorEnv[Any, Any, Any]:
    if isinstance(factory, FromCallable) or factory.spec.vector_entry_point is None:
        name = factory.spec.id if isinstance(factory, FromSpec) else name_of(factory.function)
        raise UsageError(
            f"GymEnv cannot run {name!r} with workers='vector': no vectorised form of it is registered.\n"
            "   Type workers='sync' or workers='process', or pass a gymnasium VectorEnv that you made."
        )
    try:
        return gymnasium.make_vec(
            factory.spec, num_envs, vectorization_mode="vector_entry_point", **dict(factory.kwargs)
        )
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise missing(factory.spec.id, error) from error
    except Exception as error:
        raise raised("made", None, error) from error


def find_spec(name: str) -> EnvSpec:
    """What is registered under an id, ``"CartPole-v1"`` or ``"module.to.import:Maze-v0"``.

    Raises:
        UsageError: nothing is.
        MissingExtraError: an extra would register it.
    """
    module, _, name_in_module = name.rpartition(":")
    if name_in_module.startswith("ALE/"):
        module = module or "ale_py"
    if module:
        try:
            importlib.import_module(module)  # which registers its environments
        except (TypeError, ValueError) as error:  # no name of a module at all, such as ".."
            raise UsageError(f"There is no environment {name!r}: {module!r} is no module.") from error
        except ModuleNotFoundError as error:
            if error.name in _EXTRAS:
                raise MissingExtraError(f"the environment {name!r}", error.name, _EXTRAS[error.name]) from error
            raise UsageError(f"There is no environment {name!r}: {error}.") from error
    spec = gymnasium.registry.get(name_in_module)
    if spec is None:
        newest_first = sorted(gymnasium.registry, reverse=True)  # of equally near ones the first is taken
        near = nearest(name_in_module, newest_first, cutoff=0.5)
        fix = f"Did you mean {near!r}?" if near else "gymnasium.pprint_registry() lists what there is."
        raise UsageError(f"There is no Gymnasium environment {name!r}. {fix}")
    return spec


def missing(name: str, error: Exception) -> EnvError | MissingExtraError:
    """The error of an environment whose package is not installed."""
    named = [e.name for e in (error, error.__cause__) if isinstance(e, ImportError) and e.name]
    absent = named[0].partition(".")[0] if named else None
    if absent in _EXTRAS:
        return MissingExtraError(f"the environment {name!r}", absent, _EXTRAS[absent])
    return EnvError(f"{name!r} cannot be made: it needs a package that is not installed.\n   {error}")
