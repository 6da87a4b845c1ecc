"""Environments in worker processes. Every wait for a worker has an end, and a lost worker is named."""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import signal
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

from keywork._errors import UsageError
from keywork.envs import _worker
from keywork.envs._backend import Backend
from keywork.envs._buffers import Buffers, carve, size_of
from keywork.envs._fault import EnvFault
from keywork.envs._layout import Layout
from keywork.envs._rows import EnvFactory, EnvRows


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessWorkers:
    """How environments are spread over worker processes, and how long to wait for them.

    Attributes:
        count: how many processes; the environments are divided evenly. None: one a core, at most one an environment.
        start_method: ``"forkserver"`` (the default where there is one) or ``"spawn"``. Never ``"fork"``: it copies
            the locks of torch's threads into the worker, where nobody will ever release them.
        start_timeout: seconds until a worker has made its environments.
        reset_timeout: seconds for a reset of all of a worker's environments.
        step_timeout: seconds for a step of all of them.
        close_timeout: seconds that a worker is given to close its environments before it is killed.
    """

    count: int | None = None
    start_method: str | None = None
    start_timeout: float = 300.0
    reset_timeout: float = 300.0
    step_timeout: float = 60.0
    close_timeout: float = 5.0

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise UsageError(f"ProcessWorkers cannot have count={self.count}; type 1 or more, or None.")
        if self.start_method not in (None, "forkserver", "spawn"):
            raise UsageError(
                f"ProcessWorkers cannot start workers by {self.start_method!r}; type 'forkserver' or 'spawn'."
            )
        for name in ("start_timeout", "reset_timeout", "step_timeout", "close_timeout"):
            if not getattr(self, name) > 0:
                raise UsageError(f"ProcessWorkers cannot wait for {name}={getattr(self, name)}; type seconds above 0.")


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    rows: range


