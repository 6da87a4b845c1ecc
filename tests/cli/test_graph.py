from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keywork.cli import main
from keywork.cli._graph import GraphOptions
from keywork.cli._options import option_names

KEYWORK = str(Path(sys.executable).with_name("keywork"))

PIPELINE = """\
import torch
from torch import nn
from keywork.flow import Flow
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.specs import Unbounded
from beside import WIDTH

net = TensorDictModule(nn.Linear(WIDTH, 2), ["observation"], ["loc"])
head = TensorDictModule(nn.Tanh(), ["loc"], ["action"])
inputs = {"observation": Unbounded(WIDTH)}

def build():
    print("building")
    return inputs, net, head

def as_list():
    return [inputs, net]

def as_flow():
    return Flow(inputs, net, head)

def as_module():
    return TensorDictSequential(net, head)

class WithFlow:
    def __init__(self):
        self.flow = as_flow()

flow = as_flow()

def early():
    return inputs, head, net

def refused():
    return TensorDictSequential(head, net, external=["observation"])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "beside.py").write_text("WIDTH = 4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    return tmp_path


def graph(capsys, *words, code=0):
    assert main(["graph", *words]) == code
    return capsys.readouterr()


def refusal(capsys, *words):
    out, err = graph(capsys, *words, code=2)
    assert (out, err.count("\n")) == ("", 1)
    return err.removeprefix("keywork: ").strip()


class TestOptions:
    def test_are_frozen(self):
        assert GraphOptions() == GraphOptions(out="", format="auto")
        assert list(option_names(GraphOptions)) == ["out", "format"]

    def test_are_explained(self, capsys):
        out, _ = graph(capsys, "pipeline.py", "--help")
        for words in ("-o FILE, --out FILE", "{auto,html,svg,mmd,json,txt}", "--traceback"):
            assert words in out
        assert "--gamma" not in out
        out, _ = graph(capsys, "ppo", "-h")
        assert "--gamma" in out
        assert "--traceback" not in out


class TestAlgorithm:
    def test_is_shown_as_a_table(self, capsys):
        out, err = graph(capsys, "ppo", "--env", "Pendulum-v1", "--num-cells", "5")
        assert err == ""
        assert re.search(r"^observation +\[3\] +float32 ", out, re.MULTILINE)
        assert re.search(r"^action +\[1\] +float32 .* IndependentNormal +Pendulum-v1 step", out, re.MULTILINE)
        assert "loss_objective" in out
        assert out.isascii()

    def test_takes_the_options_of_train(self, capsys):
        out, _ = graph(capsys, "ppo", "--num-envs", "3", "--num-cells", "5", "7", "--format", "json")
        parts = {part["name"]: part["description"] for part in json.loads(out)["parts"]}
        assert parts["CartPole-v1"] == "3 environments"
        # 4 -> 5 -> 7 -> 2: 4*5+5 + 5*7+7 + 7*2+2 = 25 + 42 + 16
        assert parts["MLP"] == "4 → 5 → 7 → 2, 83 parameters"

    def test_no_step_is_taken_and_no_process_started(self, capsys, folder, monkeypatch):
        (folder / "still.py").write_text(
            "import gymnasium, os\n"
            "from gymnasium.envs.classic_control import CartPoleEnv\n"
            "made = []\n"
            "class Still(CartPoleEnv):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        made.append(os.getpid())\n"
            "    def reset(self, **options):\n"
            "        raise AssertionError\n"
            "    step = reset\n"
            "gymnasium.register('Still-v0', Still)\n"
        )
        monkeypatch.syspath_prepend(folder)
        for workers in ("sync", "process"):
            graph(capsys, "ppo", "--env", "still:Still-v0", "--num-envs", "2", "--workers", workers)
        assert sys.modules["still"].made == [os.getpid()] * 4  # two each time, all in this process
        assert not (folder / "runs").exists()

    def test_that_cannot_be_is_refused(self, capsys):
        assert refusal(capsys, "ppo", "--env", "CartPol-v1") == (
            "There is no Gymnasium environment 'CartPol-v1'. Did you mean 'CartPole-v1'?"
        )
        assert refusal(capsys, "ppo", "--gamma", "2") == "gamma is 2.0: it has to be in [0, 1], such as --gamma 0.95."


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "begins", "ends"),
        [
            ("flow.html", "<!", "</html>\n"),
            ("flow.svg", "<svg ", "</svg>\n"),
            ("flow.mmd", "flowchart ", "\n"),
            ("flow.json", '{\n  "format": 1,', "}\n"),
            ("FLOW.TXT", "key ", "\n"),
        ],
    )
    def test_follow_the_name_of_the_file(self, capsys, folder, name, begins, ends):
        out, err = graph(capsys, "pipeline.py", "-o", name)
        assert out == f"pipeline     3 parts, 3 keys\nwritten      {name}\n"
        assert err == "building\n"
        text = (folder / name).read_text(encoding="utf-8")
        assert text.startswith(begins)
        assert text.endswith(ends)
        assert not text.endswith("\n\n")
        # On stdout it is the same, and what the function prints is not in it.
        for words in (["--format", name[5:].lower()], ["-o", "-", "--format", name[5:].lower()]):
            assert graph(capsys, "pipeline.py", *words).out == text
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []

    def test_the_page_has_a_title(self, capsys):
        assert "<title>pipeline.py:build</title>" in graph(capsys, "pipeline.py", "--format", "html").out

    def test_the_table_goes_to_stdout(self, capsys, folder):
        table, _ = graph(capsys, "pipeline.py")
        assert table.startswith("key ")
        assert graph(capsys, "pipeline.py", "-o", "-").out == table
        assert graph(capsys, "pipeline.py", "-o", "flow", "--format", "txt").out.endswith("written      flow\n")
        assert (folder / "flow").read_text() == table

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (
                "-o flow.pgn",
                "-o flow.pgn does not say what to draw: it has the suffix '.pgn'. "
                "Let it end in .html, .svg, .mmd, .json, .txt, or say it with --format svg.",
            ),
            (
                "-o flow.jsn",
                "-o flow.jsn does not say what to draw: it has the suffix '.jsn'. Did you mean 'json'? "
                "Let it end in .html, .svg, .mmd, .json, .txt, or say it with --format svg.",
            ),
            (
                "-o flow",
                "-o flow does not say what to draw: it has no suffix. "
                "Let it end in .html, .svg, .mmd, .json, .txt, or say it with --format svg.",
            ),
            (
                "-o a/flow.txt --format svg",
                "-o a/flow.txt is a name for txt, and --format asks for svg. "
                "Leave --format out, or name it a/flow.svg.",
            ),
            (
                "-o a/b/flow.svg",
                "-o a/b/flow.svg cannot be written: there is no folder 'a/b'. "
                "Type mkdir -p a/b first, or name another place.",
            ),
            ("-o . --format svg", "-o . cannot be written: it is no file. Name one in it: -o flow.html."),
        ],
    )
    def test_that_cannot_be_are_refused_before_anything_is_built(self, capsys, words, message):
        assert refusal(capsys, "pipeline.py", *words.split()) == message  # and "building" is not on stderr

    @pytest.mark.parametrize("length", [250, 300])  # the shorter one only with what is beside it until it is whole
    def test_a_file_that_cannot_be_written(self, capsys, folder, length):
        name = f"{'a' * length}.svg"
        out, err = graph(capsys, "pipeline.py", "-o", name, code=2)
        assert out == ""
        assert err.endswith(
            f"{name} cannot be written: File name too long. Make room, or name another place: -o FILE.\n"
        )

    def test_a_link_is_followed(self, capsys, folder):
        (folder / "real.svg").write_text("old")
        (folder / "link.svg").symlink_to("real.svg")
        graph(capsys, "pipeline.py", "-o", "link.svg")
        assert (folder / "link.svg").is_symlink()
        assert (folder / "real.svg").read_text().startswith("<svg ")


class TestCode:
    @pytest.mark.parametrize("name", ["build", "as_flow", "WithFlow", "flow"])
    def test_may_give_parts_or_whatever_has_a_flow(self, capsys, name):
        assert graph(capsys, f"pipeline.py:{name}").out == graph(capsys, "pipeline.py").out

    def test_may_give_a_list_or_a_module(self, capsys):
        assert "[4]" in graph(capsys, "pipeline.py:as_list").out
        out, _ = graph(capsys, "pipeline.py:as_module")
        assert re.search(r"^action .* Tanh ", out, re.MULTILINE)
        assert graph(capsys, "pipeline.py:head").out.startswith("key ")

    def test_may_give_an_algorithm_or_its_trainer(self, capsys, folder):
        (folder / "learns.py").write_text(
            "from keywork.envs import GymEnv\n"
            "from keywork.train import PPO, PPOConfig, Trainer\n"
            "def build():\n"
            "    return PPO(GymEnv('CartPole-v1', num_envs=8), PPOConfig())\n"
            "def trainer():\n"
            "    return Trainer(build(), total_frames=10)\n"
        )
        out, _ = graph(capsys, "ppo")
        assert graph(capsys, "learns.py").out == graph(capsys, "learns.py:trainer").out == out

    def test_is_found_by_file_and_by_module(self, capsys, folder, monkeypatch):
        monkeypatch.delitem(sys.modules, "pipeline", raising=False)
        table = graph(capsys, "pipeline:as_flow").out
        assert graph(capsys, f"{folder}/pipeline.py:as_flow").out == table
        monkeypatch.chdir("/")
        assert graph(capsys, f"{folder}/pipeline.py:as_flow").out == table
        assert str(folder) not in sys.path

    def test_is_read_anew_each_time(self, capsys, folder):
        assert "[4]" in graph(capsys, "pipeline.py").out
        (folder / "pipeline.py").write_text(PIPELINE.replace("import WIDTH", "import WIDTH as _; WIDTH = 7"))
        assert "[7]" in graph(capsys, "pipeline.py").out
        assert not list(folder.rglob("pipeline*.pyc"))

    def test_with_findings_is_drawn_and_they_are_counted(self, capsys):
        out, err = graph(capsys, "pipeline.py:early")
        assert out.startswith("key ")
        assert err.splitlines()[-1] == (
            "keywork: The pipeline has 1 finding: 'keywork check pipeline.py:early' shows what to change."
        )

    def test_that_is_refused_when_it_is_built_says_all_and_where(self, capsys):
        out, err = graph(capsys, "pipeline.py:refused", code=1)
        line = 1 + PIPELINE.splitlines().index('    return TensorDictSequential(head, net, external=["observation"])')
        assert out == ""
        assert err.startswith(
            f"keywork: pipeline.py:{line}: TensorDictSequential cannot be built: 1 finding.\n1. step 0 ("
        )
        assert err.count("\n") == 4


def test_a_process_of_its_own(folder):
    env = {"PATH": "/nowhere", "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    command = [KEYWORK, "graph", "ppo", "--env", "Pendulum-v1", "-o", "flow.html"]
    done = subprocess.run(command, capture_output=True, env=env, cwd=folder, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"pipeline     7 parts, 23 keys\nwritten      flow.html\n"
    page = (folder / "flow.html").read_bytes()
    assert b"<title>ppo on Pendulum-v1</title>" in page
    done = subprocess.run([*command[:-1], "-", "--format", "html"], capture_output=True, env=env, timeout=120)
    assert done.stdout == page  # in UTF-8 whatever the terminal has
