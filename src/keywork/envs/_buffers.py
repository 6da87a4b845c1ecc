"""The arrays that a backend fills with every step: in memory of this process, or shared with its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from keywork._keys import TERMINATED, TRUNCATED
from keywork.envs._fault import EnvFault
from keywork.envs._layout import Layout
from keywork.envs._transition import Arrays

Plan: TypeAlias = list[tuple[tuple[int, ...], np.dtype[Any]]]

_ALIGN = 64  # every array begins on a cache line
_LARGEST_REWARD = float(np.finfo(np.float32).max)
_FLOATS = frozenset((float, np.float64))
_FLAGS = frozenset((bool, np.bool_))


@dataclass(slots=True, eq=False)
class Buffers:
    """What a step leaves behind, for ``N`` environments.

    Attributes:
        next: the observations that the step led to, the true final ones included.
        first: where an episode ended, the observation to act on next; elsewhere unspecified.
        reward: float64 ``[N]``.
        terminated: bool ``[N]``.
        truncated: bool ``[N]``.
    """

    next: Arrays
    first: Arrays
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray

    @classmethod
    def plan(cls, layout: Layout, num_envs: int) -> Plan:
        """Shapes and dtypes of all arrays, in the order in which :meth:`over` takes them."""
        observation = [((num_envs, *leaf.spec.shape), leaf.dtype) for leaf in layout.leaves]
        flags = [((num_envs,), np.dtype(kind)) for kind in (np.float64, np.bool_, np.bool_)]
        return [*observation, *observation, *flags]

    @classmethod
    def over(cls, layout: Layout, arrays: list[np.ndarray]) -> Buffers:
        """The buffers made of arrays that were allocated by the plan."""
        keys = [leaf.key for leaf in layout.leaves]
        count = len(keys)
        following, first = arrays[:count], arrays[count : 2 * count]
        return cls(dict(zip(keys, following, strict=True)), dict(zip(keys, first, strict=True)), *arrays[2 * count :])

    @classmethod
    def empty(cls, layout: Layout, num_envs: int) -> Buffers:
        """Buffers in the memory of this process."""
        return cls.over(layout, [np.zeros(shape, dtype) for shape, dtype in cls.plan(layout, num_envs)])

    def take(self, reward: Any, terminated: Any, truncated: Any, rows: Sequence[int]) -> None:
        """Keep what a step returned besides the observation; ``rows`` are the numbers of the environments.

        Raises:
            EnvFault: a reward is not one finite number (in float32), or a flag is not a bool.
        """
        # Numbers of Python are looked at as such: an array of a few takes longer. A sum with a NaN is at most nothing.
        plain = _are(reward, _FLOATS, len(rows)) and sum(map(abs, reward)) <= _LARGEST_REWARD
        self.reward[:] = reward if plain else self._numbers(reward, rows)
        for name, given, kept in ((TERMINATED, terminated, self.terminated), (TRUNCATED, truncated, self.truncated)):
            flags = given if _are(given, _FLAGS, len(rows)) else _scalars(given, "b", kept.shape)
            if flags is None:
                raise _odd(given, "b", rows, f"{name!r} is not a bool", f"Return bool({name}).")
            kept[:] = flags

    def _numbers(self, reward: Any, rows: Sequence[int]) -> np.ndarray:
        numbers = _scalars(reward, "fiub", self.reward.shape)
        if numbers is None:
            raise _odd(reward, "fiub", rows, "its reward is not one number", "Return float(reward).")
        good = np.abs(numbers) <= _LARGEST_REWARD  # False for a NaN as well
        if np.count_nonzero(good) != good.size:
            row = int(np.argmin(good))
            fix = "Mend the environment, or clip its reward with gymnasium.wrappers.TransformReward."
            raise _broken(rows[row], f"its reward is not finite: {numbers[row]}", fix)
        return numbers

    def rows(self, rows: slice) -> Buffers:
        """The same memory, for some of the environments."""
        following, first = ({key: array[rows] for key, array in part.items()} for part in (self.next, self.first))
        return Buffers(following, first, self.reward[rows], self.terminated[rows], self.truncated[rows])


def _are(values: Any, types: frozenset[type], count: int) -> bool:
    """Whether the values are a tuple of so many, each of one of these types and of none derived from it."""
    return type(values) is tuple and len(values) == count and types.issuperset(map(type, values))


def _scalars(values: Any, kinds: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """The values as an array, if each is one number or flag of one of the kinds."""
    try:
        array = np.array(values)
    except ValueError:  # of several shapes
        return None
    return array if array.dtype.kind in kinds and array.shape == shape else None


def _odd(values: Any, kinds: str, rows: Sequence[int], problem: str, fix: str) -> EnvFault:
    """The fault of the first environment whose value is not one scalar of a right kind."""
    found = next((pair for pair in zip(rows, values, strict=False) if _scalars(pair[1], kinds, ()) is None), None)
    row, value = found if found else (rows[0], values)
    return _broken(row, f"{problem}: {value!r}", fix)


def _broken(index: int, problem: str, fix: str) -> EnvFault:
    return EnvFault("stepped", f"broke the interface of an environment: {problem}", index, fix)


def size_of(plan: Plan) -> int:
    """How many bytes the arrays of a plan need, each on its own cache line."""
    return sum(_padded(shape, dtype) for shape, dtype in plan)


def carve(plan: Plan, memory: Any) -> list[np.ndarray]:
    """The arrays of a plan inside one block of memory."""
    arrays, offset = [], 0
    for shape, dtype in plan:
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(memory, dtype, count, offset).reshape(shape))
        offset += _padded(shape, dtype)
    return arrays


def _padded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    size = int(np.prod(shape)) * dtype.itemsize
    return -(-size // _ALIGN) * _ALIGN
