"""Steps that are none, where ("collector", "valid") is False, are stored and never drawn."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from keywork._errors import SpecError, UsageError
from keywork.buffers import PrioritizedSampler, RandomSampler, ReplayBuffer, SamplerWithoutReplacement, SliceSampler

STEPS: list[Any] = [RandomSampler, PrioritizedSampler, SamplerWithoutReplacement]


def batch(begin: int, valid: list[bool]) -> TensorDict:
    time = torch.arange(begin, begin + len(valid))
    flags = torch.tensor(valid).unsqueeze(-1)
    following = {"done": torch.zeros_like(flags), "reward": time.float().unsqueeze(-1)}
    return TensorDict({"time": time, "collector": {"valid": flags}, "next": following}, [len(valid)])


@pytest.mark.parametrize("make", STEPS)
def test_all_others_are_drawn_and_they_never_are(make: Any) -> None:
    buffer = ReplayBuffer(8, sampler=make(), seed=0)
    for begin in (0, 6):  # of the steps 0 to 11, 4 to 11 are still there
        buffer.extend(batch(begin, [True, False, True, True, False, True]))
    possible = {5, 6, 8, 9, 11}
    drawn = [int(time) for _ in range(60) for time in buffer.sample(5)["time"]]
    assert set(drawn) == possible
    if make is not PrioritizedSampler:  # 300 draws, 60 each expected: 4 degrees of freedom, 18.5 once in 1,000 times
        counts = torch.tensor([drawn.count(time) for time in possible]).double()
        assert ((counts - 60) ** 2 / 60).sum() < 18.5


def test_equally_often_where_they_are_few_and_have_to_be_listed() -> None:
    buffer = ReplayBuffer(10_000, seed=0)
    buffer.extend(batch(0, [t % 1000 == 7 for t in range(10_000)]))
    counts = torch.bincount(buffer.sample(10_000)["time"] // 1000).double()
    # 9 degrees of freedom: 27.9 is exceeded once in 1,000 times.
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.9
    assert set((buffer.sample(100)["time"] % 1000).tolist()) == {7}


def test_a_priority_does_not_bring_one_back() -> None:
    buffer = ReplayBuffer(4, sampler=PrioritizedSampler(alpha=1.0), seed=0)
    buffer.extend(batch(0, [True, True, True, True]))
    index = buffer.sample(50)["index"]
    buffer.extend(batch(4, [False, True]))  # between drawing and learning row 0 was written over
    buffer.update_priority(index, torch.full((50,), 100.0))
    assert set(buffer.sample(300)["time"].tolist()) == {2, 3, 5}
    other = ReplayBuffer(4, sampler=PrioritizedSampler(alpha=1.0), seed=0)
    other.load_state_dict(buffer.state_dict())
    assert torch.equal(other.sample(50)["time"], buffer.sample(50)["time"])


def test_slices_do_not_contain_them() -> None:
    buffer = ReplayBuffer(20, sampler=SliceSampler(2), seed=0)
    buffer.extend(batch(0, [True, True, False, True, False, False, True, True, True]))
    assert {tuple(row) for row in buffer.sample(99)["time"].tolist()} == {(0, 1), (6, 7), (7, 8)}
    single = ReplayBuffer(20, sampler=SliceSampler(1), seed=0)
    single.extend(batch(0, [True, False, True]))
    assert set(single.sample(99)["time"].flatten().tolist()) == {0, 2}


@pytest.mark.parametrize("make", STEPS)
def test_a_buffer_without_any_other_says_so(make: Any) -> None:
    buffer = ReplayBuffer(8, sampler=make(), seed=0)
    buffer.extend(batch(0, [False, False]))
    with pytest.raises(UsageError, match=re.escape("of the 2 steps in the buffer none is one of an episode")):
        buffer.sample(1)
    buffer.extend(batch(2, [True]))
    assert buffer.sample(1)["time"].tolist() == [2]


def test_more_than_there_is_of_the_others_is_refused() -> None:
    buffer = ReplayBuffer(8, sampler=SamplerWithoutReplacement(), seed=0)
    buffer.extend(batch(0, [True, False, True]))
    with pytest.raises(UsageError, match="Type batch_size=2 or less"):
        buffer.sample(3)


def test_which_they_are_is_kept_whatever_else_is() -> None:
    buffer = ReplayBuffer(8, keys=["time"], seed=0)
    buffer.extend(batch(0, [True, False, True]))
    assert set(buffer.sample(50)["time"].tolist()) == {0, 2}
    late = ReplayBuffer(8, keys=["time"], seed=0)
    late.extend(batch(0, [True, True]).exclude("collector"))
    with pytest.raises(SpecError, match=re.escape("cannot store ('collector', 'valid'): its rows have no place")):
        late.extend(batch(2, [True, False]))
    assert len(late) == 2


def test_it_has_to_be_one_boolean_a_step() -> None:
    td = batch(0, [True, False]).set(("collector", "valid"), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(SpecError, match=re.escape("reads ('collector', 'valid') as one boolean for each step")):
        ReplayBuffer(8).extend(td)
