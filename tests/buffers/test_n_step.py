"""n-step samples against a loop over lists of steps."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from keywork._errors import MissingKeyError, SpecError, UsageError
from keywork.buffers import (
    Draw,
    PrioritizedSampler,
    RandomSampler,
    ReplayBuffer,
    Sampler,
    SamplerWithoutReplacement,
    SliceSampler,
)

Step = dict[str, Any]


def batch_of(streams: list[list[Step]]) -> TensorDict:
    def column(name: str, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor([[step[name] for step in stream] for stream in streams], dtype=dtype).unsqueeze(-1)

    done = column("done", torch.bool)
    time = column("time", torch.int64).squeeze(-1)
    following = {"observation": column("time", torch.float32) + 0.5, "reward": column("reward", torch.float64)}
    return TensorDict(
        {
            "time": time,
            "observation": column("time", torch.float32),
            "is_init": column("is_init", torch.bool),
            ("collector", "valid"): column("valid", torch.bool),
            "next": {**following, "done": done, "terminated": done, "truncated": torch.zeros_like(done)},
        },
        time.shape,
    )


def by_hand(stream: list[Step], at: int, n: int, gamma: float) -> tuple[float, int, float]:
    """The sum, the last step, and the discount of the sample that begins at one step of a stream."""
    total, last = 0.0, at
    for k in range(n):
        step = stream[at + k]
        if k and (step["is_init"] or not step["valid"]):
            break
        total, last = total + gamma**k * step["reward"], at + k
        if step["done"] or at + k + 1 == len(stream):
            break
    return total, stream[last]["time"], gamma ** (last - at + 1)


@given(
    data=st.data(),
    num_envs=st.integers(1, 3),
    slots=st.integers(1, 9),
    n=st.integers(1, 5),
    gamma=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    share=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_a_sample_is_what_a_loop_over_its_stream_finds(
    data: st.DataObject, num_envs: int, slots: int, n: int, gamma: float, sizes: list[int], share: bool
) -> None:
    buffer = ReplayBuffer(slots * num_envs, seed=0, n_step=n, gamma=gamma)
    buffer = buffer.share_next() if share else buffer
    seed = data.draw(st.integers(0, 10**6))
    flip = torch.Generator().manual_seed(seed)

    def is_so(chance: float) -> bool:
        return bool(torch.rand((), generator=flip) < chance)

    streams: list[list[Step]] = [[] for _ in range(num_envs)]
    for size in sizes:
        new = [
            [
                {
                    "time": 1000 * stream + len(streams[stream]) + t,
                    "reward": float(torch.randn((), generator=flip)),
                    "done": is_so(0.2),
                    "is_init": is_so(0.1),
                    "valid": not is_so(0.15),
                }
                for t in range(size)
            ]
            for stream in range(num_envs)
        ]
        for stream, steps in zip(streams, new, strict=True):
            stream.extend(steps)
        buffer.extend(batch_of(new))
    kept = [stream[-slots:] for stream in streams]
    possible = {
        step["time"]: by_hand(stream, at, n, gamma)
        for stream in kept
        for at, step in enumerate(stream)
        if step["valid"]
    }
    if not possible:
        with pytest.raises(UsageError, match="nothing to draw from"):
            buffer.sample(1)
        return
    batch = buffer.sample(400)
    assert set(batch["time"].tolist()) == set(possible)  # at most 27: each is missed with a probability below 1e-6
    expected = [possible[time] for time in batch["time"].tolist()]
    total, last, discount = (torch.tensor(column, dtype=torch.float64) for column in zip(*expected, strict=True))
    torch.testing.assert_close(batch["next", "reward"], total.unsqueeze(-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(batch["discount"], discount.unsqueeze(-1), rtol=1e-12, atol=0.0)
    assert torch.equal(batch["next", "observation"].squeeze(-1), last.float() + 0.5)
    assert torch.equal(batch["observation"].squeeze(-1), batch["time"].float())


def stream_of(count: int, done: tuple[int, ...] = ()) -> TensorDict:
    steps = [{"time": t, "reward": 10.0**t, "done": t in done, "is_init": False, "valid": True} for t in range(count)]
    return batch_of([steps])


def test_sums_by_hand_with_every_sampler_of_steps() -> None:
    for sampler in (RandomSampler(), PrioritizedSampler(), SamplerWithoutReplacement()):
        buffer = ReplayBuffer(100, sampler=sampler, seed=0, n_step=3, gamma=0.5)
        assert buffer.writes[-1] == "discount"
        buffer.extend(stream_of(6, done=(2,)))
        batch = torch.cat([buffer.sample(6) for _ in range(20)])
        found = dict(zip(batch["time"].tolist(), batch["next", "reward"].squeeze(-1).tolist(), strict=True))
        # 1 + 0.5 * 10 + 0.25 * 100 = 31, then 10 + 50 = 60 and 100: the episode ends with step 2.
        # 1,000 + 5,000 + 25,000 = 31,000, then 10,000 + 50,000 and 100,000: there is no step 6 yet.
        assert found == {0: 31.0, 1: 60.0, 2: 100.0, 3: 31_000.0, 4: 60_000.0, 5: 100_000.0}
        discount = dict(zip(batch["time"].tolist(), batch["discount"].squeeze(-1).tolist(), strict=True))
        assert discount == {0: 0.125, 1: 0.25, 2: 0.5, 3: 0.125, 4: 0.25, 5: 0.5}
        done = dict(zip(batch["time"].tolist(), batch["next", "done"].squeeze(-1).tolist(), strict=True))
        assert done == {0: True, 1: True, 2: True, 3: False, 4: False, 5: False}


def test_one_step_is_a_plain_sample_and_a_discount() -> None:
    plain, one = ReplayBuffer(50, seed=3), ReplayBuffer(50, seed=3, n_step=1, gamma=0.9)
    for buffer in (plain, one):
        buffer.extend(stream_of(70, done=(7, 30)))
    expected, batch = plain.sample(99), one.sample(99)
    assert set(batch.keys(True, True)) == {*expected.keys(True, True), "discount"}
    assert all(torch.equal(batch[key], expected[key]) for key in expected.keys(True, True))
    assert torch.equal(batch["discount"], torch.full((99, 1), 0.9, dtype=torch.float64))


def test_what_is_beyond_the_end_of_an_episode_may_be_no_number() -> None:
    buffer = ReplayBuffer(10, seed=0, n_step=3, gamma=0.9)
    td = stream_of(4, done=(1,))
    td["next", "reward"][0, 2:] = torch.nan
    buffer.extend(td)
    batch = buffer.sample(100)
    assert torch.equal(batch["next", "reward"].isnan().squeeze(-1), batch["time"] >= 2)


def test_rewards_may_be_several_or_short_numbers() -> None:
    following = {"reward": torch.ones(4, 2, dtype=torch.bfloat16), "done": torch.zeros(4, 1, dtype=torch.bool)}
    buffer = ReplayBuffer(9, seed=0, n_step=2, gamma=0.5)
    buffer.extend(TensorDict({"time": torch.arange(4), "next": following}, [4]))
    batch = buffer.sample(50)
    assert batch["next", "reward"].dtype == torch.bfloat16
    expected = torch.where(batch["time"] < 3, 1.5, 1.0).to(torch.bfloat16)
    assert torch.equal(batch["next", "reward"], expected.unsqueeze(-1).expand(50, 2))


@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_resumed_buffer_knows_where_sums_end(num_envs: int) -> None:
    def batch(begin: int) -> TensorDict:
        steps = [{"time": t, "reward": t, "done": t % 7 == 0, "is_init": False, "valid": t % 5 > 0} for t in range(99)]
        return batch_of([steps[begin + e : begin + e + 8] for e in range(num_envs)])

    for fill in (1, 2, 5):  # not full, wrapped once, wrapped several times
        buffer, other = (ReplayBuffer(12 * num_envs, seed=seed, n_step=3, gamma=0.9) for seed in (1, 2))
        for k in range(fill):
            buffer.extend(batch(8 * k))
        other.load_state_dict(buffer.state_dict())
        for one in (buffer, other):
            one.extend(batch(60)[:, :3])
        ours, theirs = buffer.sample(200), other.sample(200)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours.keys(True, True))


def test_what_cannot_be_asked_is_refused() -> None:
    for options in ({"n_step": 3}, {"gamma": 0.9}, {"n_step": 0, "gamma": 0.9}, {"n_step": 2, "gamma": 1.5}):
        with pytest.raises(UsageError, match=re.escape("fix: ReplayBuffer(..., n_step=3, gamma=0.99)")):
            ReplayBuffer(10, **options)
    with pytest.raises(UsageError, match="n-step samples of slices: a slice holds each of its steps"):
        ReplayBuffer(10, sampler=SliceSampler(2), n_step=3, gamma=0.9)
    td = stream_of(3)
    for key in (("next", "reward"), ("next", "done")):
        buffer = ReplayBuffer(10, n_step=3, gamma=0.9)
        with pytest.raises(MissingKeyError, match=re.escape(f"Add {key!r} to keys=[...]")):
            buffer.extend(td.clone().del_(key))
        assert len(buffer) == 0
    with pytest.raises(SpecError, match=r"the rewards are torch\.int64"):
        ReplayBuffer(10, n_step=3, gamma=0.9).extend(td.set(("next", "reward"), td["time"].unsqueeze(-1)))


class Pairs(Sampler):
    """Draws slices, and is no SliceSampler."""

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        return Draw(torch.zeros(size, 2, dtype=torch.int64), {})


def test_slices_of_another_sampler_are_refused_when_they_are_drawn() -> None:
    buffer = ReplayBuffer(10, sampler=Pairs(), n_step=2, gamma=0.9)
    buffer.extend(stream_of(3))
    with pytest.raises(UsageError, match=r"n-step samples of rows \[4, 2\]"):
        buffer.sample(4)
