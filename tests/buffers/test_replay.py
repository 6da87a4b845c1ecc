"""The buffer as a whole: what goes in comes out, the oldest goes first, and what cannot be stored is refused."""

from __future__ import annotations

import itertools
import re
from collections import deque
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from keywork._errors import MissingKeyError, SpecError, UsageError
from keywork.buffers import PrioritizedSampler, RandomSampler, ReplayBuffer, SamplerWithoutReplacement, SliceSampler
from keywork.specs import Categorical, Composite, Unbounded


def steps(values: torch.Tensor) -> TensorDict:
    """A batch whose entries, of several dtypes and shapes, all follow from one number a step."""
    return TensorDict(
        {
            "observation": torch.stack([values, -values, values + 0.5], -1).float(),
            "pixels": (values % 251).to(torch.uint8).reshape(*values.shape, 1, 1).expand(*values.shape, 2, 3),
            "action": values,
            "half": values.to(torch.bfloat16).unsqueeze(-1),
            ("next", "reward"): values.double().unsqueeze(-1),
            ("next", "done"): (values % 3 == 0).unsqueeze(-1),
            ("next", "deep", "flag"): values % 2 == 0,
        },
        batch_size=values.shape,
    )


def stored(buffer: ReplayBuffer) -> TensorDict:
    return buffer.storage.read(torch.arange(len(buffer)))


