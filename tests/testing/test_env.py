"""Environments that are as they should be pass every check; each check fails for one that breaks it, and says so."""

from __future__ import annotations

import random
import unittest
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from keywork._errors import EnvError, UsageError
from keywork.envs import EpisodeStats, GymEnv, MaskFromInfo, native
from keywork.testing import EnvConformance, check_env


def failures(make: Any, **settings: Any) -> dict[str, str]:
    """The names of the checks that fail, and what they say."""
    subject = type("Subject", (EnvConformance,), {"make": lambda self: make(), "steps": 40, **settings})()
    found = {}
    for name in vars(EnvConformance):
        if name.startswith("test_"):
            try:
                getattr(subject, name)()
            except unittest.SkipTest:
                continue
            except (AssertionError, EnvError) as error:
                found[name.removeprefix("test_")] = str(error)
    return found


class TestCartPole(EnvConformance):
    def make(self):
        return GymEnv("CartPole-v1", 3)


class TestWorkers(EnvConformance):
    steps = 60

    def make(self):
        return GymEnv("CartPole-v1", 3, workers="process")


class TestNextStepReset(EnvConformance):
    steps = 100

    def make(self):
        return GymEnv("CartPole-v1", 3, workers="vector")


class TestOneHot(EnvConformance):
    steps = 60

    def make(self):
        return GymEnv("CartPole-v1", 3, one_hot=True)


class TestPendulum(EnvConformance):
    steps = 210

    def make(self):
        return GymEnv("Pendulum-v1", 3)


class TestTaxi(EnvConformance):
    steps = 210

    def make(self):
        return GymEnv("Taxi-v4", 2)


class TestMaskedTaxi(EnvConformance):
    steps = 210

    def make(self):
        return GymEnv(lambda: MaskFromInfo(gymnasium.make("Taxi-v4")), 2)


class TestBlackjack(EnvConformance):
    steps = 40

    def make(self):
        return GymEnv("Blackjack-v1", 3)


NATIVE = [native.Acrobot, native.CartPole, native.MountainCar, native.MountainCarContinuous, native.Pendulum]


@pytest.mark.parametrize("kind", NATIVE, ids=lambda kind: kind.__name__)
def test_native_environments(kind):
    assert failures(lambda: kind(3, time_limit=15)) == {}


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "CliffWalking-v1"])
def test_one_call_runs_all_checks(name):
    check_env(name, steps=40)


