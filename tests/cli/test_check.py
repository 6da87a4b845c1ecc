from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keywork._errors import ContractError, Finding
from keywork.cli import main
from keywork.cli._check import CheckOptions
from keywork.cli._options import option_names
from keywork.cli._place import Place, place_in
from keywork.cli._verdict import Verdict, github

KEYWORK = str(Path(sys.executable).with_name("keywork"))

PIPELINE = """\
import torch
from torch import nn
from keywork.flow import Flow
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.specs import Unbounded

inputs = {"observation": Unbounded(4)}
net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["hiden"])
head = TensorDictModule(nn.Tanh(), ["hidden"], ["action"])
right = TensorDictModule(nn.Tanh(), ["hiden"], ["action"])

def build():
    print("building")
    return inputs, net, right

def parts():
    return inputs, net, head

def unchecked():
    return Flow(inputs, net, head, check=False)

def sequential():
    return TensorDictSequential(
        net, head, external=["observation"])

def deeper():
    return sequential()

def parameters(env, *, seed, width=3, **others):
    return build()

def raises():
    raise ValueError("no\\nluck")

def within_torch():
    return nn.Linear(4, 2)(torch.zeros(3))

def leaves():
    raise SystemExit(7)

def unknown():
    return inputs, TensorDictModule(lambda x: x.nothing_of_the_sort, ["observation"], ["action"])

def interrupted():
    raise KeyboardInterrupt

def nothing():
    pass
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line_of(text):
    return 1 + next(i for i, line in enumerate(PIPELINE.splitlines()) if line.strip().startswith(text))


def check(capsys, *words, code=0):
    assert main(["check", *words]) == code
    return capsys.readouterr()


def refusal(capsys, *words):
    out, err = check(capsys, *words, code=2)
    assert (out, err.count("\n")) == ("", 1)
    return err.removeprefix("keywork: ").strip()


def test_options_are_frozen():
    assert CheckOptions() == CheckOptions(format="text")
    assert list(option_names(CheckOptions)) == ["format"]


class TestVerdict:
    @pytest.mark.parametrize("form", ["text", "github"])
    def test_one_line_if_nothing_is_wrong(self, capsys, form):
        assert check(capsys, "pipeline.py", "--format", form) == ("3 parts, 3 keys: no finding.\n", "building\n")
        assert check(capsys, "ppo", "--env", "Pendulum-v1", "--format", form).out == "7 parts, 23 keys: no finding.\n"

    @pytest.mark.parametrize("name", ["parts", "unchecked"])
    def test_all_findings_of_what_is_returned(self, capsys, name):
        out, _ = check(capsys, f"pipeline.py:{name}", code=1)
        assert out.startswith(f"pipeline.py:{line_of(f'def {name}')}: Flow cannot be built: 1 finding.\n1. Tanh (")
        assert "reads 'hidden', which nothing before it writes.\n   provided: 'hiden' (written by Linear" in out
        assert "\n   did you mean 'hiden'?" in out

    @pytest.mark.parametrize("name", ["sequential", "deeper"])
    def test_all_findings_of_what_is_refused_within(self, capsys, name):
        out, err = check(capsys, f"pipeline.py:{name}", code=1)
        assert err == ""
        line = line_of("return TensorDictSequential(")
        assert out.startswith(f"pipeline.py:{line}: TensorDictSequential cannot be built: 1 finding.\n1. step 1 (Tanh)")

    def test_what_could_not_be_tried_is_said(self, capsys):
        said = check(capsys, "pipeline.py:unknown").out.splitlines()
        assert said[0] == "2 parts, 2 keys: no finding."
        assert said[1].startswith("note: what function writes is not known: AttributeError: ")
        (note,) = json.loads(check(capsys, "pipeline.py:unknown", "--format", "json").out)["notes"]
        assert said[1] == f"note: {note}"

    def test_annotations(self, capsys):
        out, _ = check(capsys, "pipeline.py:sequential", "--format", "github", code=1)
        begin = f"::error file=pipeline.py,line={line_of('return TensorDictSequential(')},title="
        assert out.count("\n") == 1
        found = re.fullmatch(rf"{re.escape(begin)}[a-z-]+::TensorDictSequential: (.*)\n", out)
        assert found[1].startswith("step 1 (Tanh) reads 'hidden', which nothing before it writes.%0Aprovided: 'observ")

    def test_annotations_are_escaped(self):
        # https://docs.github.com/actions/reference/workflow-commands: %, CR and LF; : and , as well in properties.
        error = ContractError("Flow", [Finding("a,b:c", "50 %\r\nof: x, y", "", "z"), Finding("k", "p", "q", "r")])
        assert github(Verdict("x", None, error, Place("a:b,c.py", 3))) == (
            "::error file=a%3Ab%2Cc.py,line=3,title=a%2Cb%3Ac::Flow: 50 %25%0D%0Aof: x, y%0Az\n"
            "::error file=a%3Ab%2Cc.py,line=3,title=k::Flow: p%0Aprovided: q%0Ar\n"
        )
        assert github(Verdict("x", None, error)).startswith("::error title=a%2Cb%3Ac::Flow: 50")

    def test_json(self, capsys):
        right = json.loads(check(capsys, "pipeline.py", "--format", "json").out)
        assert (right.pop("format"), right.pop("checked")) == (1, "pipeline.py:build")
        assert (right.pop("parts"), right.pop("keys"), right.pop("findings")) == (3, 3, [])
        assert right == {"file": None, "line": None, "what": None, "notes": []}
        wrong = json.loads(check(capsys, "pipeline.py:sequential", "--format", "json", code=1).out)
        assert (wrong["file"], wrong["line"]) == ("pipeline.py", line_of("return TensorDictSequential("))
        assert (wrong["what"], wrong["parts"], wrong["keys"]) == ("TensorDictSequential", None, None)
        (finding,) = wrong["findings"]
        assert finding["problem"] == "step 1 (Tanh) reads 'hidden', which nothing before it writes."
        assert {"kind", "problem", "provided", "fix"} <= set(finding)


class TestRefuses:
    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (
                "pipelin.py",
                "The file 'pipelin.py' cannot be read: No such file or directory. "
                "Did you mean 'pipeline.py'? Name one, such as my_file.py:build.",
            ),
            (
                "no/such.py:build",
                "The file 'no/such.py' cannot be read: No such file or directory. Name one, such as my_file.py:build.",
            ),
            (
                "no_such.module:make",
                "There is no module 'no_such.module'. Name the file instead: no_such/module.py:make.",
            ),
            (
                "pipeline.py:biuld",
                "pipeline.py has no 'biuld'. Did you mean 'build'? It has 'build', 'parts', 'unchecked', 'sequential', "
                "'deeper', 'parameters', 'raises', 'within_torch', .... Name what to call, such as pipeline.py:build.",
            ),
            (
                "pipeline.py:parameters",
                "pipeline.py:parameters cannot be called: it needs 'env', 'seed', and it is called without arguments. "
                "Give them defaults, or name a function that takes none.",
            ),
            (
                "pipeline.py:nothing",
                "pipeline.py:nothing gives NoneType, which is no pipeline. Return its parts, such as "
                "return env, actor, loss; or a Flow, a key module, or something that has a flow, such as PPO(env).",
            ),
            (":build", "':build' names no file and no module. Type such as my_file.py:build."),
            ("a-b:build", "'a-b:build' names no file and no module. Type such as my_file.py:build."),
            ("a:b:c", "'a:b:c' names no file and no module. Type such as my_file.py:build."),
        ],
    )
    def test_what_is_not_there(self, capsys, target, message):
        assert refusal(capsys, target) == message

    def test_a_file_without_the_usual_function(self, capsys, folder):
        (folder / "other.py").write_text("from json import dumps\ndef _hidden(): pass\ndef make(): pass\n")
        assert (
            refusal(capsys, "other.py")
            == "other.py has no 'build'. It has 'make'. Name what to call, such as other.py:make."
        )
        (folder / "other.py").write_text("")
        assert refusal(capsys, "other.py") == "other.py has no 'build'. Name what to call, such as other.py:build."

    def test_what_raises(self, capsys):
        line = line_of('raise ValueError("no')
        out, err = check(capsys, "pipeline.py:raises", code=2)
        assert (out, err) == (
            "",
            f"keywork: pipeline.py:raises cannot be used: pipeline.py:{line} raises ValueError: no\nluck\n"
            "--traceback shows the way there.\n",
        )
        out, err = check(capsys, "pipeline.py:raises", "--traceback", code=2)
        assert out == ""
        assert err.startswith("Traceback (most recent call last):\n")
        assert f'pipeline.py", line {line}, in raises\n    raise ValueError("no\\nluck")\nValueError: no\nluck\n' in err
        assert err.endswith(
            f"keywork: pipeline.py:raises cannot be used: pipeline.py:{line} raises ValueError: no\nluck\n"
        )

    def test_what_raises_in_a_library_is_blamed_on_who_called_it(self, capsys):
        line = line_of("return nn.Linear(4, 2)(torch")
        begin = f"pipeline.py:within_torch cannot be used: pipeline.py:{line} raises RuntimeError: "
        assert refusal(capsys, "pipeline.py:within_torch").startswith(begin)

    def test_what_leaves_python(self, capsys):
        line = line_of("raise SystemExit")
        assert refusal(capsys, "pipeline.py:leaves").startswith(
            f"pipeline.py:leaves cannot be used: pipeline.py:{line} raises SystemExit: 7."
        )

    @pytest.mark.parametrize("target", ["broken.py:build", "broken:build", "user_of_broken.py"])
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = 1\ndef build(:\n    pass\n", "broken.py:2 raises SyntaxError: invalid syntax"),
            ("\n\nimport no_such_module\n", "broken.py:3 raises ModuleNotFoundError: No module named 'no_such_module'"),
            ("1 / 0\n", "broken.py:1 raises ZeroDivisionError: division by zero"),
        ],
    )
    def test_a_file_that_does_not_load(self, capsys, folder, monkeypatch, target, text, message):
        (folder / "broken.py").write_text(text)
        (folder / "user_of_broken.py").write_text("import broken\n")
        monkeypatch.delitem(sys.modules, "broken", raising=False)
        name = target if ":" in target else f"{target}:build"
        assert refusal(capsys, target) == f"{name} cannot be loaded: {message}. --traceback shows the way there."

    def test_an_algorithm_that_cannot_be_built(self, capsys):
        assert refusal(capsys, "ppo", "--env", "CartPol-v1").startswith(
            "There is no Gymnasium environment 'CartPol-v1'."
        )

    def test_an_environment_that_cannot_be_made_is_no_finding(self, capsys, folder, monkeypatch):
        (folder / "unmade.py").write_text(
            "import gymnasium\ndef fails(): raise OSError('no screen')\ngymnasium.register('Unmade-v0', fails)\n"
        )
        monkeypatch.syspath_prepend(folder)
        out, err = check(capsys, "ppo", "--env", "unmade:Unmade-v0", code=2)
        assert out == ""
        assert err.startswith("keywork: 'unmade:Unmade-v0' cannot be made: ")
        assert "OSError: no screen\n   " in err  # and what to do, on a line of its own

    def test_an_extra_that_is_missing_is_no_finding(self, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "mujoco", None)  # as if it were not installed
        assert refusal(capsys, "ppo", "--env", "HalfCheetah-v5").endswith("pip install 'keywork[mujoco]'")

    def test_ctrl_c_ends_it(self, capsys):
        assert check(capsys, "pipeline.py:interrupted", code=130) == ("", "keywork: Interrupted.\n")


def test_the_deepest_line_of_ones_own_is_blamed(tmp_path):
    def fails():
        raise ValueError

    with pytest.raises(ValueError) as caught:
        fails()
    here = Path(__file__).parent
    assert place_in(caught.value, here).line == fails.__code__.co_firstlineno + 1
    assert place_in(caught.value, tmp_path) is None


def test_what_is_installed_beside_ones_own_code_is_not_blamed(tmp_path):
    folder = tmp_path / ".venv" / "lib" / "site-packages"
    folder.mkdir(parents=True)
    code = {tmp_path / "own.py": "\ndef call(f): f()\n", folder / "theirs.py": "def fail(): 1 / 0\n"}
    names = {}
    for path, text in code.items():
        exec(compile(text, str(path), "exec"), names)
    with pytest.raises(ZeroDivisionError) as caught:
        names["call"](names["fail"])
    assert place_in(caught.value, tmp_path) == Place("own.py", 2)  # the tests' working folder is tmp_path


def test_a_process_of_its_own(folder):
    env = {"PATH": "/nowhere", "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}

    def run(*words):
        return subprocess.run([KEYWORK, "check", *words], capture_output=True, text=True, env=env, timeout=120)

    done = run("pipeline.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 parts, 3 keys: no finding.\n", "building\n")
    done = run("pipeline.py:parts", "--format", "github")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"::error file=pipeline.py,line={line_of('def parts')},title=")
