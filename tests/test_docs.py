"""Every code block of every page runs, and so does every example: what a reader copies works.

The blocks of a page run in their order and in an empty folder: the Python ones in one namespace, warnings being
errors, and of the shell ones each `keywork` command. A comment before a block changes that:

    <!-- test: --total-steps 512 -->     these arguments are added to the block's first keywork command
    <!-- test: skip: needs a GPU -->     the block does not run, for this reason

A text block right after a Python block that prints is what it has to print.

An example takes its arguments from a line `# test: ARGUMENTS`, where it has one.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SHELLS = {"sh", "bash", "console"}
NOT_RUN = {"text", "json", "toml", "yaml", "mermaid", "html", "css", "diff"}
ELSEWHERE = {"pip", "git", "cd", "python", "python3", "pytest"}  # commands that are about the reader's machine
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
SECONDS = 240


@dataclass(frozen=True)
class Block:
    language: str
    line: int  # of the page, where the code starts, counted from 0
    note: str
    code: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page; refuses a fence or a note that would quietly not be run."""
    rows = enumerate(text.splitlines())
    note = ""
    for number, row in rows:
        fence = re.fullmatch(r"( *)(```+)(.*)", row)
        if fence:
            indent, ticks, language = fence.groups()
            code: list[str] = []
            for _, inner in rows:
                if inner.strip() == ticks:
                    break
                code.append(inner.removeprefix(indent))
            else:
                raise ValueError(f"line {number + 1}: a block that does not end")
            if language not in {"python", *SHELLS, *NOT_RUN}:
                raise ValueError(f"line {number + 1}: a block in {language!r}: say python, sh or text")
            if note and not note.startswith("skip: ") and language not in SHELLS:
                raise ValueError(f"line {number + 1}: {note!r} is neither skip nor for a command")
            yield Block(language, number + 1, note, "\n".join(code))
            note = ""
        elif note and row.strip():
            raise ValueError(f"line {number + 1}: no block follows the note {note!r}")
        elif row.strip().startswith("<!-- test"):
            note = re.sub(r"^<!-- test:? *| *-->$", "", row.strip())
    if note:
        raise ValueError(f"no block follows the note {note!r}")


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a shell block, one list of words each; in a console only the rows after a `$ `."""
    lines = block.code.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        while "&&" in words:
            cut = words.index("&&")
            yield words[:cut]
            words = words[cut + 1 :]
        if words:
            yield words


def check_runs(words: list[str], folder: Path) -> None:
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{shlex.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"


def check_shell(block: Block, folder: Path) -> None:
    extra = shlex.split(block.note)
    for command in commands(block):
        name = Path(command[0]).name
        if name == "keywork":
            check_runs([str(Path(sys.executable).with_name("keywork")), *command[1:], *extra], folder)
            extra = []
        elif name == "make":
            assert {word for word in command[1:] if "=" not in word} <= TARGETS, f"no such target: {command}"
        else:
            assert name in ELSEWHERE, f"cannot run {command[0]!r}: use a plain command, or a note with skip"
            scripts = [word for word in command[1:] if word.endswith(".py") and "/" in word]
            assert all((ROOT / script).exists() for script in scripts), f"no such file: {command}"


def check_page(text: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")  # what a reader's own script would be, so that classes pickle as theirs do
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.chdir(folder)
    printed: str | None = None  # by the Python block just before
    for block in blocks(text):
        if block.note.startswith("skip: "):
            continue
        if block.language in SHELLS:
            check_shell(block, folder)
        elif block.language == "text" and printed:
            assert printed.strip() == block.code.strip(), f"{name}, line {block.line}: this is not what is printed"
        printed = None
        if block.language == "python":
            # The empty lines make a traceback show the line of the page.
            code = compile("\n" * block.line + block.code, name, "exec", dont_inherit=True)
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(code, main.__dict__)
            printed = output.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_the_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_page(page.read_text(encoding="utf-8"), str(page), tmp_path, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_the_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_runs(example: Path, tmp_path: Path) -> None:
    arguments = re.findall(r"^# test: (.+)$", example.read_text(encoding="utf-8"), re.MULTILINE)
    check_runs([sys.executable, str(example), *shlex.split(" ".join(arguments))], tmp_path)


def page_of(*blocks: str) -> str:
    return "\n\n".join(blocks).replace("'''", "```")


def test_python_blocks_share_names_and_keep_their_lines(tmp_path, monkeypatch) -> None:
    text = page_of(
        "'''python\nx = 1\n'''", "<!-- test: skip: not now -->\n'''python\nx = 2\n'''", "'''python\n1 / (x - 1)\n'''"
    )
    with pytest.raises(ZeroDivisionError) as raised:
        check_page(text, "page.md", tmp_path, monkeypatch)
    place = traceback.extract_tb(raised.tb)[-1]
    assert (place.filename, place.lineno) == ("page.md", 11)


def test_shell_blocks_are_split_into_commands() -> None:
    text = page_of("'''console\n$ cd a && keywork train ppo \\\n  --seed 1  # quick\nepisode return: 500\n'''")
    assert [list(commands(block)) for block in blocks(text)] == [
        [["cd", "a"], ["keywork", "train", "ppo", "--seed", "1"]]
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'''python\nraise OSError('no')\n'''", "no"),
        ("'''python\nimport warnings\nwarnings.warn('old')\n'''", "old"),
        ("'''sh\nkeywork no-such-command\n'''", "keywork no-such-command ended with"),
        ("'''sh\nmake no-such-target\n'''", "no such target"),
        ("'''sh\npython examples/no_such_file.py\n'''", "no such file"),
        ("'''sh\nfrobnicate x\n'''", "cannot run 'frobnicate'"),
        ("'''python\nprint(1)\n'''\n\n'''text\n2\n'''", "line 5: this is not what is printed"),
        ("'''py\nx = 1\n'''", "line 1: a block in 'py'"),
        ("'''python\nx = 1\n", "line 1: a block that does not end"),
        ("<!-- test: skip: no -->\ntext", "line 2: no block follows the note"),
        ("text\n<!-- test: skip: no -->", "no block follows the note"),
        ("<!-- test: --fast -->\n'''python\nx = 1\n'''", "line 2: '--fast' is neither skip nor"),
    ],
)
def test_a_page_that_does_not_work_is_seen(text: str, message: str, tmp_path, monkeypatch) -> None:
    with pytest.raises((AssertionError, ValueError, OSError, UserWarning), match=message):
        check_page(page_of(text), "page.md", tmp_path, monkeypatch)
