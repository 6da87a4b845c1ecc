from __future__ import annotations

from dataclasses import replace

import pytest

from keywork._errors import UsageError
from keywork.cli import main
from keywork.cli._asked import parse_algorithm
from keywork.cli._graph import GraphOptions
from keywork.train import PPOConfig, Run, RunSettings, preset_of


def asked(words, **more):
    return parse_algorithm("ppo", words.split(), "keywork x", "What it does.", **more)


class TestPreset:
    def test_without_it_defaults_are_those_of_the_dataclasses(self):
        options = asked("--env HalfCheetah-v5 --gamma 0.5")
        assert (options.run, options.ppo) == (RunSettings(env="HalfCheetah-v5"), PPOConfig(gamma=0.5))
        assert options.preset is False

    def test_takes_those_of_the_environment(self):
        options = asked("--env HalfCheetah-v5 --preset")
        assert (options.run, options.ppo) == preset_of("ppo", "HalfCheetah-v5")

    def test_what_is_typed_wins_also_where_it_says_what_is_usual(self):
        options = asked("--preset --env Acrobot-v1 --num-envs 8 --no-normalize --gamma 0.5 --num-steps 32")
        run, config = preset_of("ppo", "Acrobot-v1")
        # 8 environments and 32 steps are the dataclasses' defaults, and not the preset's.
        assert options.run == replace(run, num_envs=8)
        assert options.ppo == replace(config, normalize=False, gamma=0.5, num_steps=32)

    def test_shows_them_in_the_help(self, capsys):
        assert asked("--env HalfCheetah-v5 --preset --help") is None
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "Steps of each environment between two updates. (default: 2048)" in text
        assert asked("--help") is None
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "Steps of each environment between two updates. (default: 32)" in text

    def test_of_an_environment_without_one_is_refused(self):
        with pytest.raises(UsageError, match="There is no preset of ppo for the environment 'Nothing-v0'"):
            asked("--env Nothing-v0 --preset")

    def test_goes_with_a_commands_own_options(self):
        options = asked("--env Pendulum-v1 --preset -o flow.svg", graph=GraphOptions)
        assert options.graph == GraphOptions(out="flow.svg")
        assert options.run == preset_of("ppo", "Pendulum-v1")[0]

    def test_is_what_a_run_is_made_with(self, tmp_path, capsys):
        words = "--env Pendulum-v1 --preset --num-steps 16 --total-steps 64 --num-epochs 1 --eval-episodes 0 --name a"
        assert main(["train", "ppo", *words.split(), "--runs", str(tmp_path)]) == 0
        config = Run(tmp_path / "a").config()
        assert (config["settings"]["num_envs"], config["config"]["gamma"]) == (4, 0.9)
        # The report says what to type, without --preset, which another version may have other numbers for.
        assert "--gamma 0.9" in (tmp_path / "a" / "report.html").read_text()


@pytest.mark.parametrize("command", ["train", "check", "graph"])
def test_refusals_have_their_parts_on_lines_of_stderr(command, capsys):
    assert main([command, "ppo", "--preset", "--env", "CartPole-v2"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "keywork: There is no preset of ppo for the environment 'CartPole-v2'.\n  where: --preset\n  expected: "
    )
    assert err.endswith("\n  fix: did you mean 'CartPole-v1'? leave --preset out, and give the settings yourself\n")
    assert err.count("\n") == 5


def test_a_device_that_is_not_there_is_refused_before_anything_is_made(tmp_path, capsys):
    assert main(["train", "ppo", "--device", "cuda:99", "--runs", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(
        "keywork: Nothing can be computed on 'cuda:99': it is not here.\n  where: --device\n  expected: "
    )
    assert not (tmp_path / "runs").exists()
