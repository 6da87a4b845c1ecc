"""The last check before an action reaches an environment."""

from __future__ import annotations

from operator import le
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from keywork._errors import EnvError, UsageError
from keywork._keys import ACTION
from keywork.envs._few import FEW
from keywork.envs._layout import single_precision
from keywork.specs import OneHot, from_gymnasium

_SPACES = (
    gymnasium.spaces.Box,
    gymnasium.spaces.Discrete,
    gymnasium.spaces.MultiDiscrete,
    gymnasium.spaces.MultiBinary,
)
_ROUNDING = 1e-6  # of the bounds' distance: what a policy's own float32 arithmetic may overshoot by


class ActionGate:
    """Turns a batch of actions into what the environments take, and refuses what they do not.

    A NaN, an infinity and an action outside of the space are refused, for the environment would go on with them
    silently. What is outside by no more than float32 rounding is put on the bound.

    Args:
        space: a single environment's action space.
        num_envs: how many rows a batch has.
        one_hot: take one-hot vectors for a Discrete space.
        clip: put what is outside of a Box on its bounds instead of refusing it (NaN and infinity are still refused).

    Raises:
        UsageError: actions of this space cannot be taken, or not as asked.
    """

    def __init__(self, space: gymnasium.Space[Any], num_envs: int, *, one_hot: bool, clip: bool) -> None:
        if not isinstance(space, _SPACES):
            names = ", ".join(kind.__name__ for kind in _SPACES)
            raise UsageError(
                f"GymEnv cannot take actions of the space {space}.\n   It takes those of {names}.\n   {_as_one(space)}"
            )
        if one_hot and not isinstance(space, gymnasium.spaces.Discrete):
            raise UsageError(f"GymEnv cannot take one-hot actions (one_hot=True) for {space}: it is not Discrete.")
        self.spec = single_precision(from_gymnasium(space))
        if isinstance(space, gymnasium.spaces.Discrete) and one_hot:
            self.spec = OneHot(int(space.n), start=int(space.start))
        self._shape = (num_envs, *self.spec.shape)
        self._one_hot = one_hot
        self._as_it_is = not one_hot and not np.any(
            getattr(space, "start", 0)
        )  # numbers that are the environment's too
        self._clip = clip and isinstance(space, gymnasium.spaces.Box)
        self._dtype = space.dtype
        # As large as a batch: numpy compares arrays of one shape in half the time of what it has to broadcast.
        whole = (num_envs, *(space.shape or ()))
        self._low, self._high = (np.array(np.broadcast_to(bound, whole)) for bound in _bounds(space))
        small = self._low.size <= FEW
        self._few = (self._low.ravel().tolist(), self._high.ravel().tolist()) if small else None
        self._slack = _ROUNDING * (self._high.astype(np.float64) - self._low) if self._dtype.kind == "f" else 0.0

    def __call__(self, action: Any) -> np.ndarray:
        """The actions in the form of the environments, in memory of their own.

        Raises:
            EnvError: an action is malformed, or not in the space.
            SpecError: the actions have another kind of dtype.
        """
        array = self._in_env_form(action)
        if self._few is not None:  # numbers, with which a few comparisons take half the time of an array's three
            lows, highs = self._few
            values = array.ravel().tolist()
            if all(map(le, lows, values)) and all(map(le, values, highs)):
                return array
        inside = (array >= self._low) & (array <= self._high)  # False for a NaN
        return array if np.count_nonzero(inside) == inside.size else self._brought_in(array, inside)

    def _in_env_form(self, action: Any) -> np.ndarray:
        if action.shape != self._shape:
            raise EnvError(
                f"The environments cannot be stepped: {ACTION!r} has the shape {list(action.shape)}.\n"
                f"   They take {list(self._shape)}: one row for each environment, and in it {self.spec}."
            )
        if isinstance(action, Tensor) and action.dtype is self.spec.dtype:
            action = action.numpy(force=True)
        if self._as_it_is and isinstance(action, np.ndarray) and action.dtype == self._dtype:
            return action.copy()
        tensor = action if isinstance(action, Tensor) else torch.from_numpy(np.array(action))
        if self._one_hot:
            ones = (tensor != 0).sum(-1).cpu().numpy()
            if (ones != 1).any():
                raise self._refusal(tensor.detach().cpu().numpy(), ones == 1, "is not one-hot")
        return np.array(self.spec.to_env(tensor), dtype=self._dtype)

    def _brought_in(self, array: np.ndarray, inside: np.ndarray) -> np.ndarray:
        finite = np.isfinite(array)
        if not finite.all():
            raise self._refusal(array, finite, "is not finite")
        clipped = np.clip(array, self._low, self._high)
        inside = inside | (np.abs(array - clipped) <= self._slack)
        if self._clip or inside.all():
            return np.asarray(clipped, dtype=self._dtype)
        raise self._refusal(array, inside, "is outside of its space")

    def _refusal(self, array: np.ndarray, good: np.ndarray, problem: str) -> EnvError:
        row = int(np.argwhere(~good)[0, 0])
        fix = "End the policy in a distribution that fits its action_spec"
        if array.dtype.kind == "f" and problem.endswith("space"):
            fix += ", such as TanhNormal(low=..., high=...), or pass clip_actions=True"
        return EnvError(
            f"The environments cannot be stepped: {ACTION!r} of env {row} {problem}: {array[row].tolist()}\n"
            f"   its space: {self.spec}\n   {fix}."
        )


def _as_one(space: Any) -> str:
    """What to type so that one action takes the place of several."""
    parts: Any = getattr(space, "spaces", [])
    parts = list(parts.values()) if isinstance(space, gymnasium.spaces.Dict) else parts
    into, by = "...", "..."
    if parts and all(isinstance(part, gymnasium.spaces.Box) for part in parts):
        into, by = "spaces.flatten_space(env.action_space)", "spaces.unflatten(env.action_space, a)"
    elif parts and all(isinstance(part, gymnasium.spaces.Discrete) for part in parts):
        start = f", start={[int(part.start) for part in parts]}" * any(part.start for part in parts)
        into = f"spaces.MultiDiscrete({[int(part.n) for part in parts]}{start})"
        by = f"dict(zip({list(space.spaces)}, a))" if isinstance(space, gymnasium.spaces.Dict) else "tuple(a)"
    return (
        f"Wrap the environment so that it takes one: gymnasium.wrappers.TransformAction(env, lambda a: {by}, {into})."
    )


def _bounds(space: Any) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest action of the environment, inclusive."""
    if isinstance(space, gymnasium.spaces.Box):
        most = np.finfo(space.dtype).max if space.dtype.kind == "f" else np.iinfo(space.dtype).max
        return np.maximum(space.low, -most), np.minimum(space.high, most)  # an infinity is never inside
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.asarray(space.start), np.asarray(space.start + space.n - 1)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    return np.zeros((), np.int8), np.ones((), np.int8)
