"""Slices of trajectories: what follows one another in time, for policies that remember."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from keywork._errors import MissingKeyError, UsageError, refusal
from keywork._keys import DONE, IS_INIT, listed, next_key
from keywork.buffers._ring import Ring
from keywork.buffers._sampler import Draw, Sampler
from keywork.buffers._storage import Storage


@final
class SliceSampler(Sampler):
    """Draws slices ``[B, slice_len]`` of consecutive steps of one stream, which never cross the end of an episode.

    Every slice that fits into an episode has the same probability. Episodes that are shorter never come. The buffer has
    to keep ``("next", "done")``; where it keeps ``"is_init"`` too, a stream that was begun anew counts as cut there.

    Args:
        slice_len: how many steps a slice has.

    Raises:
        UsageError: the length is below one.

    >>> from keywork.buffers import ReplayBuffer
    >>> from tensordict import TensorDict
    >>> done = torch.tensor([[False, False, True, False, False]]).unsqueeze(-1)
    >>> steps = TensorDict({"time": torch.arange(5).unsqueeze(0), ("next", "done"): done}, [1, 5])
    >>> buffer = ReplayBuffer(100, sampler=SliceSampler(3), seed=0)
    >>> buffer.extend(steps)
    >>> buffer.sample(2)["time"].tolist()
    [[0, 1, 2], [0, 1, 2]]
    """

    def __init__(self, slice_len: int) -> None:
        if not isinstance(slice_len, int) or slice_len < 1:
            raise UsageError(
                f"SliceSampler got slice_len={slice_len}: give a whole number of at least 1, such as SliceSampler(32)."
            )
        self.slice_len = slice_len

    def begin(self, ring: Ring, storage: Storage) -> None:
        done = storage.flags(_DONE)
        if done is None:
            raise MissingKeyError(
                f"SliceSampler cannot tell episodes apart: it reads {_DONE!r}, which the buffer does not keep.\n"
                f"   the buffer keeps: {listed(storage.keys)}\n"
                f"   Add {_DONE!r} to keys=[...], and store it in every batch."
            )
        super().begin(ring, storage)
        shape = (ring.steps, ring.num_envs)
        self._done, self._is_init = done, storage.flags(IS_INIT)
        self._age = torch.zeros(shape, dtype=torch.int64)  # steps before it in its episode, -1 for a step that is none
        self._following = np.zeros(ring.num_envs, np.int64)  # the age of what comes next

    def added(self, pieces: Sequence[tuple[int, int, int]]) -> None:
        """Find out how far into its episode each new step is."""
        ages = self._age.numpy()  # the same memory: on a few numbers numpy is quicker
        for start, stop, _ in pieces:
            done, begins, valid = (
                self._flags(flags, start, stop) for flags in (self._done, self._is_init, self._valid)
            )
            for t in range(stop - start):
                age = self._following if begins is None else np.where(begins[t], 0, self._following)
                age = age if valid is None else np.where(valid[t], age, -1)
                ages[start + t] = age
                self._following = np.where(done[t], 0, age + 1)

    def _flags(self, flags: Tensor | None, start: int, stop: int) -> Any:
        """``[stop - start, num_envs]`` of what is stored as an array; None where nothing is."""
        if flags is None:
            return None
        num_envs = self.ring.num_envs
        return flags[start * num_envs : stop * num_envs].to("cpu").numpy().reshape(-1, num_envs)

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        ring, before = self.ring, self.slice_len - 1
        # Of ends drawn from all those that have enough steps before them, keep those of one episode.
        ends = self._all_ends(4 * size, generator)
        ends = ends[self._age.flatten()[ends] >= before][:size]
        if ends.numel() < size:
            choice = self._fitting()
            ends = choice[torch.randint(choice.numel(), (size,), generator=generator)]
        time = (ends // ring.num_envs).unsqueeze(1) + torch.arange(-before, 1)
        return Draw(time % ring.steps * ring.num_envs + (ends % ring.num_envs).unsqueeze(1), {})

    def _all_ends(self, count: int, generator: torch.Generator) -> Tensor:
        ring, before = self.ring, self.slice_len - 1
        if ring.filled <= before:
            return torch.empty(0, dtype=torch.int64)
        choice = torch.randint(before * ring.num_envs, ring.rows, (count,), generator=generator)
        return (choice + ring.oldest * ring.num_envs) % (ring.steps * ring.num_envs)

    def _fitting(self) -> Tensor:
        """The last rows of all slices that there are."""
        ring, before = self.ring, self.slice_len - 1
        slots = (torch.arange(before, max(before, ring.filled)) + ring.oldest) % ring.steps
        fits = self._age[slots] >= before
        slot, stream = fits.nonzero(as_tuple=True)
        if not slot.numel():
            longest = min(int(self._age[: ring.filled].max()) + 1, ring.filled)
            raise refusal(
                UsageError,
                "SliceSampler cannot draw a slice: no episode in the buffer is long enough.",
                where="slice_len",
                expected=f"an episode with {self.slice_len} steps in the buffer",
                got=f"at most {longest}",
                fix=f"SliceSampler({longest}), on the command line --slice-len {longest}; or extend(td) the buffer "
                "more before the first sample()",
            )
        return slots[slot] * ring.num_envs + stream

    def state_dict(self) -> dict[str, Any]:
        """How far into its episode each step is."""
        return {"age": self._age[: self.ring.filled].clone(), "following": torch.from_numpy(self._following.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._age[: state["age"].shape[0]] = state["age"]
        self._following = state["following"].to("cpu").clone().numpy()


_DONE = next_key(DONE)
