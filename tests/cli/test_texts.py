from __future__ import annotations

import io

import pytest
from rich.console import Console

from keywork.cli._texts import evaluation_rows, show_end, show_start
from keywork.envs import GymEnv
from keywork.train import PPO, Evaluation, Outcome, PPOConfig, Run, RunSettings


@pytest.fixture
def run(tmp_path):
    made = Run.create(RunSettings(name="two words", runs=tmp_path), "ppo", {})
    made.close()
    return made


def console(terminal=False):
    return Console(file=io.StringIO(), width=80, force_terminal=terminal, no_color=True, markup=False)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_start_shows_the_pipeline_and_where_the_results_go(run, terminal):
    made = console(terminal)
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
        flow = PPO(env, PPOConfig(num_cells=(4,))).flow
    show_start(made, flow, RunSettings(num_envs=2, seed=3), run)
    text = made.file.getvalue()
    for entry in flow.entries:
        assert (entry.key if isinstance(entry.key, str) else ".".join(entry.key)) in text
    for word in ("written by", "read by", "ClipPPOLoss", "2 x CartPole-v1, seed 3", f"{run.path}/\n"):
        assert word in text
    if not terminal:
        assert flow.table() in text
        assert text.isascii()


def test_the_end_says_all_and_how_to_see_it_again(run):
    made = console()
    show_end(made, Outcome(10_000, 4.0, False), Evaluation((490.0, 470.0), (490, 470)), run, RunSettings())
    assert made.file.getvalue().splitlines() == [
        "return       480 +/- 10 over 2 episodes, from 470 to 490",
        "solved       yes: CartPole-v1 asks for 475",
        "training     10,000 steps in 4 s: 2,500 steps/s",
        f"report       {run.path}/report.html",
        f"play again   keywork eval '{run.path}'",
    ]


def test_the_end_without_an_evaluation(run):
    made = console()
    show_end(made, Outcome(0, 0.0, True), None, run, RunSettings())
    assert made.file.getvalue().splitlines()[0] == "training     0 steps in 0 s: 0 steps/s"


def test_solved_or_not():
    assert evaluation_rows(Evaluation((474.9,), (1,)), "CartPole-v1")[1:] == [
        ("solved", "no: CartPole-v1 asks for 475")
    ]
    assert evaluation_rows(Evaluation((475.0,), (1,)), "CartPole-v1")[1:] == [
        ("solved", "yes: CartPole-v1 asks for 475")
    ]
    assert evaluation_rows(Evaluation((-200.0,), (1,)), "Pendulum-v1")[1:] == []


def test_returns_have_as_many_digits_as_they_need():
    (label, text), *_ = evaluation_rows(Evaluation((0.0, 1 / 3), (1, 1)), "Pendulum-v1")
    assert (label, text) == ("return", "0.166667 +/- 0.166667 over 2 episodes, from 0 to 0.333333")
