from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pytest

from keywork._errors import UsageError
from keywork.cli._asked import options_of
from keywork.cli._eval import EvalOptions
from keywork.cli._options import option_names, parse
from keywork.train import PPOConfig, RunSettings

PPO = options_of("ppo")

# Frozen: scripts and published commands rely on every one of these names and defaults.
TRAIN_PPO = {
    "run": {
        "env": "CartPole-v1",
        "total-steps": 100_000,
        "num-envs": 8,
        "workers": "sync",
        "seed": 0,
        "eval-episodes": 100,
        "name": "",
        "runs": Path("runs"),
        "threads": 1,
        "device": "cpu",
        "compile": False,
    },
    "ppo": {
        "policy": "mlp",
        "share-trunk": False,
        "num-cells": (64, 64),
        "activation": "tanh",
        "normalize": False,
        "num-steps": 32,
        "num-epochs": 20,
        "minibatch-size": 256,
        "learning-rate": 1e-3,
        "anneal": True,
        "anneal-clip": True,
        "gamma": 0.99,
        "gae-lambda": 0.9,
        "clip-epsilon": 0.2,
        "entropy-coeff": 0.0,
        "critic-coeff": 0.5,
        "max-grad-norm": 0.5,
        "normalize-advantage": True,
        "clip-value": 0.0,
        "target-kl": 0.0,
        "scale-rewards": False,
    },
}


def parsed(kind, words):
    return parse(kind, words.split(), "keywork x", "What it does.")


def refusal(kind, words):
    with pytest.raises(UsageError) as raised:
        parsed(kind, words)
    return str(raised.value)


class TestFrozen:
    def test_every_option_of_train_ppo_and_its_default(self):
        options = parsed(PPO, "")
        assert options == PPO(RunSettings(), PPOConfig())
        for group, frozen in TRAIN_PPO.items():
            config = getattr(options, group)
            assert {f.name.replace("_", "-"): getattr(config, f.name) for f in fields(config)} == frozen
        usual = {name: value for frozen in TRAIN_PPO.values() for name, value in frozen.items()} | {"preset": False}
        flags, switches = list(usual), [name for name, value in usual.items() if isinstance(value, bool)]
        negated = [f"no-{name}" for name in switches]
        assert list(option_names(PPO)) == sorted(
            [*flags, *negated], key=lambda name: flags.index(name.removeprefix("no-"))
        )

    def test_every_option_of_eval_and_its_default(self):
        assert parsed(EvalOptions, "runs/a") == EvalOptions(Path("runs/a"), None, None)
        assert list(option_names(EvalOptions)) == ["run", "episodes", "seed"]


class TestHelp:
    @pytest.mark.parametrize("width", [80, 200])
    def test_has_groups_defaults_and_a_line_for_each_option(self, capsys, monkeypatch, width):
        monkeypatch.setenv("COLUMNS", str(width))
        assert parsed(PPO, "--help") is None
        out, err = capsys.readouterr()
        assert err == ""
        text = " ".join(re.sub(r"[│─╭╮╰╯]", " ", out).split())
        assert "usage: keywork x" in text
        assert text.index("run options") < text.index("--env") < text.index("ppo options") < text.index("--gamma")
        for frozen in TRAIN_PPO.values():
            for name, default in frozen.items():
                shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
                pattern = rf"--{name}[ ,][^(]*\(default: {re.escape(str(shown) or repr(''))}\)"
                found = re.search(pattern, text)
                assert found, name
                assert len(found.group().split()) >= 5, f"--{name} is not explained"
        assert max(map(len, out.splitlines())) <= width

    def test_of_eval(self, capsys):
        assert parsed(EvalOptions, "-h") is None
        out = capsys.readouterr().out
        assert "PATH" in out
        assert "--episodes INT" in out
        assert "--seed INT" in out


