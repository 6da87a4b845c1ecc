"""n-step samples: made of the steps that follow a row when it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from keywork._errors import MissingKeyError, SpecError, UsageError, refusal
from keywork._keys import DISCOUNT, DONE, IS_INIT, REWARD, VALID, Key, listed, next_key
from keywork.buffers._ring import Ring
from keywork.buffers._storage import Storage


class NStep:
    """R = Σₖ₍ₖ<ₘ₎ γᵏ rₜ₊ₖ,  discount = γᵐ   (Sutton & Barto 2018, 7.1): m <= n steps of one episode.

    m is less than n where the episode ended, where the stream was begun anew, before a step that is none, and at the
    newest step of the stream.

    Args:
        n: how many rewards are summed at most, at least one.
        gamma: the discount γ in [0, 1].

    Raises:
        UsageError: a number is out of range.

    >>> from keywork.buffers import ReplayBuffer
    >>> from tensordict import TensorDict
    >>> following = {"reward": torch.tensor([[1.0], [10.0], [100.0]]), "done": torch.tensor([[False], [True], [False]])}
    >>> buffer = ReplayBuffer(100, n_step=3, gamma=0.5, seed=0)
    >>> buffer.extend(TensorDict({"time": torch.arange(3), "next": following}, [3]))
    >>> batch = buffer.sample(50)
    >>> columns = batch["time"], batch["next", "reward"], batch["discount"]
    >>> sorted({tuple(map(float, row)) for row in zip(*columns)})
    [(0.0, 6.0, 0.25), (1.0, 10.0, 0.5), (2.0, 100.0, 0.5)]
    """

    def __init__(self, n: Any, gamma: Any) -> None:
        whole = isinstance(n, int) and not isinstance(n, bool) and n >= 1
        if not whole or not isinstance(gamma, int | float) or not 0.0 <= gamma <= 1.0:
            raise refusal(
                UsageError,
                "ReplayBuffer cannot make n-step samples.",
                where="n_step" if not whole else "gamma",
                expected="a whole number of steps of at least 1, and a discount from 0 to 1",
                got=f"n_step={n!r}, gamma={gamma!r}",
                fix="ReplayBuffer(..., n_step=3, gamma=0.99)",
            )
        self.n, self.gamma = n, float(gamma)

    def begin(self, ring: Ring, storage: Storage) -> None:
        """The buffer's memory has just been allocated.

        Raises:
            MissingKeyError: rewards, or ends of episodes, are not stored.
            SpecError: rewards are no floating-point numbers.
        """
        missing = [key for key in (_REWARD, _DONE) if key not in storage.keys]
        if missing:
            raise MissingKeyError(
                f"ReplayBuffer cannot make n-step samples: it reads {missing[0]!r}, which it does not keep.\n"
                f"   the buffer keeps: {listed(storage.keys)}\n"
                f"   Add {missing[0]!r} to keys=[...], and store it in every batch."
            )
        rewards, done = storage.entries()[_REWARD], storage.flags(_DONE)
        if not rewards.is_floating_point() or done is None:
            raise SpecError(
                f"ReplayBuffer cannot make n-step samples: the rewards are {rewards.dtype}, and their sum needs "
                "floating-point numbers. Store td['next', 'reward'].float()."
            )
        rows = ring.steps * ring.num_envs
        self._ring, self._dtype, self._shape = ring, rewards.dtype, rewards.shape[len(storage.lead) :]
        self._stored, self._done = rewards.view(rows, -1), done
        self._is_init, self._valid = storage.flags(IS_INIT), storage.flags(VALID)
        # What sums are made of lies side by side: in the rows themselves each step would be a jump in memory.
        self._number = torch.float64 if rewards.dtype == torch.float64 else torch.float32
        self._rewards: Any = torch.zeros(rows, self._stored.shape[1], dtype=self._number).numpy()
        self._last = np.ones(rows, np.bool_)  # whether a sum that comes to this step ends with it
        self._ahead = np.arange(self.n) * ring.num_envs
        self._powers = (self.gamma ** np.arange(self.n + 1)).astype(self._rewards.dtype)

    def added(self, pieces: Sequence[tuple[int, int, int]]) -> None:
        """Steps have been written to these slots, in the order of time."""
        steps, num_envs = self._ring.steps, self._ring.num_envs
        for start, stop, _ in pieces:
            rows, shape = slice(start * num_envs, stop * num_envs), (stop - start, num_envs)
            self._rewards[rows] = _array(self._stored[rows].to(self._number))
            begins = np.zeros(shape, np.bool_)  # what is no step after the one before it
            if self._is_init is not None:
                begins |= _array(self._is_init[rows]).reshape(shape)
            if self._valid is not None:
                begins |= ~_array(self._valid[rows]).reshape(shape)
            before = (start - 1) % steps
            last = self._last.reshape(steps, num_envs)
            last[before] = _array(self._done[before * num_envs : (before + 1) * num_envs]) | begins[0]
            last[start:stop] = _array(self._done[rows]).reshape(shape)
            last[start : stop - 1] |= begins[1:]
            last[stop - 1] = True  # the newest, until the next one comes

    def of(self, rows: Tensor) -> tuple[Tensor, dict[Key, Tensor]]:
        """The last of the steps that count for each row ``[B]``, and ``("next", "reward")`` and ``"discount"``."""
        if rows.ndim != 1:
            raise UsageError(
                f"ReplayBuffer cannot make n-step samples of rows {[*rows.shape]}: its sampler draws slices, which "
                "hold each step as it was stored. Leave out n_step and gamma, or type sampler=RandomSampler()."
            )
        at = (rows.numpy()[:, None] + self._ahead) % self._last.size
        ends = self._last.take(at)
        ends[:, -1] = True
        more = ends.argmax(1)  # the first end
        counts = self._ahead <= (more * self._ring.num_envs)[:, None]
        rewards = np.where(counts[:, :, None], self._rewards.take(at, 0), 0)  # what is beyond may be anything, or NaN
        reward = torch.from_numpy(np.einsum("bnr,n->br", rewards, self._powers[:-1]))
        discount = torch.from_numpy(self._powers.take(more + 1)[:, None])
        last = torch.from_numpy(at[np.arange(more.size), more])
        return last, {_REWARD: reward.to(self._dtype).view(-1, *self._shape), DISCOUNT: discount.to(self._dtype)}


def _array(values: Tensor) -> Any:
    return values.to("cpu").numpy()


_REWARD, _DONE = next_key(REWARD), next_key(DONE)
