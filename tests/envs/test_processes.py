"""Worker processes: the same data, and no fault that goes unnamed or takes for ever."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv

from keywork._errors import EnvError, UsageError
from keywork.envs import GymEnv, ProcessWorkers

ZEROS = np.zeros(4, np.int64)
LEFT_OVER = "the worker processes that are still there"


def workers():
    return [child for child in multiprocessing.active_children() if child.name.startswith("keywork-env-worker")]


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    deadline = time.monotonic() + 5
    while workers() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers() == [], LEFT_OVER


@pytest.mark.parametrize("count", [1, 2, 3])
def test_trajectories_do_not_depend_on_the_number_of_workers(count):
    with GymEnv("CartPole-v1", 3, seed=11) as env:
        wanted = env.rollout(40)
    with GymEnv("CartPole-v1", 3, workers=ProcessWorkers(count=count), seed=11) as env:
        assert len(workers()) == count
        batch = env.rollout(40)
    assert (batch == wanted).all()


def test_spawned_workers_do_the_same():
    with GymEnv("Pendulum-v1", 2, seed=5) as env:
        wanted = env.rollout(5)
    with GymEnv("Pendulum-v1", 2, workers=ProcessWorkers(count=1, start_method="spawn"), seed=5) as env:
        assert (env.rollout(5) == wanted).all()


def test_nested_observations_and_box_actions_travel_through_shared_memory(nested):
    with GymEnv(nested, 3, seed=1) as env:
        wanted = env.rollout(7)
    with GymEnv(nested, 3, workers=ProcessWorkers(count=2), seed=1) as env:
        batch = env.rollout(7)
    assert (batch == wanted).all()
    assert set(batch.keys(True, True)) == set(wanted.keys(True, True))


def test_an_environment_may_keep_its_action(nested):
    class Keeping(nested):
        def step(self, action):
            kept = getattr(self, "taken", np.zeros(2))
            result = super().step(action)
            return (result[0], float(kept[0]), *result[2:])

    actions = np.array([[0.25, 0], [0.5, 0], [0.75, 0]], np.float32)
    with GymEnv(Keeping, 1, workers="process") as env:
        env.begin()
        assert [env.advance(action[None]).reward.item() for action in actions] == [0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("kind", "how"),
    [(signal.SIGKILL, "signal SIGKILL"), (signal.SIGABRT, "signal SIGABRT"), (signal.SIGSEGV, "SIGSEGV")],
)
def test_a_killed_worker_is_named_at_once(counting, kind, how):
    with GymEnv(counting, 4, workers=ProcessWorkers(count=2), seed=9) as env:
        env.begin()
        env.advance(ZEROS)
        victim = next(worker for worker in workers() if worker.name.endswith("-1"))
        os.kill(victim.pid, kind)
        victim.join(5)
        start = time.monotonic()
        with pytest.raises(EnvError) as caught:
            env.advance(ZEROS)
        assert time.monotonic() - start < 2
    text = str(caught.value)
    assert text.startswith("'Counting' cannot be stepped: env 3 of 4 died with its worker process (pid ")
    assert how in text
    assert "at step 2 of its episode, after 1 steps with seed 9" in text
    assert "Traceback" not in text


def test_it_is_the_environment_that_was_running_which_is_named(faulty, tmp_path):
    # Environments 0 and 1 share the first worker. Only one of all may create the file, and dies of it; it is 0 or 2.
    plan = {"plan": "kill", "at": 3, "claim": str(tmp_path / "claim")}
    with GymEnv(faulty, 4, workers=ProcessWorkers(count=2), env_kwargs=plan) as env:
        env.begin()
        env.advance(ZEROS)
        env.advance(ZEROS)
        with pytest.raises(EnvError, match=r"env [02] of 4 died .*SIGKILL[\s\S]*memory runs out"):
            env.advance(ZEROS)


def test_a_worker_that_dies_while_it_starts(faulty):
    with pytest.raises(EnvError, match=r"'Faulty' cannot be made: env 1 of 3 died with its worker process \(.*SIGKILL"):
        GymEnv(faulty, 3, workers=ProcessWorkers(count=1), env_kwargs={"plan": "kill in init"})


def test_an_exit_code_is_told(faulty):
    with GymEnv(faulty, 1, workers="process", env_kwargs={"plan": "exit"}) as env:
        env.begin()
        env.advance(ZEROS[:1])
        with pytest.raises(EnvError, match=r"env 0 of 1 died .*exit code 3\)[\s\S]*workers='sync'"):
            env.advance(ZEROS[:1])


def test_a_frozen_worker_is_late_and_is_killed(counting):
    with GymEnv(counting, 4, workers=ProcessWorkers(count=2, step_timeout=0.5)) as env:
        env.begin()
        frozen = workers()
        os.kill(frozen[0].pid, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(
            EnvError, match=r"did not answer within 0.5 s, and .* was killed\n.*\n.*step_timeout=\.\.\."
        ):
            env.advance(ZEROS)
        assert 0.4 < time.monotonic() - start < 2.5
        assert not any(worker.is_alive() for worker in workers())
        with pytest.raises(EnvError, match=r"it failed before. Call begin\(\) or reset\(\)"):
            env.advance(ZEROS)
        with pytest.raises(EnvError, match=r"has lost its worker processes in an earlier fault[\s\S]*make a new one"):
            env.begin()


def test_a_hanging_environment_is_late(faulty):
    config = ProcessWorkers(count=1, step_timeout=0.5)
    with GymEnv(faulty, 2, workers=config, env_kwargs={"plan": "hang", "at": 1}) as env:
        env.begin()
        with pytest.raises(EnvError, match=r"env 0 of 2 did not answer within 0.5 s"):
            env.advance(ZEROS[:2])


def test_a_worker_that_is_frozen_while_closing_is_killed(counting):
    env = GymEnv(counting, 2, workers=ProcessWorkers(count=2, close_timeout=0.5))
    os.kill(workers()[0].pid, signal.SIGSTOP)
    with pytest.raises(EnvError, match=r"cannot be closed: env [01] of 2 did not answer within 0.5 s"):
        env.close()
    env.close()


def test_an_exception_comes_with_its_traceback_and_the_workers_stay(faulty, tmp_path):
    plan = {"plan": "raise", "claim": str(tmp_path / "claim")}
    with GymEnv(faulty, 4, workers=ProcessWorkers(count=2), env_kwargs=plan) as env:
        env.begin()
        env.advance(ZEROS)
        with pytest.raises(EnvError, match=r"env [02] of 4 raised ValueError: the simulator is on fire") as caught:
            env.advance(ZEROS)
        assert "in the worker process:\nTraceback" in str(caught.value.__cause__)
        assert 'raise ValueError("the simulator is on fire")' in str(caught.value.__cause__)
        env.begin()  # new episodes everywhere, in the same workers
        assert env.advance(ZEROS).observation["observation"][:, 1].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ("raise in reset", "cannot be reset: env 0 of 2 raised ArithmeticError: cannot place the robot"),
        ("raise in close", "cannot be closed: env 0 of 2 raised OSError: the port is still open"),
    ],
)
def test_exceptions_in_reset_and_close(faulty, plan, text):
    if plan == "raise in close":
        # The environment that is made to look at its spaces is closed as well, and so the fault shows at once.
        with pytest.raises(EnvError, match="'Faulty' cannot be closed: env 0 of 2 raised OSError"):
            GymEnv(faulty, 2, workers="process", env_kwargs={"plan": plan})
        return
    with GymEnv(faulty, 2, workers="process", env_kwargs={"plan": plan}) as env, pytest.raises(EnvError) as caught:
        env.begin()
    assert str(caught.value).startswith(f"'Faulty' {text}")


def test_twenty_rounds_leave_nothing_behind(counting):
    def held():
        ours = [name for name in os.listdir("/dev/shm") if f"-{os.getpid()}-" in name]
        with open("/proc/self/status") as status:
            threads = next(line for line in status if line.startswith("Threads"))
        return len(os.listdir("/proc/self/fd")), threads, threading.active_count(), ours

    def one_round():
        with GymEnv(counting, 2, workers=ProcessWorkers(count=2)) as env:
            env.begin()
            env.advance(ZEROS[:2])

    one_round()  # the fork server, which stays
    before = held()
    for _ in range(20):
        one_round()
    assert workers() == []
    assert held() == before


def test_what_nobody_closes_ends_with_the_object(counting):
    env = GymEnv(counting, 2, workers=ProcessWorkers(count=2))
    assert len(workers()) == 2
    del env


def test_workers_end_with_a_parent_that_is_killed_also_in_the_middle_of_a_step(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "import multiprocessing, os, signal, threading, time\n"
        "import gymnasium, numpy\n"
        "from keywork.envs import GymEnv\n"
        "class Hanging(gymnasium.Env):\n"
        "    observation_space = action_space = gymnasium.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        return 0, {}\n"
        "    def step(self, action):\n"
        "        time.sleep(3600)\n"
        "if __name__ == '__main__':\n"
        "    env = GymEnv(Hanging, workers='process')\n"
        "    env.begin()\n"
        "    print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        "    env.advance(numpy.zeros(1, int))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    pids = [int(word) for word in done.stdout.split()]
    assert pids, done.stderr
    deadline = time.monotonic() + 5
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def test_a_script_without_a_main_guard_is_told_what_is_missing(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "from keywork.envs import GymEnv, ProcessWorkers\n"
        "GymEnv('CartPole-v1', workers=ProcessWorkers(count=1, start_method='spawn'))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "'CartPole-v1' cannot be made: env 0 of 1 died with its worker process" in done.stderr
    assert "A script that starts workers needs `if __name__ == '__main__':`." in done.stderr


def test_a_dead_worker_of_a_given_async_vector_env(counting):
    vector = AsyncVectorEnv([counting] * 2, autoreset_mode="SameStep", context="forkserver")
    with GymEnv(vector) as env:
        env.begin()
        vector.processes[1].kill()
        vector.processes[1].join(5)
        with pytest.raises(EnvError, match=r"env 1 of 2 died with its worker process \(exit code -9\)"):
            env.advance(ZEROS[:2])


def test_a_frozen_worker_of_a_given_async_vector_env(counting):
    vector = AsyncVectorEnv([counting] * 2, autoreset_mode="SameStep", context="forkserver")
    with GymEnv(vector, workers=ProcessWorkers(step_timeout=0.5)) as env:
        env.begin()
        os.kill(vector.processes[0].pid, signal.SIGSTOP)
        with pytest.raises(EnvError, match=r"cannot be stepped: it raised TimeoutError: .* after 0.5 second"):
            env.advance(ZEROS[:2])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"count": 0}, "count=0; type 1 or more, or None"),
        ({"start_method": "fork"}, "by 'fork'; type 'forkserver' or 'spawn'"),
        ({"step_timeout": 0}, "step_timeout=0; type seconds above 0"),
        ({"reset_timeout": float("nan")}, "reset_timeout=nan; type seconds above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, text):
    with pytest.raises(UsageError, match=text):
        ProcessWorkers(**arguments)
