from __future__ import annotations

import subprocess
import sys

import pytest

import keywork
from keywork.cli import main
from keywork.cli._main import ALGORITHMS
from keywork.train import RECIPES


def refused(capsys, *words, code=2):
    """The one line that a command is refused with."""
    assert main(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keywork: ")
    assert err.count("\n") == 1
    return err.removeprefix("keywork: ").strip()


class TestAnswersAtOnce:
    @pytest.mark.parametrize("words", [["--version"], ["-V"]])
    def test_the_version(self, capsys, words):
        assert main(words) == 0
        assert capsys.readouterr() == (f"keywork {keywork.__version__}\n", "")

    @pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
    def test_help(self, capsys, words):
        assert main(words) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.startswith("usage: keywork COMMAND ...\n")
        for word in (
            *("train ALGORITHM", "eval RUN", "graph PIPELINE", "check PIPELINE", "--version"),
            *("keywork train ppo --env CartPole-v1", "keywork graph ppo --env Pendulum-v1 -o flow.html"),
        ):
            assert word in out
        assert max(map(len, out.splitlines())) <= 80

    @pytest.mark.parametrize("words", [["train"], ["train", "--help"], ["train", "-h"]])
    def test_the_algorithms(self, capsys, words):
        assert main(words) == 0
        assert "\n  ppo       proximal policy optimisation, " in capsys.readouterr().out

    @pytest.mark.parametrize("command", ["graph", "check"])
    @pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
    def test_what_can_be_drawn_and_checked(self, capsys, command, words):
        assert main([command, *words]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"usage: keywork {command} PIPELINE [OPTIONS]\n")
        for word in (
            "\n  FILE.py:FUNCTION ",
            "the function is build",
            "\n  ppo   ",
            "--format",
            f"keywork {command} my_file",
        ):
            assert word in out
        assert max(map(len, out.splitlines())) <= 80

    def test_knows_every_algorithm(self):
        assert set(ALGORITHMS) == set(RECIPES)

    def test_without_torch(self):
        # Which takes seconds to import.
        code = (
            "import sys; from keywork.cli import main\n"
            "codes = [main([]), main(['--version']), main(['train', '--help']), main(['trian'])]\n"
            "codes += [main(['graph', '-h']), main(['check']), main(['check', 'pop'])]\n"
            "assert codes == [0, 0, 0, 2, 0, 0, 2], codes\n"
            "assert not {'torch', 'numpy', 'rich', 'tyro', 'gymnasium'} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr.count("\n")) == (0, 2), done.stderr

    @pytest.mark.parametrize("start", [["-m", "keywork"], ["-m", "keywork.cli"]])
    def test_as_a_module(self, start):
        done = subprocess.run([sys.executable, *start, "--version"], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, f"keywork {keywork.__version__}\n")


class TestRefuses:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["trian"], "There is no command 'trian'. Did you mean 'train'? 'keywork --help' lists all."),
            (["--versoin"], "There is no command '--versoin'. 'keywork --help' lists all."),
            ([""], "There is no command ''. 'keywork --help' lists all."),
            (["train", "pop"], "There is no algorithm 'pop'. Did you mean 'ppo'? 'keywork train --help' lists all."),
            (["train", "x"], "There is no algorithm 'x'. 'keywork train --help' lists all."),
            (
                ["train", "--env", "CartPole-v1"],
                "The algorithm comes before the options: keywork train ppo --env CartPole-v1.",
            ),
            (
                ["graph", "-o", "flow.svg", "ppo"],
                "The pipeline comes before the options: keywork graph my_file.py:build -o flow.html.",
            ),
            (
                ["check", "--format", "github"],
                "The pipeline comes before the options: keywork check my_file.py:build --format github.",
            ),
            (["train", "my_file.py"], "There is no algorithm 'my_file.py'. 'keywork train --help' lists all."),
            (
                ["check", "pop"],
                "There is no algorithm 'pop'. Did you mean 'ppo'? "
                "For a function of your own, type keywork check FILE.py:FUNCTION. 'keywork check --help' lists all.",
            ),
        ],
    )
    def test_an_unknown_command(self, capsys, words, message):
        assert refused(capsys, *words) == message

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("--num-envs 0", "num_envs is 0: it has to be 1 or more, such as --num-envs 8."),
            ("--total-steps -5", "total_steps is -5: it has to be 1 or more, such as --total-steps 100000."),
            ("--gamma 2", "gamma is 2.0: it has to be in [0, 1], such as --gamma 0.95."),
            ("--minibatch-size 0", "minibatch_size is 0: it has to be above 0, such as --minibatch-size 256."),
            ("--env CartPol-v1", "There is no Gymnasium environment 'CartPol-v1'. Did you mean 'CartPole-v1'?"),
            (
                "--env no_such_module:X-v0",
                "There is no environment 'no_such_module:X-v0': No module named 'no_such_module'.",
            ),
            ("--name a/b", "--name 'a/b' is no name of a folder: use letters, digits, '-' and '_'."),
        ],
    )
    def test_what_cannot_be_trained(self, capsys, tmp_path, words, message):
        assert refused(capsys, "train", "ppo", "--runs", str(tmp_path), *words.split()) == message
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("env", "package", "extra"),
        [
            ("HalfCheetah-v5", "mujoco", "mujoco"),
            ("LunarLander-v3", "Box2D", "box2d"),
            ("ALE/Pong-v5", "ale_py", "atari"),
        ],
    )
    def test_an_environment_whose_extra_is_missing(self, capsys, env, package, extra, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
        message = refused(capsys, "train", "ppo", "--env", env, "--runs", str(tmp_path))
        assert message == (
            f"the environment {env!r} needs the package {package!r}, which is not installed: "
            f"pip install 'keywork[{extra}]'"
        )

    def test_a_folder_that_cannot_be_written(self, capsys, tmp_path):
        (tmp_path / "file").touch()
        message = refused(capsys, "train", "ppo", "--runs", str(tmp_path / "file"), "--name", "a")
        assert message.endswith(
            "cannot be made: Not a directory. Give another --name, or name another place: --runs DIR."
        )

    def test_a_name_that_is_taken(self, capsys, tmp_path):
        (tmp_path / "a").mkdir()
        message = refused(capsys, "train", "ppo", "--runs", str(tmp_path), "--name", "a")
        assert message == f"There is a run {str(tmp_path / 'a')!r} already. None is overwritten: give another --name."

    def test_a_run_that_is_none(self, capsys, tmp_path):
        message = refused(capsys, "eval", str(tmp_path / "none"))
        assert message.endswith("Name the folder of a run: keywork eval runs/<name>.")
        message = refused(capsys, "eval", str(tmp_path))
        assert message.endswith(
            "config.json cannot be read: No such file or directory. Name the folder of a finished run: runs/<name>."
        )

    def test_an_environment_that_fails_is_no_fault_of_the_words(self, capsys, tmp_path, monkeypatch):
        (tmp_path / "brittle.py").write_text(
            "import gymnasium\n"
            "from gymnasium.envs.classic_control import CartPoleEnv\n"
            "class Brittle(CartPoleEnv):\n"
            "    def step(self, action):\n"
            "        raise ValueError('the pole\\nbroke')\n"
            "gymnasium.register('Brittle-v0', Brittle)\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        words = ["train", "ppo", "--env", "brittle:Brittle-v0", "--runs", str(tmp_path / "runs"), "--name", "a"]
        assert main(words) == 1
        err = capsys.readouterr().err
        assert err.startswith(
            "keywork: 'brittle:Brittle-v0' cannot be stepped: env 0 of 8 raised ValueError: the pole\nbroke"
        )
        assert (tmp_path / "runs" / "a" / "policy.safetensors").exists()
