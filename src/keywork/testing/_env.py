"""EnvConformance: what every environment does, as tests to inherit; and check_env, all of them in one call."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from keywork.envs import Env, GymEnv, ProcessWorkers
from keywork.testing import _env_data, _env_episodes, _env_seeds, _env_use
from keywork.testing._expect import check, refuse_strange_exemptions


class EnvConformance:
    """Tests that hold for every environment: inherit them, and say how it is made.

    They go beyond ``gymnasium.utils.env_checker``: every step of a long run is looked at, as a batch will hold it,
    for several environments at once. A failed one says in which step and environment, what was expected, and what to
    do. A test runner collects the subclass: pytest by itself, as its name begins with ``Test``.

    What :class:`~keywork.envs.GymEnv` itself refuses at any time (a NaN, another shape) comes as its own ``EnvError``.

    Attributes:
        exempt: checks that do not apply, each with the reason: ``{"streams": "a game without chance"}``.
        steps: how many steps a run has; a few episodes should end in it.
        seed: of the runs.

    Raises:
        UsageError: when the class is written: ``exempt`` names no check, or gives no reason.

    In ``test_maze.py``::

        class TestMaze(EnvConformance):
            def make(self):
                return GymEnv(Maze, num_envs=3)
    """

    exempt: ClassVar[Mapping[str, str]] = {}
    steps: ClassVar[int] = 500
    seed: ClassVar[int] = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_strange_exemptions(cls)

    def make(self) -> Env:
        """A new environment, each time; it is closed by the check that asked for it."""
        raise NotImplementedError(f"{type(self).__name__} has to define make(self), which returns a new environment.")

    @check
    def test_specs(self) -> None:
        """Each entry of each step is there, has the shape and dtype of its spec, and is inside of its domain."""
        _env_data.check_specs(self)

    @check
    def test_finite(self) -> None:
        """No observation and no reward is NaN or infinite."""
        _env_data.check_finite(self)

    @check
    def test_flags(self) -> None:
        """An episode is done where it is terminated or truncated, and nowhere else."""
        _env_data.check_flags(self)

    @check
    def test_actions(self) -> None:
        """The bounds of the action spec, and all of few choices, are taken, in tensors and in arrays."""
        _env_use.check_actions(self)

    @check
    def test_masks(self) -> None:
        """A mask allows at least one action wherever one is to be chosen, and random actions keep to it."""
        _env_data.check_masks(self)

    @check
    def test_following(self) -> None:
        """While an episode goes on, a step's observation is the one that is acted on next."""
        _env_episodes.check_following(self)

    @check
    def test_final(self) -> None:
        """The last step of an episode has its true final observation, not the first one of the next."""
        _env_episodes.check_final(self)

    @check
    def test_is_init(self) -> None:
        """A step is marked as the first of an episode after a reset and after an end, and nowhere else."""
        _env_episodes.check_is_init(self)

    @check
    def test_episodes(self) -> None:
        """The statistics of an episode are the sum of its rewards and the number of its steps."""
        _env_episodes.check_episodes(self)

    @check
    def test_resets(self) -> None:
        """After many resets in the middle of episodes all is as after the first."""
        _env_episodes.check_resets(self)

    @check
    def test_determinism(self) -> None:
        """One seed is one run, whatever the generators of Python, numpy and torch are at."""
        _env_seeds.check_determinism(self)

    @check
    def test_streams(self) -> None:
        """What is drawn in one environment is not what is drawn in another."""
        _env_seeds.check_streams(self)

    @check
    def test_aliasing(self) -> None:
        """What a step has returned is never written into again."""
        _env_data.check_aliasing(self)

    @check
    def test_close(self) -> None:
        """It can be closed twice, and refuses to go on after that."""
        _env_use.check_close(self)


def check_env(
    env: str | Callable[..., Any],
    num_envs: int = 3,
    *,
    workers: str | ProcessWorkers = "sync",
    steps: int = EnvConformance.steps,
    seed: int = EnvConformance.seed,
    exempt: Mapping[str, str] | None = None,
) -> None:
    """Run all checks of :class:`EnvConformance` on a Gymnasium environment; what does not apply is left out.

    Args:
        env: an id, or a function or class that makes a ``gymnasium.Env``. For an environment of another kind, inherit
            :class:`EnvConformance`.
        num_envs: how many are run together.
        workers: as :class:`~keywork.envs.GymEnv` takes it.
        steps: how many steps a run has; a few episodes should end in it.
        seed: of the runs.
        exempt: checks that do not apply, each with the reason.

    Raises:
        AssertionError: the first check that fails.
        EnvError: the environment broke what GymEnv itself asks of it.
        UsageError: ``exempt`` names no check, or gives no reason.

    >>> check_env("CartPole-v1")
    """
    given = {} if exempt is None else exempt
    body = {"exempt": given, "steps": steps, "seed": seed}
    made = {"make": lambda self: GymEnv(env, num_envs, workers=workers)}
    subject = type("check_env", (EnvConformance,), {**body, **made})()
    for name in vars(EnvConformance):
        if name.startswith("test_"):
            with suppress(unittest.SkipTest):
                getattr(subject, name)()
