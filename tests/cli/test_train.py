from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keywork.cli import main
from keywork.train import Run

KEYWORK = str(Path(sys.executable).with_name("keywork"))
SMALL = ["--total-steps", "512", "--num-envs", "4", "--num-steps", "16", "--num-epochs", "2", "--eval-episodes", "10"]


def train(runs, *words):
    return main(["train", "ppo", *SMALL, "--runs", str(runs), *words])


def timeless(path):
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "time" and not k.startswith("speed/")} for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that a process of its own made, in a folder whose name is not ASCII, in a place where nothing else is."""
    runs = tmp_path_factory.mktemp("two wörds")
    env = {"PATH": "/nowhere", "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    command = [KEYWORK, "train", "ppo", *SMALL, "--runs", str(runs), "--name", "a"]
    done = subprocess.run(command, capture_output=True, env=env, cwd=runs, timeout=120)
    return done, runs / "a"


class TestLog:
    def test_a_process_says_what_it_does_in_plain_ascii(self, finished):
        done, path = finished
        assert (done.returncode, done.stderr) == (0, b"")
        out = done.stdout.decode("ascii")
        shown = str(path).replace("ö", "?")
        table, _, rest = out.partition("\n\n")
        assert table.startswith("key ")
        assert "next.reward" in table
        assert "\x1b" not in out
        lines = rest.splitlines()
        # Batches of 64 steps, faster than a line each 5 seconds: the first and the last of them.
        patterns = [
            "environment  4 x CartPole-v1, seed 0",
            "preset       none; --preset begins with settings that are known to work in CartPole-v1",
            re.escape(f"results      {shown}/"),
            "",
            r" 12 %   return [\d.]+   64 of 512 steps   [\d,]+ steps/s   \d+ s left",
            r"100 %   return [\d.]+   512 of 512 steps   [\d,]+ steps/s",
            "evaluating 10 episodes ...",
            r"return       [\d.]+ \+/- [\d.]+ over 10 episodes, from \d+ to \d+",
            "solved       (yes|no): CartPole-v1 asks for 475",
            r"training     512 steps in \d+ s: [\d,]+ steps/s",
            re.escape(f"report       {shown}/report.html"),
            re.escape(f"play again   keywork eval '{shown}'"),
        ]
        assert len(lines) == len(patterns), out
        for line, pattern in zip(lines, patterns, strict=True):
            assert re.fullmatch(pattern, line), (pattern, line)

    def test_its_folder_is_complete(self, finished):
        _, path = finished
        assert sorted(os.listdir(path)) == [
            *("config.json", "curves.svg", "evaluation.json", "flow.svg", "metrics.jsonl"),
            *("policy.safetensors", "report.html"),
        ]
        assert len(Run(path).rows()) == 9

    def test_the_same_seed_gives_the_same_numbers_in_another_process(self, finished, tmp_path, capsys):
        _, path = finished
        assert train(tmp_path, "--name", "same") == 0
        assert timeless(tmp_path / "same") == timeless(path)
        for name in ("evaluation.json", "policy.safetensors", "flow.svg"):
            assert (tmp_path / "same" / name).read_bytes() == (path / name).read_bytes()
        assert train(tmp_path, "--name", "other", "--seed", "1") == 0
        assert timeless(tmp_path / "other") != timeless(path)

    def test_eval_gives_the_numbers_of_the_run(self, finished, capsys):
        done, path = finished
        assert main(["eval", str(path)]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.splitlines() == done.stdout.decode().splitlines()[-5:-3]
        metrics = json.loads((path / "evaluation.json").read_text())["metrics"]
        assert out.startswith(
            f"return       {metrics['eval/return_mean']:.6g} +/- {metrics['eval/return_std']:.6g} over"
        )


class TestAsked:
    def test_results_go_where_they_should(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main(["train", "ppo", *SMALL, "--eval-episodes", "0"]) == 0
        (path,) = (tmp_path / "runs").iterdir()
        assert re.fullmatch(r"ppo-CartPole-v1-seed0-\d{8}-\d{6}", path.name)
        out = capsys.readouterr().out
        assert "evaluating" not in out
        assert f"play again   keywork eval runs/{path.name}\n" in out

    def test_options_reach_the_algorithm_and_the_run(self, tmp_path, capsys):
        assert (
            train(tmp_path, "--name", "a", "--env", "Pendulum-v1", "--num-cells", "5", "--gamma", "0.5", "--no-anneal")
            == 0
        )
        assert "solved" not in capsys.readouterr().out  # Pendulum has no goal
        config = Run(tmp_path / "a").config()
        assert (config["config"]["num_cells"], config["config"]["gamma"]) == ([5], 0.5)
        assert config["config"]["anneal"] is False
        assert config["settings"]["env"] == "Pendulum-v1"

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], True),
            (["--preset"], False),
            (["--env", "MountainCarContinuous-v0"], False),  # for which there is no preset of PPO
        ],
    )
    def test_a_preset_that_is_there_and_not_asked_for_is_named_in_one_line(self, words, said, tmp_path, capsys):
        assert train(tmp_path, "--name", "a", "--eval-episodes", "0", *words) == 0
        rows = [row for row in capsys.readouterr().out.splitlines() if row.startswith("preset ")]
        line = "preset       none; --preset begins with settings that are known to work in CartPole-v1"
        assert rows == ([line] if said else [])

    def test_a_name_that_is_no_utf8(self, tmp_path, capsys):
        runs = os.path.join(tmp_path, os.fsdecode(b"caf\xe9"))
        assert main(["train", "ppo", *SMALL, "--runs", runs, "--name", "a"]) == 0
        assert capsys.readouterr().err == ""
        assert main(["eval", os.path.join(runs, "a")]) == 0
