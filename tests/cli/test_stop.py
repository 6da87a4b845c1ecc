"""Real processes, stopped in the middle of what they do."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest

from keywork.cli import main
from keywork.cli._stop import Stop
from keywork.train import Run

KEYWORK = str(Path(sys.executable).with_name("keywork"))
# A shell starts what runs in the background deaf to Ctrl-C, and the tests may have been started so.
HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
SECONDS = 60.0


class Training:
    """A run that would take an hour, in a session of its own so that everything that it leaves can be found."""

    def __init__(self, runs, *words, terminal=False):
        command = [sys.executable, "-c", HEARING, KEYWORK, "train", "ppo", "--runs", str(runs), "--name", "a"]
        read, write = pty.openpty() if terminal else os.pipe()
        if terminal:
            fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
        self.process = subprocess.Popen(
            [*command, "--total-steps", "10_000_000", *words],
            stdin=write if terminal else subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(write)
        self.path, self.stdout, self.output = Path(runs, "a"), read, b""

    def read(self, until=None):
        """Read up to a word, or to the end."""
        deadline = time.monotonic() + SECONDS
        while until is None or until not in self.output:
            ready, _, _ = select.select([self.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {until!r} within {SECONDS} s in {self.output!r}"
            piece = b""
            with suppress(OSError):  # so a terminal ends
                piece = os.read(self.stdout, 65536)
            if not piece:
                break
            self.output += piece
        assert until is None or until in self.output, (self.output, self.process.stderr.read())

    def end(self):
        """The exit code, and what is on stderr."""
        self.read()
        err = self.process.stderr.read().decode()
        return self.process.wait(SECONDS), err

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stderr.close()
        self.process.wait(SECONDS)
        os.close(self.stdout)


def readable(path, capsys):
    """What a run that was ended early leaves, and that it can be played."""
    rows = Run(path).rows()
    assert rows[-1]["step"] > 0
    assert "<svg" in (path / "curves.svg").read_text()
    assert "</html>" in (path / "report.html").read_text()
    assert not (path / "evaluation.json").exists()
    assert not [name for name in os.listdir(path) if name.startswith(".")]
    assert main(["eval", str(path), "--episodes", "1"]) == 0
    assert capsys.readouterr().out.startswith("return ")
    return int(rows[-1]["step"])


def interruption(path, steps):
    where = f"what was learnt until then is in {path}/."
    return f"keywork: Interrupted after {steps:,} of 10,000,000 steps; {where}\n"


def test_ctrl_c_in_a_terminal(tmp_path, capsys):
    with Training(tmp_path, terminal=True) as training:
        training.read(until=b" left")
        training.process.send_signal(signal.SIGINT)
        code, err = training.end()
    assert (code, err) == (130, interruption(training.path, readable(training.path, capsys)))
    text = training.output.decode()
    assert (text.count("\x1b[?25l"), text.count("\x1b[?25h")) == (1, 1)
    assert "━" in text
    assert "critic loss" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert plain.rstrip().splitlines()[-1] == f"play again   keywork eval {training.path}"
    assert "Traceback" not in text


def test_sigterm_with_worker_processes(tmp_path, capsys):
    with Training(tmp_path, "--workers", "process", "--num-envs", "2") as training:
        training.read(until=b"steps/s")
        training.process.send_signal(signal.SIGTERM)
        code, err = training.end()
        deadline = time.monotonic() + 10.0
        with pytest.raises(ProcessLookupError):  # in the end nothing is left in the session
            while time.monotonic() < deadline:
                os.killpg(training.process.pid, 0)
                time.sleep(0.05)
    assert (code, err) == (143, interruption(training.path, readable(training.path, capsys)))


def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    with Training(tmp_path, terminal=True) as training:
        training.read(until=b" left")
        began = time.monotonic()
        while training.process.poll() is None:
            training.process.send_signal(signal.SIGINT)
            time.sleep(0.002)  # two at the same time would be one; ending in order takes longer than this
        code, err = training.end()
    assert (code, err) == (130, "")
    assert time.monotonic() - began < 1.0
    assert training.output.decode().count("\x1b[?25h") >= 1  # the cursor is there again


def test_a_reader_that_has_enough(tmp_path, capsys):
    with Training(tmp_path, "--total-steps", "10_000") as training:
        training.read(until=b"steps/s")  # in the first line; the next one is that of the end
        os.close(training.stdout)
        training.stdout = os.open(os.devnull, os.O_RDONLY)
        code, err = training.end()
    assert (code, err) == (141, "")
    readable(training.path, capsys)


class TestStop:
    def test_the_first_signal_is_a_keyboard_interrupt(self):
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with Stop() as stop:
            assert stop.code is None
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            assert stop.code == 143
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    def test_what_is_deaf_stays_deaf(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with Stop() as stop:
                signal.raise_signal(signal.SIGINT)
            assert stop.code is None
        finally:
            signal.signal(signal.SIGINT, before)
