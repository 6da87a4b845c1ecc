"""Environments that raise, lie or do not close: which, when, with which seed, and why."""

import numpy as np
import pytest

from keywork._errors import EnvError
from keywork.envs import GymEnv

ZEROS = np.zeros(3, np.int64)


def run(faulty, steps=2, seed=4, **plan):
    with GymEnv(faulty, 3, env_kwargs=plan, seed=seed) as env:
        env.begin()
        for _ in range(steps):
            env.advance(ZEROS)


def test_an_exception_says_which_environment_when_and_with_which_seed(faulty, tmp_path):
    own = int(np.random.SeedSequence(4, spawn_key=(0, 0)).generate_state(1)[0]) >> 1
    with pytest.raises(EnvError) as caught:
        run(faulty, plan="raise", claim=str(tmp_path / "claim"))
    assert str(caught.value) == (
        "'Faulty' cannot be stepped: env 0 of 3 raised ValueError: the simulator is on fire\n"
        f"   at step 2 of its episode, after 1 steps with seed 4 (its own: {own})\n"
        "   The environment's own traceback is the cause of this error."
    )
    assert isinstance(caught.value.__cause__, ValueError)


def test_later_episodes_count_their_own_steps(counting):
    class Late(counting):
        def step(self, action):
            if self.episode == 1 and self.t == 2:
                raise ValueError("now")
            return super().step(action)

    with GymEnv(Late, 2, seed=0) as env, pytest.raises(EnvError, match="at step 3 of its episode, after 6 steps with"):
        env.rollout(9, lambda td: td.set("action", td["observation"][:, 0].long() * 0))


@pytest.mark.parametrize(
    ("plan", "text", "kind"),
    [
        ("raise in init", "cannot be made: env 0 of 3 raised LookupError: no simulator here", LookupError),
        (
            "raise in reset",
            "cannot be reset: env 0 of 3 raised ArithmeticError: cannot place the robot",
            ArithmeticError,
        ),
        ("raise in close", "cannot be closed: env 0 of 3 raised OSError: the port is still open", OSError),
    ],
)
def test_exceptions_everywhere_else(faulty, plan, text, kind):
    with pytest.raises(EnvError) as caught:
        run(faulty, plan=plan)
    assert str(caught.value).startswith(f"'Faulty' {text}")
    assert isinstance(caught.value.__cause__, kind)


def test_a_fault_in_the_reset_after_an_episode(counting):
    class Stuck(counting):
        def reset(self, *, seed=None, options=None):
            if self.episode == 0:
                raise RuntimeError("the door is shut")
            return super().reset(seed=seed)

    with GymEnv(Stuck, 2, seed=0) as env:
        env.begin()
        with pytest.raises(EnvError, match=r"cannot be reset: env 1 of 2 raised RuntimeError: the door is shut"):
            env.advance(np.array([0, 1]))


def test_it_goes_on_with_new_episodes_after_a_fault(faulty, tmp_path):
    with GymEnv(faulty, 2, env_kwargs={"claim": str(tmp_path / "claim")}) as env:
        env.begin()
        env.advance(ZEROS[:2])
        with pytest.raises(EnvError, match="on fire"):
            env.advance(ZEROS[:2])
        with pytest.raises(EnvError, match=r"it failed before. Call begin\(\) or reset\(\)"):
            env.advance(ZEROS[:2])
        env.begin()
        assert env.advance(ZEROS[:2]).observation["observation"].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("plan", "bad", "text"),
    [
        (
            "observation",
            np.array([np.nan, 0], np.float32),
            r"its observation space: 'observation' is not finite: \[nan, 0.0\]",
        ),
        ("observation", np.zeros(3, np.float32), r"'observation' has the shape \[3\]; its space says \[2\]"),
        ("observation", None, r"'observation' has the shape \[\]"),
        ("reward", float("nan"), "its reward is not finite: nan"),
        ("reward", -np.inf, "its reward is not finite: -inf"),
        ("reward", 1e39, "its reward is not finite: 1e[+]39"),  # not in float32
        ("reward", None, "its reward is not one number: None"),
        ("reward", np.zeros(1), r"its reward is not one number: array\(\[0.\]\)"),
        ("reward", "1", "its reward is not one number: '1'"),
        ("reward", [1.0, 2.0], r"its reward is not one number: \[1.0, 2.0\]"),
        ("terminated", None, "'terminated' is not a bool: None"),
        ("terminated", 1, "'terminated' is not a bool: 1"),
        ("result", (1, 2, 3, 4), r"it returned \(1, 2, 3, 4\)"),
        ("result", None, "it returned None"),
    ],
)
def test_a_lie_is_refused_at_the_step_where_it_is_told(faulty, plan, bad, text):
    class Lying(faulty):
        pass

    Lying.bad = bad
    with pytest.raises(
        EnvError, match=rf"(?s)'Lying' cannot be stepped: env 0 of 3 .*{text}.*at step 2 of its episode"
    ):
        run(Lying, plan=plan)


@pytest.mark.parametrize(
    ("place", "bad"),
    [(0, np.full(2, np.nan)), (0, np.zeros(3)), (1, np.nan), (1, None), (1, [1, 2]), (2, 0), (3, None), (4, "drop")],
)
def test_a_lie_of_the_last_is_not_put_on_the_first(counting, place, bad):
    class Third(counting):
        made = 0

        def __init__(self):
            super().__init__()
            type(self).made += 1
            self.number = self.made

        def step(self, action):
            result = super().step(action)
            if self.number < 3:
                return result
            return result[:4] if place == 4 else (*result[:place], bad, *result[place + 1 :])

    with (
        GymEnv(Third, 3) as env,
        pytest.raises(EnvError, match=r"env 2 of 3 broke (its observation space|the interface)"),
    ):
        env.rollout(1)


def test_all_are_closed_also_where_one_cannot_be(counting):
    class Counted(counting):
        closed = 0

        def close(self):
            type(self).closed += 1
            if self.closed == 1:
                raise OSError("busy")

    env = GymEnv(Counted, 3)
    with pytest.raises(EnvError, match="env 2 of 3 raised OSError: busy"):
        env.close()
    assert Counted.closed == 3
    env.close()


def test_all_are_closed_where_the_next_cannot_be_made(counting):
    class Few(counting):
        made = closed = 0

        def __init__(self):
            super().__init__()
            type(self).made += 1
            if self.made == 3:
                raise MemoryError("no more")

        def close(self):
            type(self).closed += 1

    with pytest.raises(EnvError, match="env 2 of 3 raised MemoryError: no more"):
        GymEnv(Few, 3)
    assert Few.closed == 2
