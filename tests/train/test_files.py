from __future__ import annotations

import json
import os
import re
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keywork._errors import RunError
from keywork.train._files import Lines, read_json, read_tensors, save_bytes, save_json, save_tensors, save_text


@contextmanager
def largest_file(size):
    """As on a full disk: what is written beyond this many bytes fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestSave:
    def test_replaces_what_was_there(self, tmp_path):
        path = tmp_path / "a"
        for content in (b"first", b"", b"third"):
            save_bytes(path, content)
            assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["a"]

    def test_others_may_read_it(self, tmp_path):
        before = os.umask(0o022)
        try:
            save_text(tmp_path / "a", "text")
        finally:
            os.umask(before)
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644

    def test_on_a_full_disk_the_old_content_stays(self, tmp_path):
        path = tmp_path / "a"
        save_bytes(path, b"old")
        with largest_file(1000), pytest.raises(RunError, match=r"a cannot be written: File too large. Make room, or"):
            save_bytes(path, bytes(2000))
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a"]

    def test_what_is_in_the_way_stays(self, tmp_path):
        (tmp_path / "a").mkdir()
        with pytest.raises(RunError, match="a cannot be written: Is a directory"):
            save_bytes(tmp_path / "a", b"new")
        assert os.listdir(tmp_path) == ["a"]

    def test_says_where_there_is_no_folder(self, tmp_path):
        path = tmp_path / "gone" / "a"
        with pytest.raises(RunError, match=re.escape(f"{path} cannot be written: No such file")):
            save_bytes(path, b"")

    def test_writes_text_that_is_no_unicode(self, tmp_path):
        name = os.fsdecode(b"caf\xe9")  # what Python makes of a folder's name in Latin-1
        save_text(tmp_path / "a", f"é {name}")
        assert (tmp_path / "a").read_bytes() == b"\xc3\xa9 caf\\udce9"


class TestJson:
    @settings(max_examples=20)  # each waits for the disk
    @given(
        st.dictionaries(st.text(), st.recursive(st.none() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
    )
    def test_comes_back(self, tmp_path_factory, content):
        path = tmp_path_factory.getbasetemp() / "json"
        save_json(path, content)
        assert read_json(path) == content

    def test_has_no_nan(self, tmp_path):
        with pytest.raises(ValueError, match="not JSON compliant"):
            save_json(tmp_path / "a", {"x": float("nan")})
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"\xff\xfe\x00", b'{"a": 1} x', b'{"a": nan}', b"[" * 100_000], ids=range(6)
    )
    def test_refuses_what_is_none(self, tmp_path, content):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(RunError, match=r"a cannot be read: it is damaged \(.*Name the folder of a finished run"):
            read_json(tmp_path / "a")

    def test_refuses_another_value_than_an_object(self, tmp_path):
        (tmp_path / "a").write_text("[1]")
        with pytest.raises(RunError, match="does not hold a JSON object but a list: it is no file of a run"):
            read_json(tmp_path / "a")

    def test_says_what_is_missing(self, tmp_path):
        with pytest.raises(RunError, match=r"a cannot be read: No such file or directory\. Name the folder"):
            read_json(tmp_path / "a")


class TestTensors:
    def test_views_of_one_vector_come_back(self, tmp_path):
        vector = torch.arange(6.0, requires_grad=True)
        tensors = {"a.weight": vector[:4].view(2, 2), "a.bias": vector[4:], "count": torch.tensor(3)}
        save_tensors(tmp_path / "a", tensors)
        back = read_tensors(tmp_path / "a")
        assert back.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert torch.equal(back[name], tensor)
            assert back[name].dtype is tensor.dtype

    def test_every_cut_is_noticed(self, tmp_path):
        path = tmp_path / "a"
        save_tensors(path, {"x": torch.arange(10.0)})
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            with pytest.raises(RunError, match="a cannot be read: it is damaged"):
                read_tensors(path)
        path.write_bytes(whole + b"x")
        with pytest.raises(RunError, match="a cannot be read: it is damaged"):
            read_tensors(path)


class TestLines:
    def test_a_line_is_there_at_once(self, tmp_path):
        lines = Lines(tmp_path / "a")
        for count in range(3):
            lines.add(json.dumps({"n": count}))
            assert len((tmp_path / "a").read_text().splitlines()) == count + 1
        lines.close()
        lines.close()

    def test_a_full_disk_is_an_error(self, tmp_path):
        lines = Lines(tmp_path / "a")
        with largest_file(10), pytest.raises(RunError, match="a cannot be written: File too large"):
            for _ in range(3):
                lines.add("12345")
        lines.close()

    def test_a_missing_folder_is_an_error(self, tmp_path):
        with pytest.raises(
            RunError, match=r"cannot be written: No such file or directory\. Make room, or name another"
        ):
            Lines(Path(tmp_path, "gone", "a"))
