from __future__ import annotations

import json
import os
import re

import pytest
import torch

from keywork._errors import RunError
from keywork.train import Run, RunSettings


@pytest.fixture
def run(tmp_path):
    made = Run.create(RunSettings(name="a", runs=tmp_path / "deep" / "runs"), "ppo", {"config": {"gamma": 0.9}})
    yield made
    made.close()


class TestCreate:
    def test_makes_the_folder_and_says_what_was_asked_for(self, run, tmp_path):
        assert run.path == tmp_path / "deep" / "runs" / "a"
        assert run.name == "a"
        config = run.config()
        assert (config["format"], config["algorithm"], config["config"]) == (1, "ppo", {"gamma": 0.9})
        assert set(config["versions"]) == {"python", "keywork", "torch", "tensordict", "gymnasium", "numpy"}
        assert config["versions"]["torch"] == torch.__version__
        assert run.rows() == []

    def test_overwrites_nothing(self, run):
        run.on_metrics({"step": 1.0})
        with pytest.raises(RunError) as raised:
            Run.create(RunSettings(name="a", runs=run.path.parent), "ppo", {})
        assert (
            str(raised.value) == f"There is a run {str(run.path)!r} already. None is overwritten: give another --name."
        )
        assert run.rows() == [{"step": 1.0}]

    def test_finds_a_free_name(self, tmp_path):
        settings = RunSettings(env="a:b/C-v1", seed=3, runs=tmp_path)
        runs = [Run.create(settings, "ppo", {}) for _ in range(3)]
        assert len({made.name for made in runs}) == 3
        for made in runs:
            made.close()
            assert re.fullmatch(r"ppo-a-b-C-v1-seed3-\d{8}-\d{6}(-[23])?", made.name)

    @pytest.mark.parametrize(
        ("runs", "name", "reason"),
        [
            ("file/runs", "a", "Not a directory"),
            ("file", "a", "Not a directory"),
            ("runs", "a" * 300, "File name too long"),
            ("/proc/none", "a", "No such file or directory"),
        ],
    )
    def test_says_where_no_folder_can_be(self, tmp_path, runs, name, reason):
        (tmp_path / "file").touch()
        settings = RunSettings(name=name, runs=tmp_path / runs)
        message = rf"cannot be made: {reason}\. Give another --name, or name another place: --runs DIR\."
        with pytest.raises(RunError, match=message):
            Run.create(settings, "ppo", {})


class TestMetrics:
    def test_every_row_is_there_at_once(self, run):
        for step in range(3):
            run.on_metrics({"step": step, "loss/critic": 0.1 * step})
            assert Run(run.path).rows() == [{"step": s, "loss/critic": 0.1 * s} for s in range(step + 1)]

    def test_what_is_undefined_is_left_out(self, run):
        run.on_metrics({"step": 1, "a": float("nan"), "b": float("inf"), "c": 2.5})
        assert (run.path / "metrics.jsonl").read_text() == '{"step": 1, "c": 2.5}\n'

    def test_a_last_row_that_was_cut_off_is_left_out(self, run):
        run.on_metrics({"step": 1})
        with (run.path / "metrics.jsonl").open("a") as file:
            file.write('{"step": 2')
        assert run.rows() == [{"step": 1}]

    @pytest.mark.parametrize("line", [b'{"step": 2', b"", b"5", b"\xff", b"[" * 10_000])
    def test_a_damaged_row_is_named(self, run, line):
        (run.path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
        with pytest.raises(RunError, match=r"metrics.jsonl is damaged in line 2: .*Train anew, or mend the line\."):
            run.rows()

    def test_none_are_added_to_a_run_that_is_finished(self, run):
        run.close()
        run.close()
        with pytest.raises(RunError, match="is finished: its metrics are not added to"):
            run.on_metrics({"step": 1})

    def test_missing_ones_are_an_error(self, run):
        os.unlink(run.path / "metrics.jsonl")
        with pytest.raises(RunError, match=r"metrics.jsonl cannot be read: No such file or directory"):
            run.rows()


class TestRead:
    @pytest.mark.parametrize("name", ["none", "file", "a" * 300, "a\0b"])
    def test_no_folder_is_no_run(self, tmp_path, name):
        (tmp_path / "file").touch()
        with pytest.raises(
            RunError, match=r"There is no run '.*'\. Name the folder of a run: keywork eval runs/<name>"
        ):
            Run(tmp_path / name)

    def test_another_format_is_refused(self, run):
        content = run.config()
        run.write("config.json", {**content, "format": 2})
        with pytest.raises(
            RunError, match="has the format 2, and this version of keywork reads 1: use the version that"
        ):
            run.config()

    def test_the_policy_comes_back(self, run):
        tensors = {"w": torch.randn(3, 2), "b": torch.randn(2)}
        run.save_policy(tensors)
        back = Run(run.path).policy()
        assert back.keys() == tensors.keys()
        assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())

    def test_text_and_json_are_written(self, run):
        run.write("a.txt", "text")
        run.write("b.json", {"x": [1, 2]})
        assert (run.path / "a.txt").read_text() == "text"
        assert json.loads((run.path / "b.json").read_text()) == {"x": [1, 2]}
