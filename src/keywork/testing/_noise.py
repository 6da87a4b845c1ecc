"""Whether a module draws noise when it is asked to, and otherwise none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch

from keywork.nn import recurrent_mode, set_exploration_type, set_recurrent_mode
from keywork.testing._expect import all_same, expect
from keywork.testing._subject import QUIET, Subject, call, detached, entries_of


def check_noise(subject: Subject) -> None:
    """Call twice under RANDOM: the outputs differ if the module is declared noisy, and agree if not."""
    module, td = subject.make(), entries_of(subject)
    agree = all_same(call(module, td, "random"), call(module, td, "random"))
    if subject.noisy:
        expect(not agree, f"{module.label} is declared noisy, and under RANDOM two calls give the same")
    else:
        expect(agree, f"{module.label} is not declared noisy, and under RANDOM two calls differ: set noisy = True")


def check_deterministic(subject: Subject) -> None:
    """Call twice under each type without noise: the outputs agree bit for bit, and torch's generator is not drawn."""
    module, td = subject.make(), entries_of(subject)
    for kind in QUIET:
        before = torch.get_rng_state()
        first, second = (detached(call(module, td, kind)) for _ in range(2))
        untouched = torch.equal(before, torch.get_rng_state())
        expect(all_same(first, second), f"{module.label} is not repeatable under {kind.upper()}: two calls differ")
        expect(untouched, f"{module.label} draws from torch's global generator under {kind.upper()}")


def check_threads(subject: Subject) -> None:
    """Set another type in another thread: each thread has its own, and one that sets none has none."""
    module, td = subject.make(), entries_of(subject)
    expected = detached(call(module, td))
    with set_exploration_type("random"):
        module(td.copy())
        inside = _in_thread(lambda: detached(call(module, td)))
    expect(
        all_same(inside, expected), f"{module.label} follows the exploration type of another thread instead of its own"
    )
    free = [detached(call(module, td, None)) for _ in range(2)]
    with set_exploration_type("deterministic"):
        module(td.copy())
        unset = [_in_thread(lambda: detached(call(module, td, None))) for _ in range(2)]
    expect(
        all_same(*free) == all_same(*unset),
        f"{module.label} in a thread that sets no exploration type follows the one that another thread has set",
    )


def _in_thread(function: Callable[[], Any]) -> Any:
    results: list[Any] = []
    sequences = recurrent_mode()

    def run() -> None:
        with set_recurrent_mode(sequences):
            results.append(function())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    expect(bool(results), "the call in another thread ended with an error, which is on stderr")
    return results[0]
