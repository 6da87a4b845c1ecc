"""What a worker process runs: its share of the environments, stepped when it is told to."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import numpy as np
import torch

from keywork.envs._buffers import Buffers, Plan, carve
from keywork.envs._fault import EnvFault
from keywork.envs._rows import EnvFactory, EnvRows

BEGIN, STEP, CLOSE = "begin", "step", "close"


class Share(NamedTuple):
    """What a worker is given when it starts.

    Attributes:
        factory: makes one environment; wrapped, so that a lambda survives the way.
        rows: the numbers of the worker's environments.
        plan: the arrays in the shared memory: the buffers', the actions, and where each worker is.
        memory: that memory.
        worker: the worker's number.
    """

    factory: Any
    rows: range
    plan: Plan
    memory: Any
    worker: int


def run(connection: Connection, share: Share) -> None:
    """Serve one request after the other until the other side closes or goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    *arrays, actions, at = carve(share.plan, share.memory)
    mine = slice(share.rows.start, share.rows.stop)
    try:
        factory: EnvFactory = share.factory
        rows = EnvRows(factory, share.rows, at[share.worker : share.worker + 1])
    except EnvFault as fault:
        connection.send(_told(fault))
        return
    buffers = Buffers.over(rows.layout, arrays).rows(mine)
    connection.send(None)
    while True:
        try:
            command, argument = connection.recv()
        except EOFError:
            command, argument = CLOSE, None
        try:
            if command == BEGIN:
                rows.reset(buffers, argument)
            elif command == STEP:
                # A copy, for an environment may keep its action.
                for key, array in rows.step(buffers, np.copy(actions[mine])).items():
                    buffers.next[key][...] = array
            else:
                rows.close()
            reply = None
        except EnvFault as fault:
            reply = _told(fault)
        try:
            connection.send(reply)
        except OSError:  # nobody is there to hear it any more
            return
        if command == CLOSE:
            return


def _told(fault: EnvFault) -> EnvFault:
    """The fault with its traceback as text: the exception object itself may not survive the way."""
    cause = fault.__cause__
    trace = "".join(traceback.format_exception(cause)) if cause else ""
    return EnvFault(fault.doing, fault.problem, fault.index, fault.fix, trace)


def _leave_with_parent() -> None:
    """End this process when the one that started it has gone, also in the middle of a step."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
