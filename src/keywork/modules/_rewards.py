"""Rewards of a scale that suits a critic: key modules for a batch as it was collected."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from keywork._errors import SpecError, UsageError, shape_of
from keywork._keys import DONE, REWARD, VALID, as_key, next_key, with_leaf
from keywork._wiring import entries
from keywork.functional import reverse_linear_scan
from keywork.modules._moments import Moments
from keywork.modules._refusal import refusal
from keywork.modules._running_norm import require_positive
from keywork.nn import TensorDictModuleBase

_REWARD = next_key(REWARD)


class RewardScaling(TensorDictModuleBase):
    """Divide rewards by the running standard deviation σ of discounted returns.    r ← clip(r / √(σ² + eps), ±clip)

    The return of an environment is Gₜ = rₜ + γ Gₜ₋₁, from zero in each episode; σ² is the variance of all G so far.
    Their mean is not taken off: that would change what is optimal. (The reward part of stable-baselines3's
    ``VecNormalize``, after OpenAI baselines; statistics are those of the whole batch, which then has one scale.)

    It comes before the advantage, or before the buffer, and :meth:`update` before it, with the rewards as they were
    collected:

    ``scale.update(batch); scale(batch); gae(batch)``

    A call changes nothing but the reward. The statistics and the returns of the running episodes are buffers.

    Args:
        num_envs: rows of a batch, ``env.num_envs``.
        gamma: discount of the returns.
        clip: how far from zero the results may be.
        eps: is added to the variance.
        reward_key: of the rewards. The ends of episodes are beside it, under ``"done"``.

    Raises:
        UsageError: a number is out of range.

    Rewards are ``[*B, 1]``, and in :meth:`update` ``[num_envs, T, 1]``.

    >>> from tensordict import TensorDict
    >>> reward, going = torch.tensor([[[1.0], [3.0]]]), torch.zeros(1, 2, 1, dtype=torch.bool)
    >>> batch = TensorDict({"next": TensorDict(reward=reward, done=going, batch_size=[1, 2])}, batch_size=[1, 2])
    >>> scale = RewardScaling(num_envs=1, gamma=1.0)
    >>> scale.update(batch)  # returns 1 and 4: mean 2.5, deviation 1.5
    >>> scale(batch)["next", "reward"].flatten()
    tensor([0.6667, 2.0000])
    """

    returns: Tensor

    def __init__(
        self, num_envs: int, gamma: float = 0.99, *, clip: float = 10.0, eps: float = 1e-8, reward_key: Any = _REWARD
    ) -> None:
        owner = type(self).__name__
        if not isinstance(num_envs, int) or num_envs < 1:
            what = f"{owner} cannot be built: num_envs is out of range."
            expected = "a whole number of rows, 1 or more"
            raise refusal(
                UsageError, what, where="num_envs", expected=expected, got=repr(num_envs), fix="num_envs=env.num_envs"
            )
        require_positive(owner, clip=clip, eps=eps)
        if not 0.0 <= gamma <= 1.0:
            what = f"{owner} cannot be built: gamma is out of range."
            expected = "a number from 0 to 1, that of the advantage"
            raise refusal(UsageError, what, where="gamma", expected=expected, got=repr(gamma), fix="gamma=0.99")
        super().__init__([as_key(reward_key)], [as_key(reward_key)])
        self.num_envs, self.gamma, self.clip, self.eps = num_envs, gamma, clip, eps
        self.moments = Moments(())
        self.register_buffer("returns", torch.zeros(num_envs, dtype=torch.float64))

    def compute(self, reward: Tensor) -> tuple[Tensor, ...]:
        """The rewards, scaled."""
        scaled = reward * self.moments.inverse_std(self.eps)
        return (scaled.clamp(-self.clip, self.clip).to(reward.dtype),)

    @property
    def frozen(self) -> bool:
        """Whether updates leave the statistics as they are."""
        return self.moments.frozen

    def freeze(self, mode: bool = True) -> Self:
        """Keep the statistics as they are from now on, or no longer with False; returns the module itself."""
        self.moments.frozen = mode
        return self

    @torch.no_grad()
    def update(self, batch: Any) -> None:
        """Go on with the returns of the running episodes, and merge them into the statistics.

        Args:
            batch: a TensorDict ``[num_envs, T]`` with the rewards and ends of episodes as they were collected. Steps
                of which ``("collector", "valid")`` says no do not count.

        Raises:
            MissingKeyError: rewards or ends are absent.
            SpecError: it has other dimensions.
            NonFiniteError: a reward is NaN or infinite; nothing has changed then.
        """
        (key,) = self._in_keys
        reward, done = entries(self, batch, [key, with_leaf(key, DONE)])
        if reward.ndim != 3 or len(reward) != self.num_envs or reward.shape != done.shape:
            raise self._no_batch(reward)
        reward, done = reward.squeeze(-1).to(self.returns), done.squeeze(-1).to(self.returns.device)
        valid = batch.get(VALID, None)
        counted = torch.ones_like(done) if valid is None else valid.reshape(done.shape).to(done.device)
        # Gₜ = bₜ + aₜ Gₜ₋₁, the other way round in time as the scan has it, with the return so far in the first term.
        a = torch.where(counted, self.gamma, 1.0).to(reward)
        a[:, 1:] *= ~done[:, :-1]
        b = torch.where(counted, reward, 0.0)
        b[:, 0] += a[:, 0] * self.returns
        returns = reverse_linear_scan(a.flip(1), b.flip(1), 1).flip(1)
        self.moments.update(returns[counted], repr(key))
        self.returns.copy_(returns[:, -1] * ~done[:, -1])

    def _no_batch(self, reward: Tensor) -> SpecError:
        return refusal(
            SpecError,
            f"{self.label} cannot be updated: this is no batch of {self.num_envs} environments.",
            where=repr(self._in_keys[0]),
            expected=f"rewards [{self.num_envs}, T, 1], and ends of episodes likewise",
            got=shape_of(reward),
            fix="update(batch) with what a collector gives, before it is flattened; num_envs=env.num_envs",
        )


class RewardClip(TensorDictModuleBase):
    """Bring rewards into an interval.    r ← min(max(r, low), high)

    It comes before the advantage, or before the buffer; a collector's episode statistics are of the rewards as they
    were. For the sign alone, as is usual for Atari games (Mnih et al. 2015), there is
    ``TensorDictModule(torch.sign, [("next", "reward")], [("next", "reward")])``.

    Args:
        low: the least reward.
        high: the greatest reward.
        reward_key: of the rewards.

    Raises:
        UsageError: no number lies between low and high.

    >>> RewardClip()(torch.tensor([-7.0, 0.5, 2.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """

    def __init__(self, low: float = -1.0, high: float = 1.0, *, reward_key: Any = _REWARD) -> None:
        if not low < high:
            raise refusal(
                UsageError,
                f"{type(self).__name__} cannot be built: no numbers lie between low and high.",
                where="low, high",
                expected="low < high",
                got=f"{low!r}, {high!r}",
                fix="low=-1.0, high=1.0",
            )
        super().__init__([as_key(reward_key)], [as_key(reward_key)])
        self.low, self.high = low, high

    def compute(self, reward: Tensor) -> tuple[Tensor, ...]:
        """The rewards, brought into the interval."""
        return (reward.clamp(self.low, self.high),)
