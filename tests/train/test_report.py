"""From a run's folder to its page."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from html import unescape

import pytest

from keywork.envs import GymEnv
from keywork.train import PPO, Evaluation, Outcome, PPOConfig, Run, RunSettings
from keywork.train._report import report_html
from keywork.train._settings import to_plain


@pytest.fixture
def flow():
    with GymEnv("CartPole-v1", num_envs=2) as env:
        return PPO(env).flow


def run_in(path, settings, config=PPOConfig()):  # noqa: B008 (frozen)
    run = Run.create(settings, "ppo", {"settings": to_plain(settings), "config": to_plain(config)})
    run.on_metrics({"step": 64, "time": 0.1, "episode/return_mean": 20.0})
    run.on_metrics({"step": 128, "time": 0.2, "episode/return_mean": 30.0})
    run.close()
    return run


def test_a_finished_run(tmp_path, flow):
    run = run_in(tmp_path, RunSettings(seed=7, runs=tmp_path, name="first"))
    html = report_html(run, Outcome(100_096, 185.0, interrupted=False), Evaluation((500.0, 490.0), (500, 490)), flow)
    for text in (
        "<title>PPO on CartPole-v1</title>",
        '<p class="run">first</p>',
        "495.0 <small>± 5.0</small>",
        "solved: the goal is 475",
        "<dd>100,096</dd>",
        "<dd>3 min 05 s</dd>",
        "<dd>541</dd>",  # 100096 / 185
        "keywork train ppo --env CartPole-v1 --seed 7</pre>",
        f"keywork eval {tmp_path}/first</pre>",
        "torch",
        "ClipPPOLoss",
        flow.svg(),
    ):
        assert text in html


def test_an_interrupted_run(tmp_path, flow):
    run = run_in(tmp_path, RunSettings(env="Pendulum-v1", runs=tmp_path, name="second"))
    html = report_html(run, Outcome(128, 0.0, interrupted=True), None, flow)
    assert "interrupted</span>" in html
    assert '<span class="figure">30.0' in html
    assert "<dd>0.0 s</dd>" in html
    assert "the goal is" not in html  # Pendulum-v1 names none


def command_of(page):
    (command,) = re.findall(r"(keywork train .*)</pre>", page)
    return unescape(command)


def test_the_command_repeats_what_differs_from_the_defaults(tmp_path, flow):
    config = PPOConfig(num_cells=(32, 16), anneal=False, gamma=0.9)
    run = run_in(tmp_path, RunSettings(env="My Env-v0", num_envs=4, runs=tmp_path, name="third"), config)
    page = report_html(run, Outcome(128, 8000.0, interrupted=False), None, flow)
    assert command_of(page) == (
        "keywork train ppo --env 'My Env-v0' --num-envs 4 --seed 0 --num-cells 32 16 --no-anneal --gamma 0.9"
    )
    assert "<dd>2 h 13 min</dd>" in page


def test_every_option_of_the_command_is_a_field(tmp_path, flow):
    changed = {"num_steps": 8, "learning_rate": 0.5, "clip_epsilon": 0.1, "normalize_advantage": False}
    run = run_in(tmp_path, RunSettings(total_steps=500, threads=2, runs=tmp_path, name="fourth"), PPOConfig(**changed))
    words = shlex.split(command_of(report_html(run, Outcome(128, 1.0, interrupted=False), None, flow)))
    options = [word.removeprefix("--").removeprefix("no-").replace("-", "_") for word in words if word[:2] == "--"]
    assert options == ["env", "total_steps", "seed", "threads", *changed]
    assert set(options) <= {field.name for kind in (RunSettings, PPOConfig) for field in fields(kind)}
