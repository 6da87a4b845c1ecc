"""Whatever kind of TensorDict a batch is, the same is stored of it, and the same refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import LazyStackedTensorDict, TensorDict

from keywork._errors import MissingKeyError, SpecError
from keywork.buffers import ReplayBuffer


class Own(TensorDict):
    """A class of somebody's own."""


def batch() -> TensorDict:
    following = TensorDict({"b": torch.arange(8).view(2, 4), "reward": torch.arange(8.0).view(2, 4, 1)}, [2, 4])
    return TensorDict({"next": following, "a": torch.arange(24.0).view(2, 4, 3)}, [2, 4])


def lazy(td: TensorDict) -> Any:
    return LazyStackedTensorDict(*[row.clone() for row in td.unbind(0)], stack_dim=0)


def own(td: TensorDict) -> Any:
    return Own({"next": Own({**td["next"]}, td.batch_size), "a": td["a"]}, td.batch_size)


def half(td: TensorDict) -> Any:
    return TensorDict({"next": lazy(td["next"]), "a": td["a"]}, td.batch_size)


def locked(td: TensorDict) -> Any:
    return td.lock_()


@pytest.mark.parametrize("kind", [lazy, own, half, locked])
def test_all_kinds_are_stored_alike(kind: Callable[[TensorDict], Any]) -> None:
    plain, other = ReplayBuffer(100, seed=0), ReplayBuffer(100, seed=0)
    for _ in range(3):
        plain.extend(batch())
        other.extend(kind(batch()))
    assert (plain.sample(50) == other.sample(50)).all()


@pytest.mark.parametrize("kind", [TensorDict.clone, lazy, own, half, locked])
def test_what_is_wrong_with_them_is_refused_alike(kind: Callable[[TensorDict], Any]) -> None:
    buffer = ReplayBuffer(100)
    buffer.extend(batch())
    extra = batch()
    extra["next", "late"] = torch.zeros(2, 4)
    with pytest.raises(SpecError, match=r"cannot store \('next', 'late'\)"):
        buffer.extend(kind(extra))
    with pytest.raises(MissingKeyError, match=r"cannot store \('next', 'b'\)"):
        buffer.extend(kind(batch().set("next", batch()["next"].exclude("b").set("x", torch.zeros(2, 4)))))
    assert len(buffer) == 8


def test_a_tensor_in_the_place_of_a_group_is_refused() -> None:
    buffer = ReplayBuffer(100)
    buffer.extend(batch())
    with pytest.raises(MissingKeyError, match=r"cannot store \('next', 'b'\)"):
        buffer.extend(batch().set("next", torch.zeros(2, 4)))
    with pytest.raises(SpecError):
        buffer.extend(batch().set("a", batch()["next"]))
