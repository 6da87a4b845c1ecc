"""n-step samples: made of the steps that follow a row when it is drawn."""

from __future__ import annotations

from typing import Any

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
        self._ring, self._device, self._done = ring, storage.device, done
        self._rewards = rewards.flatten(0, len(storage.lead) - 1)
        self._is_init, self._valid = storage.flags(IS_INIT), storage.flags(VALID)
        self._powers = torch.tensor([self.gamma**m for m in range(1, self.n + 1)], dtype=rewards.dtype)
        self._powers = self._powers.to(self._device)

    def of(self, rows: Tensor) -> tuple[Tensor, dict[Key, Tensor]]:
        """The last of the steps that count for each row ``[B]``, and ``("next", "reward")`` and ``"discount"``."""
        ring, shape = self._ring, (-1, *[1] * (self._rewards.ndim - 1))
        count, newest = ring.steps * ring.num_envs, (ring.head - 1) % ring.steps * ring.num_envs
        last = at = rows.to(self._device)
        reward, more = self._rewards.index_select(0, at), torch.zeros_like(at)
        goes_on = torch.ones_like(at, dtype=torch.bool)
        for k in range(1, self.n):
            goes_on &= ~self._done.index_select(0, at)
            goes_on &= (at < newest) | (at >= newest + ring.num_envs)
            at = (at + ring.num_envs) % count
            if self._is_init is not None:
                goes_on &= ~self._is_init.index_select(0, at)
            if self._valid is not None:
                goes_on &= self._valid.index_select(0, at)
            then = self._rewards.index_select(0, at) * self._powers[k - 1]
            reward = reward + then.where(goes_on.view(shape), 0.0)  # beyond may be anything, such as NaN
            last = torch.where(goes_on, at, last)
            more += goes_on
        return last, {_REWARD: reward, DISCOUNT: self._powers.index_select(0, more).unsqueeze(-1)}


_REWARD, _DONE = next_key(REWARD), next_key(DONE)