class Walk(gymnasium.Env):
    """A walk of drawn steps, five to an episode; the action is added."""

    observation_space = spaces.Box(-100, 100, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def drawn(self):
        return self.np_random.normal()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = self.drawn(), 0
        return self.seen(), {}

    def seen(self):
        return np.array([self.at, self.t], np.float32)

    def step(self, action):
        self.at += self.drawn() + float(action[0])
        self.t += 1
        return self.seen(), self.at, self.t == 5, False, {}


def test_the_walk_is_right():
    assert failures(lambda: GymEnv(Walk, 3)) == {}


class TestBrokenGymnasiumEnvironments:
    def failing(self, env, check):
        found = failures(lambda: GymEnv(env, 3))
        assert list(found) == [check]
        return found[check]

    def test_an_observation_outside_of_its_bounds(self):
        class Outside(Walk):
            observation_space = spaces.Box(-100, np.array([100, 4], np.float32), (2,), np.float32)

        found = failures(lambda: GymEnv(Outside, 3))
        assert set(found) == {"specs", "resets"}
        # The fifth observation is the first with a time above 4.
        at = found["specs"].split("got: [")[1].split(",")[0]
        assert found["specs"] == (
            "'Outside' breaks the spec of ('next', 'observation'): a value is outside of its domain.\n"
            "  where: step 4, env 0 of 3\n"
            f"  expected: {GymEnv(Outside).observation_spec['observation'].domain}\n"
            f"  got: [{at}, 5]\n"
            "  fix: give its space the bounds that it has, or clip what it returns"
        )

    def test_a_generator_that_belongs_to_everyone(self):
        class Global(Walk):
            def drawn(self):
                return random.gauss()

        assert self.failing(Global, "determinism").startswith(
            "'Global' does not repeat itself after a reset with the same seed.\n  where: step 0, env 0 of 3\n"
            "  expected: 'observation' as in the first run: ["
        )

    def test_something_that_a_reset_forgets(self):
        class Tired(Walk):
            total = 0

            def step(self, action):
                self.total += 1
                observation, reward, *rest = super().step(action)
                return observation, reward + (self.total > 40), *rest

        text = self.failing(Tired, "determinism")
        assert text.startswith(
            "'Tired' does not repeat itself after a reset with the same seed.\n  where: step 0, env 0"
        )
        assert "expected: ('next', 'reward') as in the first run: [" in text
        assert text.endswith(
            "fix: draw from self.np_random alone, call super().reset(seed=seed), and reset all that changes"
        )

    def test_something_that_differs_from_one_object_to_the_next(self):
        class Born(Walk):
            count = 0

            def __init__(self):
                self.bonus = float(Born.count >= 3)
                Born.count += 1

            def step(self, action):
                observation, reward, *rest = super().step(action)
                return observation, reward + self.bonus, *rest

        def make():
            return GymEnv(Born, 3)

        subject = type("Subject", (EnvConformance,), {"make": lambda self: make(), "steps": 10})()
        with pytest.raises(
            AssertionError, match=r"does not repeat itself in a new one with the same seed.\n.*step 0, env 0"
        ):
            subject.test_determinism()

    def test_an_action_that_its_space_allows_and_it_does_not(self):
        class Narrow(Walk):
            def step(self, action):
                if action[0] == 1:
                    raise ValueError("too far")
                return super().step(action)

        assert self.failing(Narrow, "actions") == (
            "'Narrow' does not take an action that is in its action_spec.\n"
            "  where: step 0, all 3 envs, action [1.0]\n"
            "  expected: a step: the spec is Bounded(low=-1.0, high=1.0, shape=(1,), dtype=torch.float32)\n"
            "  got: EnvError: 'Narrow' cannot be stepped: env 0 of 3 raised ValueError: too far\n"
            "  fix: give action_space the actions that the environment takes, or show a mask of them"
        )

    def test_what_the_stepping_itself_refuses_comes_as_its_own_error(self):
        class Nan(Walk):
            def seen(self):
                return np.array([self.at if self.t < 3 else np.nan, self.t], np.float32)

        found = failures(lambda: GymEnv(Nan, 3))
        assert "env 0 of 3 broke its observation space: 'observation' is not finite: [nan, 3.0]" in found["finite"]
        with pytest.raises(EnvError, match="at step 3 of its episode") as caught:
            check_env(Nan, steps=10)
        assert "check 'specs' of check_env: Each entry of each step is there" in caught.value.__notes__[0]


class Meddled(GymEnv):
    """A GymEnv whose transitions are changed on the way out."""

    def __init__(self, env=Walk, num_envs=3):
        super().__init__(env, num_envs)
        self.began = 0

    def begin(self, seed=None):
        self.began += 1
        return super().begin(seed)

    def advance(self, action):
        return self.meddle(super().advance(action))

    def meddle(self, taken):
        return taken


class TestBrokenEnvironments:
    def failing(self, env, check, **settings):
        found = failures(env, **settings)
        assert list(found) == [check]
        return found[check]

    def test_an_infinite_reward(self):
        class Infinite(Meddled):
            def meddle(self, taken):
                taken.reward[2] = np.inf
                return taken

        found = failures(Infinite)
        assert set(found) == {"finite", "episodes", "resets"}
        assert found["finite"] == (
            "'Walk' shows a ('next', 'reward') that is not finite.\n  where: step 0, env 2 of 3\n"
            "  expected: finite numbers\n  got: [inf]\n  fix: mend the environment; a single NaN ends a training"
        )

    def test_another_dtype(self):
        class Double(Meddled):
            def meddle(self, taken):
                return taken._replace(reward=taken.reward.astype(np.float64))

        found = failures(Double)
        assert set(found) == {"specs", "resets"}
        assert found["specs"] == (
            "'Walk' breaks the spec of ('next', 'reward'): its shape or dtype is another.\n"
            "  where: step 0, all 3 envs\n"
            "  expected: [3, 1] of torch.float32: Unbounded(shape=(1,), dtype=torch.float32)\n"
            "  got: [3, 1] of torch.float64\n  fix: return what the spec says, or let the spec say what is returned"
        )

    def test_an_entry_that_no_spec_names(self):
        class More(Meddled):
            def meddle(self, taken):
                return taken._replace(observation={**taken.observation, "extra": np.zeros((3, 1))})

        found = failures(More)
        assert found["specs"] == (
            "'Walk' has 'extra' too many.\n  where: step 0, the observation to act on next\n"
            "  expected: 'observation'\n  got: 'observation', 'extra'\n  fix: give specs and data the same entries"
        )

    def test_done_without_a_reason(self):
        class Undone(Meddled):
            def meddle(self, taken):
                return taken._replace(terminated=np.zeros_like(taken.done))

        assert self.failing(Undone, "flags") == (
            "'Walk' does not have done = terminated | truncated.\n  where: step 4, env 0 of 3\n"
            "  expected: done False\n  got: done True, terminated False, truncated False\n"
            "  fix: compute done from the two others"
        )

    def test_a_gap_that_joins_two_episodes(self):
        class Joined(Meddled):
            def meddle(self, taken):
                if taken.valid is not None:
                    taken.reward[~taken.valid] = 1.0
                return taken

        def make():
            return Joined(gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="vector_entry_point"), 3)

        text = self.failing(make, "flags", steps=100)
        assert "has a step that is none of an episode (valid is False) and joins two.\n  where: step " in text
        assert "got: reward 1, truncated True, terminated False" in text

    def test_another_observation_than_the_step_led_to(self):
        class Jumping(Meddled):
            def meddle(self, taken):
                shown = taken.observation["observation"].copy()
                shown[1] = 0
                return taken._replace(observation={"observation": shown})

        text = self.failing(Jumping, "following")
        assert text.startswith(
            "'Walk' goes on from another 'observation' than the one that its step led to.\n"
            "  where: step 0, env 1 of 3\n"
        )
        assert "as under ('next', 'observation'): the episode goes on\n  got: [0, 0]\n" in text

    def test_the_first_observation_in_the_place_of_the_final_one(self):
        class Overwritten(Meddled):
            def meddle(self, taken):
                return taken._replace(next_observation=taken.observation)

        # 40 steps, five to an episode, three environments: 24 ends.
        assert self.failing(Overwritten, "final") == (
            "'Walk' has the first observation of the next episode in the place of the final one.\n"
            "  where: step 4, env 0 of 3, and all 24 ends of episodes\n"
            "  expected: what the last step led to\n  got: what the reset after it returned\n"
            "  fix: keep the observation of the last step before you reset (a vector environment: info['final_obs'])"
        )

    def test_a_final_observation_of_an_environment_that_shows_one_thing_only(self):
        class Bandit(Walk):
            def seen(self):
                return np.zeros(2, np.float32)

        assert failures(lambda: GymEnv(Bandit, 3)) == {}  # zeros after an end are no sign of a reset

    def test_a_beginning_that_is_not_marked(self):
        class Unmarked(Meddled):
            def step_and_maybe_reset(self, td):
                td, following = super().step_and_maybe_reset(td)
                return td, following.set("is_init", torch.zeros(3, 1, dtype=torch.bool))

        assert self.failing(Unmarked, "is_init") == (
            "'Walk' is wrong about 'is_init'.\n  where: step 5, env 0 of 3\n  expected: True: an episode begins\n"
            "  got: False\n  fix: is_init is what ('next', 'done') was one step before, and True after a reset"
        )

    def test_a_root_that_is_done(self):
        class Over(Meddled):
            def step_and_maybe_reset(self, td):
                td, following = super().step_and_maybe_reset(td)
                return td, following.set("done", following["is_init"])

        assert "goes on in an episode that is over.\n  where: step 5, env 0 of 3" in self.failing(Over, "is_init")

    @pytest.mark.parametrize(
        ("change", "got"),
        [
            (lambda e: [s._replace(return_=s.return_ + 1) for s in e], "5 steps, return "),
            (lambda e: [s._replace(length=s.length + 1) for s in e], "6 steps, return "),
            (lambda e: e[:1], "none"),
            (lambda e: e or [EpisodeStats(0, 0.0, 1)], "1 steps, return 0"),
        ],
    )
    def test_statistics_that_are_none(self, change, got):
        class Counted(Meddled):
            def meddle(self, taken):
                return taken._replace(episodes=change(taken.episodes))

        found = failures(Counted)
        assert set(found) == {"episodes", "resets"}
        assert found["episodes"].startswith(
            "'Walk' is wrong about an episode: its statistics are not those of its rewards."
        )
        assert f"\n  got: {got}" in found["episodes"]

    def test_what_breaks_after_many_episodes(self):
        class Worn(Meddled):
            def meddle(self, taken):
                return taken._replace(episodes=[]) if self.began > 20 else taken

        assert "is wrong about an episode" in self.failing(Worn, "resets")

    def test_the_same_in_all_environments(self):
        class Alike(native.CartPole):
            @staticmethod
            def start(uniform):
                return native.CartPole.start(uniform[:, :1].expand_as(uniform))

        assert self.failing(lambda: Alike(3, time_limit=5), "streams") == (
            "'CartPole-v1' draws the same in two environments.\n  where: all steps, env 0 and env 1 of 3\n"
            "  expected: other random numbers in each: seeds differ\n"
            "  got: the same observations and rewards from the same actions\n"
            "  fix: seed nothing in __init__ or in step; reset(seed=seed) brings each environment's own seed"
        )

    def test_arrays_that_are_used_again(self):
        class Reused(Meddled):
            def meddle(self, taken):
                if not hasattr(self, "reward"):
                    self.reward = taken.reward
                self.reward[...] = taken.reward
                return taken._replace(reward=self.reward)

        text = self.failing(Reused, "aliasing")
        assert text.startswith(
            "'Walk' writes into ('next', 'reward') of a step that is over.\n  where: step 0, env 0 of 3\n"
        )
        assert ", 39 steps later\n  fix: return copies: array.copy(), tensor.clone()" in text

    def test_an_action_that_is_written_into(self):
        class Greedy(Meddled):
            def advance(self, action):
                taken = super().advance(action)
                if isinstance(action, torch.Tensor):
                    action.zero_()
                return taken

        assert "writes into the action of a step that is over" in self.failing(Greedy, "aliasing")

    def test_closing_twice(self):
        class Once(Meddled):
            closed = False

            def close(self):
                super().close()
                if self.closed:
                    raise RuntimeError("what again?")
                self.closed = True

        assert self.failing(Once, "close") == (
            "'Walk' cannot be closed twice.\n  where: the second close()\n  expected: that it does nothing\n"
            "  got: RuntimeError: what again?\n  fix: return from close() where it is closed already"
        )

    def test_going_on_after_the_end(self):
        class Undead(Meddled):
            def close(self):
                pass

        assert "'Walk' begins an episode after it was closed.\n" in self.failing(Undead, "close")