class Processes(Backend):
    """Environments in worker processes, each stepping its share; arrays travel through shared memory.

    Gymnasium's AsyncVectorEnv has one process for each environment, and its constructor and the end of a worker's life
    wait without a limit; hence a pool of our own, with several environments to a process.

    Args:
        factory: makes one environment.
        num_envs: how many.
        config: how many processes, and the deadlines.
    """

    def __init__(self, factory: EnvFactory, num_envs: int, config: ProcessWorkers) -> None:
        self.num_envs, self._config = num_envs, config
        self.layout, self.action_space = _spaces(factory)
        count = min(num_envs, config.count or _cores())
        action = (num_envs, *(self.action_space.shape or ())), np.dtype(self.action_space.dtype)
        plan = [*Buffers.plan(self.layout, num_envs), action, ((count,), np.dtype(np.int64))]
        context = _context(config.start_method)
        memory = context.RawArray(ctypes.c_byte, size_of(plan))
        *arrays, self._actions, self._at = carve(plan, memory)
        self.buffers = Buffers.over(self.layout, arrays)
        self._workers: list[_Worker] = []
        # Also where nobody closes: when this object goes, or the interpreter ends.
        self._end = weakref.finalize(self, _kill, self._workers)
        wrapped = CloudpickleWrapper(factory)
        try:
            for number, rows in enumerate(_shares(num_envs, count)):
                self._at[number] = rows.start
                share = _worker.Share(wrapped, rows, plan, memory, number)
                self._workers.append(_started(context, share))
            self._await("made", config.start_timeout)
        except BaseException:
            self._end()
            raise

    def reset(self, seeds: Sequence[int] | None) -> None:
        """See the base class. Lost workers are not replaced."""
        if not self._workers:
            fix = "Close this GymEnv and make a new one."
            raise EnvFault("reset", "has lost its worker processes in an earlier fault", fix=fix)
        for worker in self._workers:
            chosen = None if seeds is None else [seeds[row] for row in worker.rows]
            _tell(worker, _worker.BEGIN, chosen)
        self._await("reset", self._config.reset_timeout)

    def step(self, actions: np.ndarray) -> None:
        """See the base class."""
        self._actions[...] = actions
        for worker in self._workers:
            _tell(worker, _worker.STEP, None)
        self._await("stepped", self._config.step_timeout)

    def close(self) -> None:
        """See the base class."""
        try:
            for worker in self._workers:
                _tell(worker, _worker.CLOSE, None)
            self._await("closed", self._config.close_timeout)
        finally:
            self._end()

    def _await(self, doing: str, seconds: float) -> None:
        """Wait until every worker has answered.

        Raises:
            EnvFault: the first fault. Where a worker died or is late, the answers of the others could come at any time
                later, and all workers are ended.
        """
        deadline = time.monotonic() + seconds
        told: list[EnvFault] = []
        for number, worker in enumerate(self._workers):
            try:
                if not worker.connection.poll(max(0.0, deadline - time.monotonic())):
                    raise self._late(number, doing, seconds)
                fault = worker.connection.recv()
            except (EOFError, OSError) as error:
                lost = self._lost(number, doing)
                self._end()
                raise lost from error
            except EnvFault:
                self._end()
                raise
            if fault is not None:
                told.append(fault)
        if told:
            raise told[0]

    def _late(self, number: int, doing: str, seconds: float) -> EnvFault:
        worker = self._workers[number]
        problem = f"did not answer within {seconds:g} s, and its worker process (pid {worker.process.pid}) was killed"
        field = {"made": "start", "stepped": "step", "closed": "close"}.get(doing, doing) + "_timeout"
        fix = f"If it may take longer, pass workers=ProcessWorkers({field}=...)."
        return EnvFault(doing, problem, int(self._at[number]), fix)

    def _lost(self, number: int, doing: str) -> EnvFault:
        worker = self._workers[number]
        worker.process.join(1.0)
        code = worker.process.exitcode
        problem = f"died with its worker process (pid {worker.process.pid}, {_how(code)})"
        fix = "Run the environment with workers='sync' to see where its own code fails."
        if code == -signal.SIGKILL:
            fix = "It was killed from outside, as happens when memory runs out; use fewer workers if so."
        elif doing == "made":
            fix = "What it wrote to stderr says why. A script that starts workers needs `if __name__ == '__main__':`."
        return EnvFault(doing, problem, int(self._at[number]), fix)


def _spaces(factory: EnvFactory) -> tuple[Layout, gymnasium.Space[Any]]:
    """What the environments look like: one is made here and closed again, so that its errors come first hand."""
    probe = EnvRows(factory, range(1))
    probe.close()
    return probe.layout, probe.action_space


def _context(start_method: str | None) -> Any:
    method = start_method or ("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        # Imported once in the server instead of once in each worker: a worker starts in milliseconds.
        context.set_forkserver_preload(["__main__", _worker.__name__])
    return context


def _started(context: Any, share: _worker.Share) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_worker.run, args=(theirs, share), name=f"keywork-env-worker-{share.worker}", daemon=True
    )
    try:
        process.start()
    finally:
        theirs.close()  # the only other end is the worker's: when it dies, we read the end of the stream
    return _Worker(process, ours, share.rows)


def _tell(worker: _Worker, command: str, argument: Any) -> None:
    with suppress(OSError):  # a dead worker is found, and named, when its answer is awaited
        worker.connection.send((command, argument))


def _shares(num_envs: int, count: int) -> list[range]:
    bounds = [num_envs * number // count for number in range(count + 1)]
    return [range(low, high) for low, high in itertools.pairwise(bounds)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _how(code: int | None) -> str:
    if code is None:
        return "exit code unknown"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _kill(workers: list[_Worker]) -> None:
    """End the workers, however they are, and give back what was held for them."""
    for worker in workers:
        worker.connection.close()
        worker.process.kill()
    for worker in workers:
        worker.process.join(5.0)
        with suppress(ValueError):  # still there, in a system call that cannot be broken off
            worker.process.close()
    workers.clear()
