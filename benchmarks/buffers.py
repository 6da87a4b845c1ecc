"""What storing and drawing experience costs beside packed rows by hand, and beside the peers that are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from _timing import Result, interleave, table
from tensordict import TensorDict
from torch import Tensor

from keywork.buffers import PrioritizedSampler, ReplayBuffer, SliceSampler

CAPACITY, OBSERVATION, ACTION, BATCH, NUM_ENVS, SLICE = 1_000_000, 17, 6, 256, 8, 16
FLOATS = 2 * OBSERVATION + ACTION + 1
ROW = 4 * FLOATS + 4  # bytes: the flags done, terminated and truncated, and one to the next multiple of four
GOALS = {"extend": 12.0, "sample": 35.0, "prioritised": 250.0}  # µs
Calls = dict[str, Callable[[], object]]


def buffers(*, quick: bool) -> Iterator[str]:
    """Full buffers, in turns; each contestant draws its own rows."""
    rounds = 10 if quick else 60
    ours, prioritised, rows = _filled(None), _filled(PrioritizedSampler()), _ByHand()
    batch, priority = _steps(NUM_ENVS, 1), torch.rand(BATCH)
    extends: Calls = {"packed rows by hand": rows.extend, "keywork": lambda: ours.extend(batch)}
    samples: Calls = {"packed rows by hand": rows.sample, "keywork": lambda: ours.sample(BATCH)}
    updates: Calls = {"packed rows by hand, uniform": rows.sample, "keywork": _update(prioritised, priority)}
    if find_spec("stable_baselines3"):
        peer = _stable_baselines3()
        extends["stable-baselines3"], samples["stable-baselines3"] = peer
    if find_spec("torchrl"):
        extends["torchrl LazyTensorStorage"], samples["torchrl LazyTensorStorage"] = _torchrl()
    slices, far = _filled(SliceSampler(SLICE)), _filled(None, n_step=3, gamma=0.99)
    extends["keywork, slices"], extends["keywork, 3 steps"] = (
        (lambda: slices.extend(batch)),
        (lambda: far.extend(batch)),
    )
    samples["keywork, 3 steps"] = lambda: far.sample(BATCH)
    samples[f"keywork, {BATCH // SLICE} slices of {SLICE}"] = lambda: slices.sample(BATCH // SLICE)
    setting = f"capacity {CAPACITY:,}, full, observation {OBSERVATION}, action {ACTION}"
    yield _table(f"Extend by one step of {NUM_ENVS} environments: {setting}", "extend", extends, rounds)
    yield _table(f"Sample {BATCH}: {setting}", "sample", samples, rounds)
    yield _table(f"Prioritised: sample {BATCH} and update their priorities: {setting}", "prioritised", updates, rounds)


def _table(title: str, goal: str, calls: Calls, rounds: int) -> str:
    measured = interleave(calls, rounds=rounds)
    lines = [[name, f"{result.seconds * 1e6:.1f}", _ratio(result)] for name, result in measured.items()]
    mine, limit = measured["keywork"].seconds * 1e6, GOALS[goal]
    lines.append([f"goal {limit:g} µs", "met" if mine <= limit else f"**missed: {mine:.1f} µs**", ""])
    return table(title, ["who", "µs", "ratio (quartiles)"], lines)


def _ratio(result: Result) -> str:
    return f"{result.ratio:.2f}x ({result.low:.2f}-{result.high:.2f})"


def _steps(*batch_size: int) -> TensorDict:
    def numbers(size: int) -> Tensor:
        return torch.rand(*batch_size, size)

    flags = {name: torch.zeros(*batch_size, 1, dtype=torch.bool) for name in ("done", "terminated", "truncated")}
    following = {"observation": numbers(OBSERVATION), "reward": numbers(1), **flags}
    return TensorDict({"observation": numbers(OBSERVATION), "action": numbers(ACTION), "next": following}, batch_size)


def _filled(sampler: Any, **options: Any) -> ReplayBuffer:
    buffer = ReplayBuffer(CAPACITY, sampler=sampler, seed=0, **options)
    for _ in range(5):
        buffer.extend(_steps(NUM_ENVS, CAPACITY // NUM_ENVS // 5))
    return buffer


def _update(buffer: ReplayBuffer, priority: Tensor) -> Callable[[], object]:
    def update() -> None:
        buffer.update_priority(buffer.sample(BATCH)["index"], priority)

    return update


class _ByHand:
    """One row of bytes a step; what comes out are tensors in a dict, without any check."""

    def __init__(self) -> None:
        self.rows = torch.empty(CAPACITY, ROW, dtype=torch.uint8)
        self.rows.fill_(1)
        self.numbers = self.rows.view(torch.float32).numpy()
        self.flags = self.rows.view(torch.bool).numpy()
        self.at, self.generator = 0, torch.Generator().manual_seed(0)
        sizes = (OBSERVATION, ACTION, OBSERVATION, 1)
        self.given = [np.random.default_rng(0).random((NUM_ENVS, size), np.float32) for size in sizes]
        self.given_flags = np.zeros((NUM_ENVS, 3), np.bool_)

    def extend(self) -> None:
        rows, begin = slice(self.at, self.at + NUM_ENVS), 0
        for given in self.given:
            self.numbers[rows, begin : begin + given.shape[1]] = given
            begin += given.shape[1]
        self.flags[rows, 4 * FLOATS : 4 * FLOATS + 3] = self.given_flags
        self.at = (self.at + NUM_ENVS) % CAPACITY

    def sample(self) -> dict[str, Tensor]:
        index = torch.randint(CAPACITY, (BATCH,), generator=self.generator)
        rows = self.rows.index_select(0, index)
        numbers = rows.view(torch.float32).split_with_sizes((OBSERVATION, ACTION, OBSERVATION, 1, 1), 1)
        flags = rows.view(torch.bool)[:, 4 * FLOATS :].split(1, 1)
        names = ("observation", "action", "next_observation", "reward", "_", "done", "terminated", "truncated")
        return dict(zip(names, (*numbers, *flags), strict=False))


def _stable_baselines3() -> tuple[Callable[[], object], Callable[[], object]]:
    from gymnasium.spaces import Box
    from stable_baselines3.common.buffers import ReplayBuffer as Peer

    spaces = [Box(-1.0, 1.0, (size,), np.float32) for size in (OBSERVATION, ACTION)]
    peer = Peer(CAPACITY, *spaces, device="cpu", n_envs=NUM_ENVS)
    observation, action = (np.zeros((NUM_ENVS, size), np.float32) for size in (OBSERVATION, ACTION))
    reward, done, infos = np.zeros(NUM_ENVS, np.float32), np.zeros(NUM_ENVS, np.bool_), [{}] * NUM_ENVS
    for _ in range(CAPACITY // NUM_ENVS):
        peer.add(observation, observation, action, reward, done, infos)
    return (lambda: peer.add(observation, observation, action, reward, done, infos), lambda: peer.sample(BATCH))


def _torchrl() -> tuple[Callable[[], object], Callable[[], object]]:
    from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

    peer = TensorDictReplayBuffer(storage=LazyTensorStorage(CAPACITY), batch_size=BATCH)
    for _ in range(5):
        peer.extend(_steps(CAPACITY // 5))
    batch = _steps(NUM_ENVS)
    return lambda: peer.extend(batch), peer.sample
