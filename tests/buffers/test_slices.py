"""Slices: consecutive steps of one episode of one stream, all of them equally often."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from keywork._errors import MissingKeyError, UsageError
from keywork.buffers import ReplayBuffer, SliceSampler


def batch(time: torch.Tensor, done: torch.Tensor, is_init: torch.Tensor | None = None) -> TensorDict:
    td = TensorDict({"time": time, ("next", "done"): done.unsqueeze(-1)}, time.shape)
    return td if is_init is None else td.set("is_init", is_init.unsqueeze(-1))


@given(
    data=st.data(),
    num_envs=st.integers(1, 3),
    slots=st.integers(1, 15),
    slice_len=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_slices_are_those_of_a_list_of_episodes(
    data: st.DataObject, num_envs: int, slots: int, slice_len: int, sizes: list[int]
) -> None:
    buffer = ReplayBuffer(slots * num_envs, sampler=SliceSampler(slice_len), seed=0)
    history: list[list[tuple[int, bool]]] = [[] for _ in range(num_envs)]
    for size in sizes:
        flags = data.draw(st.lists(st.booleans(), min_size=num_envs * size, max_size=num_envs * size))
        done = torch.tensor(flags).view(num_envs, size)
        begin = len(history[0])
        time = torch.arange(begin, begin + size) + 1000 * torch.arange(num_envs).unsqueeze(-1)
        buffer.extend(batch(time, done))
        for stream, row, flag in zip(history, time.tolist(), done.tolist(), strict=True):
            stream.extend(zip(row, flag, strict=True))
    possible = set()
    for stream in history:
        kept = stream[-slots:]
        for at in range(len(kept) - slice_len + 1):
            piece = kept[at : at + slice_len]
            if not any(done for _, done in piece[:-1]):
                possible.add(tuple(time for time, _ in piece))
    if not possible:
        with pytest.raises(UsageError, match="no episode in the buffer is long enough"):
            buffer.sample(4)
        return
    drawn = {tuple(row) for size in (1, 400) for row in buffer.sample(size)["time"].tolist()}
    assert drawn <= possible
    assert len(drawn) == len(possible)  # at most 45 of them: each is missed with a probability below 0.0002


@pytest.mark.parametrize("every", [4, 50])  # by listing what fits, and by trying
def test_all_slices_are_equally_frequent(every: int) -> None:
    buffer = ReplayBuffer(100, sampler=SliceSampler(4), seed=0)
    time = torch.arange(100)
    buffer.extend(batch(time, time % every == every - 1))
    first = buffer.sample(50_000)["time"][:, 0]
    possible = [t for t in range(97) if t % every <= every - 4]
    observed = torch.bincount(first, minlength=100)[possible].double()
    expected = 50_000 / len(possible)
    assert observed.sum() == 50_000
    degrees = len(possible) - 1
    # The chi-square distribution has mean k and variance 2k: 4 standard deviations above it.
    assert ((observed - expected) ** 2 / expected).sum() < degrees + 4 * (2 * degrees) ** 0.5


def test_a_stream_that_is_begun_anew_counts_as_cut() -> None:
    buffer = ReplayBuffer(100, sampler=SliceSampler(2), seed=0)
    begins = torch.tensor([True, False, True, False])
    buffer.extend(batch(torch.arange(4), torch.zeros(4, dtype=torch.bool), begins))
    assert {tuple(row) for row in buffer.sample(50)["time"].tolist()} == {(0, 1), (2, 3)}


def test_what_is_needed_is_said() -> None:
    with pytest.raises(MissingKeyError, match=r"it reads \('next', 'done'\), which the buffer does not keep"):
        ReplayBuffer(9, sampler=SliceSampler(2)).extend(TensorDict(a=torch.zeros(3), batch_size=[3]))
    with pytest.raises(UsageError, match=r"SliceSampler\(32\)"):
        SliceSampler(0)
    buffer = ReplayBuffer(9, sampler=SliceSampler(3), seed=0)
    buffer.extend(batch(torch.arange(5), torch.tensor([False, True, False, True, False])))
    with pytest.raises(UsageError, match=r"fix: SliceSampler\(2\)"):
        buffer.sample(1)


def test_where_every_episode_is_too_short_it_says_what_to_type() -> None:
    buffer = ReplayBuffer(10, sampler=SliceSampler(4), seed=0)
    buffer.extend(batch(torch.arange(5).unsqueeze(0), torch.tensor([[False, False, True, False, True]])))
    with pytest.raises(UsageError) as raised:
        buffer.sample(2)
    assert str(raised.value) == (
        "SliceSampler cannot draw a slice: no episode in the buffer is long enough.\n"
        "  where: slice_len\n"
        "  expected: an episode with 4 steps in the buffer\n"
        "  got: at most 3\n"
        "  fix: SliceSampler(3), on the command line --slice-len 3; or extend(td) the buffer more before the first "
        "sample()"
    )


def test_a_slice_holds_carried_states_and_beginnings_as_they_were_stored() -> None:
    time = torch.arange(12).view(2, 6)
    td = batch(time, time % 6 == 2, is_init=time % 3 == 0)
    td["recurrent_state"] = time.float().unsqueeze(-1).expand(2, 6, 4) * 10
    buffer = ReplayBuffer(100, sampler=SliceSampler(2), seed=0)
    buffer.extend(td)
    drawn = buffer.sample(60)
    assert drawn.batch_size == (60, 2)
    assert set(drawn["time"][:, 0].tolist()) == {0, 1, 3, 4, 6, 7, 9, 10}
    assert torch.equal(drawn["recurrent_state"], drawn["time"].float().unsqueeze(-1).expand(60, 2, 4) * 10)
    assert torch.equal(drawn["is_init"].squeeze(-1), drawn["time"] % 3 == 0)