class Toggle(gymnasium.Env):
    """Allows one of three actions, drawn anew with each step; takes all; five steps to an episode."""

    observation_space = spaces.Dict({"action_mask": spaces.MultiBinary(3), "t": spaces.Box(0, 5, (1,))})
    action_space = spaces.Discrete(3)
    allowed = True

    def seen(self):
        mask = np.eye(3, dtype=np.int8)[self.np_random.integers(3)]
        return {"action_mask": mask if self.allowed or self.t != 2 else 0 * mask, "t": np.array([self.t], np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), {}

    def step(self, action):
        self.t += 1
        return self.seen(), 1.0, self.t == 5, False, {}


class TestMasks:
    def test_right(self):
        assert failures(lambda: GymEnv(Toggle, 3)) == {}

    def test_random_actions_that_are_forbidden(self):
        class Heedless(GymEnv):
            def random_action(self):
                return self.action_spec.rand(3, generator=torch.Generator().manual_seed(0))

        found = failures(lambda: Heedless(Toggle, 3))
        assert list(found) == ["masks"]
        assert found["masks"].startswith("'Toggle' draws a random action that its mask forbids.\n  where: step 0, env ")
        assert "\n  expected: one of [" in found["masks"]

    def test_nothing_allowed(self):
        class Stuck(Toggle):
            allowed = False

        class Heedless(GymEnv):
            def random_action(self):
                return self.action_spec.zero(3)

        assert failures(lambda: Heedless(Stuck, 3))["masks"] == (
            "'Stuck' asks for an action and allows none.\n  where: step 2, env 0 of 3\n"
            "  expected: at least one True in 'action_mask'\n  got: [False, False, False]\n"
            "  fix: allow an action that does nothing, or end the episode before"
        )
        with pytest.raises(EnvError, match="'action_mask' of env 0 allows none"):
            check_env(Stuck, steps=10)


def test_checks_can_be_exempted_with_a_reason():
    class Narrow(Walk):
        def step(self, action):
            if abs(action[0]) == 1:
                raise ValueError("too far")
            return super().step(action)

    with pytest.raises(AssertionError, match="does not take an action"):
        check_env(Narrow, steps=10)
    check_env(Narrow, steps=10, exempt={"actions": "the bounds are open"})
    with pytest.raises(UsageError, match=r"(?s)exempt names 'action', which is no check.*did you mean 'actions'"):
        check_env(Narrow, exempt={"action": "the bounds are open"})


def test_what_does_not_apply_is_skipped_with_a_reason():
    class Subject(EnvConformance):
        steps = 3

        def make(self):
            return GymEnv(Walk)

    for name, reason in (
        ("masks", "there is no mask of actions"),
        ("streams", "there is one environment only"),
        ("final", "no episode ended within 3 steps: set more steps"),
        ("episodes", "no episode ended within 3 steps: set more steps"),
    ):
        with pytest.raises(unittest.SkipTest, match=reason):
            getattr(Subject(), f"test_{name}")()


def test_the_generators_of_everyone_are_given_back():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    check_env(Walk, steps=10)
    after = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    assert after == (random.random(), np.random.rand(), torch.rand(1).item())
