"""What follows a step is stored once, and samples are those of a buffer that stores it twice."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from keywork._errors import UsageError
from keywork.buffers import PrioritizedSampler, RandomSampler, ReplayBuffer, SamplerWithoutReplacement, SliceSampler


def rollout(generator: torch.Generator, first: torch.Tensor, time: int, resets: float) -> TensorDict:
    """Steps ``[num_envs, T]`` that begin at the observation ``first`` [num_envs, 2], and lead to ``td["last"]``."""
    num_envs, columns, now = len(first), [], first
    for _ in range(time):
        after = torch.randn(num_envs, 2, generator=generator)
        after[:, 1] = after[:, 1].masked_fill(after[:, 0] > 1.0, torch.nan)
        done = torch.rand(num_envs, 1, generator=generator) < resets
        begun = torch.where(done, torch.randn(num_envs, 2, generator=generator), after)
        state = {"observation": now, "deep": {"h": now[:, 0].double()}, "done": torch.zeros_like(done)}
        following = {"observation": after, "deep": {"h": after[:, 0].double()}, "done": done}
        columns.append(TensorDict({**state, "next": {**following, "reward": now[:, :1] * 2}}, [num_envs]))
        now = begun
    td = torch.stack(columns, 1)
    assert isinstance(td, TensorDict)
    td["last"] = now.unsqueeze(1).expand(num_envs, time, 2)
    return td


def assert_same(ours: TensorDict, theirs: TensorDict) -> None:
    assert set(ours.keys(True, True)) == set(theirs.keys(True, True))
    for key in theirs.keys(True, True):
        mine, other = ours[key].contiguous(), theirs[key].contiguous()
        assert mine.dtype == other.dtype
        assert torch.equal(mine.view(torch.uint8), other.view(torch.uint8)), key


MAKE: list[Any] = [RandomSampler, PrioritizedSampler, SamplerWithoutReplacement, lambda: SliceSampler(1)]


@given(
    seed=st.integers(0, 10**6),
    make=st.sampled_from(MAKE),
    num_envs=st.sampled_from([None, 1, 3]),
    slots=st.integers(1, 9),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    resets=st.sampled_from([0.0, 0.2, 1.0]),
    begun_anew=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_samples_are_the_same_to_the_last_bit(
    seed: int, make: Any, num_envs: int | None, slots: int, sizes: list[int], resets: float, begun_anew: bool
) -> None:
    generator, streams = torch.Generator().manual_seed(seed), num_envs or 1
    plain = ReplayBuffer(slots * streams, sampler=make(), seed=1)
    shared = ReplayBuffer(slots * streams, sampler=make(), seed=1).share_next()
    first = torch.zeros(streams, 2)
    for size in sizes:
        if size == 0:
            batch = rollout(generator, first, 1, resets)[:, :0]
        else:
            batch = rollout(generator, first, size, resets)
            first = batch["last"][:, -1] if not begun_anew else torch.randn(streams, 2, generator=generator)
        for buffer in (plain, shared):
            buffer.extend(batch if num_envs else batch[0])
    if not len(plain):
        return
    assert_same(shared.sample(len(plain)), plain.sample(len(plain)))
    resumed = ReplayBuffer(slots * streams, sampler=make(), seed=2).share_next()
    resumed.load_state_dict(shared.state_dict())
    more = rollout(generator, first, 3, resets)
    for buffer in (plain, resumed):
        buffer.extend(more if num_envs else more[0])
    assert_same(resumed.sample(len(plain)), plain.sample(len(plain)))
    assert_same(resumed.sample(len(plain)), plain.sample(len(plain)))


def test_slices_hold_what_follows_each_step() -> None:
    generator = torch.Generator().manual_seed(0)
    plain = ReplayBuffer(60, sampler=SliceSampler(4), seed=1)
    shared = ReplayBuffer(60, sampler=SliceSampler(4), seed=1).share_next()
    batch = rollout(generator, torch.zeros(2, 2), 50, 0.1)
    for buffer in (plain, shared):
        buffer.extend(batch)
    assert_same(shared.sample(99), plain.sample(99))


def test_images_take_half_the_memory_and_only_ends_are_kept_beside() -> None:
    frames = torch.randint(0, 256, (1, 201, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    done = torch.zeros(1, 200, 1, dtype=torch.bool)
    after = frames[:, 1:].clone()
    for t in (49, 120):
        done[0, t], after[0, t] = True, 7
    td = TensorDict({"pixels": frames[:, :-1], "next": {"pixels": after, "done": done}}, [1, 200])
    plain, shared = ReplayBuffer(1000, seed=0), ReplayBuffer(1000, seed=0).share_next()
    plain.extend(td)
    for t in range(0, 200, 8):
        shared.extend(td[:, t : t + 8])
    # A row of two images has 8,192 bytes and a flag; beside lie 64 rows of one image.
    assert plain.nbytes == 1000 * 8200
    assert shared.nbytes == 1000 * (4096 + 8 + 4) + 64 * 4096
    assert shared.state_dict()["beside"]["row"].tolist() == [49, 120, 199]
    assert_same(shared.sample(500), plain.sample(500))


def test_what_is_kept_beside_grows_when_nothing_follows_from_the_next_step() -> None:
    numbers = torch.arange(1000.0).view(1, 500, 2)
    td = TensorDict({"x": numbers, "next": {"x": -numbers, "done": torch.ones(1, 500, 1, dtype=torch.bool)}}, [1, 500])
    plain, shared = ReplayBuffer(300, seed=0), ReplayBuffer(300, seed=0).share_next()
    for buffer in (plain, shared):
        for part in td.split(70, 1):
            buffer.extend(part)
    assert_same(shared.sample(500), plain.sample(500))
    assert shared.nbytes == 300 * (8 + 8 + 4) + 300 * 8  # as many rows beside as there are rows, and never more


def test_what_cannot_be_shared_is_refused() -> None:
    td = TensorDict({"x": torch.zeros(3, 2), "done": torch.zeros(3, 1, dtype=torch.bool)}, [3])
    td["next"] = {"x": torch.zeros(3, 2, dtype=torch.float64), "done": td["done"]}
    with pytest.raises(UsageError, match=re.escape("has nothing to share")):
        ReplayBuffer(9).share_next().extend(td)
    buffer, shared = ReplayBuffer(9), ReplayBuffer(9).share_next()
    td["next", "x"] = torch.zeros(3, 2)
    buffer.extend(td)
    shared.extend(td)
    with pytest.raises(UsageError, match=re.escape("share_next() before the first extend(td)")):
        buffer.share_next()
    with pytest.raises(UsageError, match=re.escape("expected: an empty ReplayBuffer(9).share_next()")):
        ReplayBuffer(9).load_state_dict(shared.state_dict())
    with pytest.raises(UsageError, match=re.escape("fix: ReplayBuffer(9, ...) with the arguments")):
        ReplayBuffer(9).share_next().load_state_dict(buffer.state_dict())


def test_the_same_bits_count_not_the_same_value() -> None:
    after, begins = torch.tensor([0.0, torch.nan, 3.0, 4.0]), torch.tensor([9.0, -0.0, torch.nan, 3.0])
    td = TensorDict({"x": begins.view(4, 1), "next": {"x": after.view(4, 1), "reward": torch.zeros(4, 1)}}, [4])
    plain, shared = ReplayBuffer(9, seed=0), ReplayBuffer(9, seed=0).share_next()
    for buffer in (plain, shared):
        buffer.extend(td)
    # After step 0 comes 0.0, and step 1 begins with -0.0; step 3 is the newest. A NaN is the same as itself.
    assert shared.state_dict()["beside"]["row"].tolist() == [0, 3]
    assert_same(shared.sample(50), plain.sample(50))
