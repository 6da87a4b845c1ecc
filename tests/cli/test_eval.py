from __future__ import annotations

import json
import os

import pytest

from keywork.cli import main
from keywork.train import PPOConfig, Run, RunSettings, run_experiment


@pytest.fixture
def run(tmp_path):
    settings = RunSettings(total_steps=64, num_envs=4, eval_episodes=4, name="a", runs=tmp_path)
    return run_experiment("ppo", settings, PPOConfig(num_steps=16, num_epochs=1, num_cells=(4,)))


def output(capsys, *words):
    assert main(["eval", *map(str, words)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refusal(capsys, *words):
    assert main(["eval", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.removeprefix("keywork: ").strip()


def test_plays_what_it_is_asked_to(run, capsys):
    usual = output(capsys, run.path)
    assert " over 4 episodes, from " in usual
    assert output(capsys, run.path) == usual
    assert output(capsys, run.path, "--seed", 0) == usual
    assert output(capsys, run.path, "--seed", 1) != usual
    assert " over 7 episodes, from " in output(capsys, "--episodes", 7, run.path)


def test_needs_only_the_configuration_and_the_weights(run, capsys):
    usual = output(capsys, run.path)
    for name in ("metrics.jsonl", "evaluation.json", "flow.svg", "curves.svg", "report.html"):
        os.unlink(run.path / name)
    assert output(capsys, run.path) == usual


def test_a_run_without_an_evaluation_is_played_a_hundred_times(run, capsys):
    config = run.config()
    config["settings"]["eval_episodes"] = 0
    run.write("config.json", config)
    assert " over 100 episodes, from " in output(capsys, run.path)


def test_writes_nothing(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    output(capsys, run.path)
    assert {path: path.stat().st_mtime_ns for path in run.path.iterdir()} == before


class TestDamaged:
    def test_a_missing_file_is_named(self, run, capsys):
        os.unlink(run.path / "policy.safetensors")
        assert refusal(capsys, run.path) == (
            f"{run.path}/policy.safetensors cannot be read: No such file or directory. "
            "Name the folder of a finished run: runs/<name>."
        )

    @pytest.mark.parametrize("name", ["config.json", "policy.safetensors"])
    def test_every_cut_is_noticed(self, run, capsys, name):
        whole = (run.path / name).read_bytes()
        for size in (0, 1, 8, 9, len(whole) // 2, len(whole) - 2):
            (run.path / name).write_bytes(whole[:size])
            assert f"{name} cannot be read: it is damaged (" in refusal(capsys, run.path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": 99}, "has the format 99, and this version of keywork reads 1"),
            ({"algorithm": "x"}, "names the algorithm 'x'; there are a2c, "),
            ({"algorithm": None}, "names the algorithm None; there are a2c, "),
            ({"settings": None}, "by hand: it differs in NoneType."),
            ({"config": {"gamma": 0.9}}, "by another version, or by hand: it differs in activation, anneal, "),
        ],
    )
    def test_what_is_not_ours_is_refused(self, run, capsys, change, message):
        run.write("config.json", {**run.config(), **change})
        assert message in refusal(capsys, run.path)

    def test_weights_of_another_run_are_refused(self, run, capsys, tmp_path):
        settings = RunSettings(total_steps=64, num_envs=4, eval_episodes=0, name="b", runs=tmp_path)
        other = run_experiment("ppo", settings, PPOConfig(num_steps=16, num_epochs=1, num_cells=(5,)))
        run.save_policy(other.policy())
        assert "policy.safetensors does not hold the weights of the policy in " in refusal(capsys, run.path)

    def test_json_with_everything_in_it(self, run, capsys):
        (run.path / "config.json").write_text(json.dumps({"format": 1, "algorithm": [1]}))
        assert "names the algorithm [1]" in refusal(capsys, Run(run.path).path)