@given(
    capacity=st.integers(1, 12),
    num_envs=st.sampled_from([None, 1, 2, 3]),
    sizes=st.lists(st.integers(0, 15), min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_it_holds_what_a_list_of_the_last_steps_holds(capacity: int, num_envs: int | None, sizes: list[int]) -> None:
    capacity *= num_envs or 1
    buffer, streams = ReplayBuffer(capacity), num_envs or 1
    model: list[deque[int]] = [deque(maxlen=capacity // streams) for _ in range(streams)]
    clock = 0
    for size in sizes:
        values = torch.arange(clock, clock + size).repeat(streams, 1) + 1000 * torch.arange(streams).unsqueeze(-1)
        clock += size
        buffer.extend(steps(values[0] if num_envs is None else values))
        for stream, row in zip(model, values.tolist(), strict=True):
            stream.extend(row)
        assert len(buffer) == sum(map(len, model))
    found, expected = stored(buffer), steps(torch.tensor(sorted(itertools.chain(*model)), dtype=torch.int64))
    order = found["action"].argsort()
    for key in expected.keys(True, True):
        assert torch.equal(found[key][order], expected[key]), key


@given(capacity=st.integers(2, 9), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_the_row_after_the_next_slot_is_the_next_step_of_the_same_stream(capacity: int, sizes: list[int]) -> None:
    buffer, clock = ReplayBuffer(capacity * 2), 0
    for size in sizes:
        time = torch.arange(clock, clock + size)
        buffer.extend(steps(torch.stack([time, time + 1000])))
        clock += size
    ring, action = buffer._ring, stored(buffer)["action"].view(-1, 2)
    in_order = action.roll(-ring.oldest, 0) if ring.filled == ring.steps else action
    assert in_order[:, 0].tolist() == list(range(clock - ring.filled, clock))
    assert torch.equal(in_order[:, 1], in_order[:, 0] + 1000)


def test_a_sample_holds_whole_steps_and_memory_of_its_own() -> None:
    buffer = ReplayBuffer(100, seed=0)
    buffer.extend(steps(torch.arange(100)))
    batch = buffer.sample(64)
    assert batch.batch_size == (64,)
    expected = steps(batch["action"].clone())
    assert set(batch.keys(True, True)) == set(expected.keys(True, True))
    for key in expected.keys(True, True):
        assert batch[key].dtype == expected[key].dtype
        assert torch.equal(batch[key], expected[key]), key
    batch["observation"].zero_()
    assert torch.equal(stored(buffer)["observation"], steps(torch.arange(100))["observation"])
    assert torch.equal(batch["next", "reward"], expected["next", "reward"])  # its neighbour in the row


def test_what_was_given_can_be_changed_afterwards_and_carries_no_gradient() -> None:
    values = torch.ones(3, 2, requires_grad=True)
    buffer = ReplayBuffer(10, seed=0)
    buffer.extend(TensorDict({"state": values, "other": values.detach().clone()}, [3]))
    with torch.no_grad():
        values.zero_()
    batch = buffer.sample(5)
    assert not batch["state"].requires_grad
    assert torch.equal(batch["state"], torch.ones(5, 2))


def test_only_the_keys_asked_for_are_kept() -> None:
    buffer = ReplayBuffer(10, keys=["action", "next"], batch_size=4)
    assert buffer.keeps == ("action", "next")
    buffer.extend(steps(torch.arange(3)))
    assert set(buffer.sample().keys(True, True)) == {
        "action", ("next", "reward"), ("next", "done"), ("next", "deep", "flag")
    }  # fmt: skip
    assert ReplayBuffer(10).keeps is None
    everything = ReplayBuffer(10)
    everything.extend(TensorDict(a=torch.zeros(2), b=torch.zeros(2), batch_size=[2]))
    assert everything.keeps == ("a", "b")
    assert everything.writes == ()
    assert ReplayBuffer(10, sampler=PrioritizedSampler()).writes == ("index", "priority_weight")


def test_specs_allocate_what_the_first_batch_would() -> None:
    specs = Composite({"observation": Unbounded((3,)), "action": Categorical(4), ("next", "reward"): Unbounded((1,))})
    buffer = ReplayBuffer(30, seed=0)
    buffer.allocate(specs, num_envs=3)
    # 12 bytes, 8 and 4 are 24 a row, which is a multiple of 8 already.
    assert (buffer.nbytes, len(buffer)) == (30 * 24, 0)
    buffer.extend(specs.rand([3, 5]))
    assert len(buffer) == 15
    with pytest.raises(UsageError, match="allocated already"):
        buffer.allocate(specs)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda td: td.set("action", td["action"].float()), SpecError, "expected: int64[4]\n  got: float32[4]"),
        (lambda td: td.set("observation", td["observation"][..., :2]), SpecError, "expected: float32[4, 3]"),
        (lambda td: td.set("extra", td["action"]), SpecError, "no place for it.\n  where: 'extra'"),
        (lambda td: td.set(("next", "extra"), td["action"]), SpecError, "no place for it.\n  where: ('next', 'extra')"),
        (lambda td: td.rename_key_("action", "acton"), MissingKeyError, "did you mean 'acton'?"),
        (lambda td: td.del_("action"), MissingKeyError, "cannot store 'action', which the TensorDict does not hold"),
        (lambda td: td.del_("next"), MissingKeyError, "cannot store ('next', 'reward')"),
        (lambda td: td.set("action", "up"), SpecError, "cannot store 'action'"),
    ],
)
def test_a_batch_unlike_the_first_is_refused_as_a_whole(change: Any, kind: type[Exception], text: str) -> None:
    buffer = ReplayBuffer(10)
    buffer.extend(steps(torch.arange(4)))
    before = stored(buffer)
    td = steps(torch.arange(4) + 4)
    change(td)
    with pytest.raises(kind, match=re.escape(text)):
        buffer.extend(td)
    assert len(buffer) == 4
    assert (stored(buffer) == before).all()


def test_batches_of_another_number_of_streams_are_refused() -> None:
    buffer = ReplayBuffer(10)
    buffer.extend(steps(torch.arange(4).view(2, 2)))
    for shape in ((4,), (4, 1), (1, 2, 2), ()):
        with pytest.raises(SpecError, match=r"expected: \[2, T\], as before"):
            buffer.extend(steps(torch.zeros(shape, dtype=torch.int64)))
    with pytest.raises(SpecError, match=r"expected: \[num_envs, T\], or \[T\]"):
        ReplayBuffer(10).extend(steps(torch.zeros((), dtype=torch.int64)))
    with pytest.raises(UsageError, match="fix: capacity=3 or more"):
        ReplayBuffer(2).extend(steps(torch.zeros(3, 1, dtype=torch.int64)))


def test_what_cannot_be_asked_is_refused() -> None:
    for bad in (0, -1, 2.5, True):
        with pytest.raises(UsageError, match="capacity="):
            ReplayBuffer(bad)
    with pytest.raises(UsageError, match="nothing to draw from"):
        ReplayBuffer(5).sample(3)
    buffer = ReplayBuffer(5)
    buffer.extend(steps(torch.arange(3)))
    with pytest.raises(UsageError, match=re.escape("type sample(256)")):
        buffer.sample()
    with pytest.raises(UsageError, match="batch_size=0"):
        buffer.sample(0)
    with pytest.raises(UsageError, match="RandomSampler has no priorities"):
        buffer.update_priority(torch.tensor([0]), torch.tensor([1.0]))
    with pytest.raises(UsageError, match="there is no entry to store"):
        ReplayBuffer(5).extend(TensorDict({}, [3]))
    with pytest.raises(SpecError, match="cannot store 'word'"):
        ReplayBuffer(5).extend(TensorDict(word="up", number=torch.zeros(3), batch_size=[3]))
    with pytest.raises(MissingKeyError, match="did you mean 'action'"):
        ReplayBuffer(5, keys=["acton"]).extend(steps(torch.arange(3)))


def test_a_sampler_serves_one_buffer() -> None:
    sampler = RandomSampler()
    ReplayBuffer(5, sampler=sampler).extend(steps(torch.arange(3)))
    with pytest.raises(UsageError, match="Give each buffer its own"):
        ReplayBuffer(5, sampler=sampler).extend(steps(torch.arange(3)))


@pytest.mark.parametrize(
    "make",
    [RandomSampler, PrioritizedSampler, SamplerWithoutReplacement, lambda: SliceSampler(2)],
    ids=["random", "prioritized", "epochs", "slices"],
)
@pytest.mark.parametrize("num_envs", [None, 2])
def test_a_resumed_buffer_goes_on_bit_for_bit(make: Any, num_envs: int | None) -> None:
    def batch(begin: int, count: int) -> TensorDict:
        values = torch.arange(begin, begin + count)
        return steps(values if num_envs is None else torch.stack([values, values + 500]))

    buffer = ReplayBuffer(50, sampler=make(), batch_size=7, seed=3)
    for begin in range(0, 66, 11):  # more than fits
        buffer.extend(batch(begin, 11))
    drawn = buffer.sample()
    if "index" in drawn:
        buffer.update_priority(drawn["index"], torch.rand(7))
    state = buffer.state_dict()
    assert all(isinstance(leaf, torch.Tensor | int | float) for leaf in _leaves(state))

    def go_on(one: ReplayBuffer) -> list[TensorDict]:
        return [one.sample(), one.extend(batch(70, 3)) or one.sample(), one.sample(4)]

    expected = go_on(buffer)
    other = ReplayBuffer(50, sampler=make(), batch_size=7, seed=99)
    other.load_state_dict(state)
    for ours, theirs in zip(go_on(other), expected, strict=True):
        assert set(ours.keys(True, True)) == set(theirs.keys(True, True))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs.keys(True, True))


def _leaves(state: Any) -> list[Any]:
    return [leaf for value in state.values() for leaf in _leaves(value)] if isinstance(state, dict) else [state]


def test_an_empty_buffer_is_saved_and_resumed_too() -> None:
    buffer, other = ReplayBuffer(5, seed=1), ReplayBuffer(5, seed=2)
    other.load_state_dict(buffer.state_dict())
    for one in (buffer, other):
        one.extend(steps(torch.arange(5)))
    assert torch.equal(buffer.sample(9)["action"], other.sample(9)["action"])


def test_a_state_of_another_buffer_is_refused() -> None:
    buffer = ReplayBuffer(5, sampler=PrioritizedSampler())
    buffer.extend(steps(torch.arange(3)))
    state = buffer.state_dict()
    with pytest.raises(UsageError, match=r"expected: an empty ReplayBuffer\(5\)"):
        ReplayBuffer(6).load_state_dict(state)
    with pytest.raises(UsageError, match=r"expected: an empty ReplayBuffer\(5\)"):
        buffer.load_state_dict(state)
    with pytest.raises(UsageError, match="kind of sampler that was saved"):
        ReplayBuffer(5).load_state_dict(state)


def test_the_same_seed_draws_the_same() -> None:
    def drawn(seed: int | None) -> list[int]:
        buffer = ReplayBuffer(1000, seed=seed)
        buffer.extend(steps(torch.arange(1000)))
        return list(buffer.sample(50)["action"].tolist())

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(None) != drawn(None)


@pytest.mark.parametrize("sampler", ["prioritized", PrioritizedSampler])
def test_what_is_no_sampler_is_refused_at_once(sampler: Any) -> None:
    with pytest.raises(UsageError, match=r"which is no sampler: type sampler=PrioritizedSampler\(\), "):
        ReplayBuffer(100, sampler=sampler)