class TestValues:
    def test_are_taken(self):
        words = "--env A-v0 --total-steps 1e5 --num-envs=2 --workers process --runs /a/b --gamma .5 --no-anneal"
        options = parsed(PPO, f"{words} --num-cells 1 2 3 --learning_rate 3e-4 --seed 1_000 --seed 7")
        assert options.run == RunSettings("A-v0", 100_000, 2, "process", seed=7, runs=Path("/a/b"))
        assert options.ppo == PPOConfig(gamma=0.5, anneal=False, num_cells=(1, 2, 3), learning_rate=3e-4)
        assert parsed(PPO, "--num-cells").ppo.num_cells == ()

    def test_of_eval_are_taken(self):
        assert parsed(EvalOptions, "--seed 3 runs/a --episodes 1e1") == EvalOptions(Path("runs/a"), 10, 3)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--total-steps x", "--total-steps: 'x' is no whole number such as 100000."),
            ("--total-steps 1.5", "--total-steps: '1.5' is no whole number such as 100000."),
            ("--total-steps inf", "--total-steps: 'inf' is no whole number such as 100000."),
            ("--gamma x", "--gamma: 'x' is no number such as 0.5."),
            ("--gamma nan", "--gamma: 'nan' is no number such as 0.5."),
            ("--learning-rate inf", "--learning-rate: 'inf' is no number such as 0.5."),
            ("--env", "Missing value for argument '--env'. Expected 1 values."),
            ("--env --seed 3", "Missing value for argument '--env'. Expected 1 values."),
            (
                "--workers foo",
                "invalid choice 'foo' for argument '--workers'. Expected one of ('sync', 'process', 'vector').",
            ),
        ],
    )
    @pytest.mark.parametrize("width", ["80", "300"])
    def test_that_cannot_be_are_refused_in_one_line(self, words, message, width, monkeypatch):
        monkeypatch.setenv("COLUMNS", width)
        assert refusal(PPO, words) == f"{message} 'keywork x --help' says more."

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--num-envs 0", "num_envs is 0: it has to be 1 or more, such as --num-envs 8."),
            ("--seed -1", "seed is -1: it has to be 0 or more, such as --seed 0."),
        ],
    )
    def test_that_a_dataclass_refuses_are_refused_in_its_words(self, words, message):
        assert refusal(PPO, words) == message

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("a --episodes 0", "episodes is 0: it has to be 1 or more, such as --episodes 100."),
            ("a --seed -1", "seed is -1: it has to be 0 or more, such as --seed 0."),
            ("a --seed x", "--seed: 'x' is no whole number such as 100000. 'keywork x --help' says more."),
            ("a b", "'b' belongs to no option. 'keywork x --help' lists all options."),
        ],
    )
    def test_of_eval_are_refused(self, words, message):
        assert refusal(EvalOptions, words) == message

    def test_a_missing_run_is_asked_for(self):
        assert refusal(EvalOptions, "").startswith("Missing from keywork x: PATH The folder of a run: runs/NAME.")


class TestUnknown:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--tottal-steps 5", "There is no option --tottal-steps. Did you mean --total-steps?"),
            ("--total_step=5", "There is no option --total_step. Did you mean --total-steps?"),
            ("--total 5", "There is no option --total. Did you mean --total-steps?"),
            ("--no-aneal", "There is no option --no-aneal. Did you mean --no-anneal?"),
            ("--run.seed 3", "There is no option --run.seed. Did you mean --seed?"),
            ("--xyz", "There is no option --xyz."),
            ("CartPole-v1", "'CartPole-v1' belongs to no option."),
            ("--anneal yes", "'yes' belongs to no option."),
        ],
    )
    def test_options_are_refused_with_what_was_meant(self, words, message):
        assert refusal(PPO, words) == f"{message} 'keywork x --help' lists all options."


def test_any_dataclass_becomes_options():
    @dataclass(frozen=True)
    class Options:
        kind: Literal["a", "b"] = "a"
        sizes: tuple[float, ...] = (1.0,)

    assert parse(Options, ["--sizes", "1e3", "2", "--kind", "b"], "x", "") == Options("b", (1000.0, 2.0))
