"""One freshly spawned process for a whole test run, to which modules are sent."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import torch

from keywork.nn import TensorDictModuleBase, recurrent_mode, set_recurrent_mode
from keywork.testing._expect import failing
from keywork.testing._subject import call, detached

DEADLINE = 120.0
"""Seconds that the process has for its start or an answer."""


class Worker:
    """The process; it is started when it is first needed, and again where a module has ended it."""

    def __init__(self) -> None:
        self._link: Connection | None = None

    def outputs(self, module: TensorDictModuleBase, td: Any) -> tuple[Any, ...]:
        """The deterministic outputs that the module has over there."""
        link = self._link = self._link or _start()
        with failing(f"{module.label} cannot be sent to another process", Exception):
            link.send((module, td, recurrent_mode()))
        problem = (
            f"{module.label} does not live in a freshly started process, whose own message is on stderr. Define its "
            "class, and the functions that it holds, at the top level of a module that can be imported there"
        )
        try:
            with failing(problem, EOFError, OSError):
                if not link.poll(DEADLINE):
                    raise TimeoutError(f"no answer within {DEADLINE:.0f} s")
                return link.recv()  # type: ignore[no-any-return]
        except AssertionError:
            link.close()
            self._link = None
            raise


WORKER = Worker()


def _start() -> Connection:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # A daemon ends with this process, which no fixture of a test runner has to see to.
    context.Process(target=_serve, args=(theirs, torch.get_num_threads()), daemon=True).start()
    theirs.close()
    return ours


def _serve(link: Connection, threads: int) -> None:
    torch.set_num_threads(threads)  # sums are in the same order, bit for bit
    try:
        while True:
            module, td, sequences = link.recv()
            with set_recurrent_mode(sequences):
                link.send(detached(call(module, td)))
    except (EOFError, ConnectionError):  # the other side has gone
        return
