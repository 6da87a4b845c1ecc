"""Where the parts of a Gymnasium observation go: from a nested space to flat keys and numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

from keywork._errors import SpecError
from keywork._keys import (
    ACTION,
    ACTION_MASK,
    DONE,
    IS_INIT,
    NEXT,
    OBSERVATION,
    REWARD,
    TERMINATED,
    TRUNCATED,
    Key,
    as_key,
    path_of,
)
from keywork.envs._fault import EnvFault
from keywork.envs._few import few_and_finite
from keywork.envs._transition import Arrays
from keywork.specs import MultiBinary, Spec, from_gymnasium

_TAKEN = frozenset({ACTION, DONE, IS_INIT, NEXT, REWARD, TERMINATED, TRUNCATED})


@dataclass(frozen=True, eq=False, slots=True)
class Leaf:
    """One array of an observation: its key, the way to it inside the observation, and what it may hold."""

    key: Key
    path: tuple[str | int, ...]
    spec: Spec
    dtype: np.dtype[Any]
    start: np.ndarray | None
    largest: np.ndarray | None

    def pick(self, observation: Any) -> Any:
        """This leaf's part of an observation."""
        for step in self.path:
            observation = observation[step]
        return observation

    def batch(self, observations: Sequence[Any], rows: Sequence[int], doing: str) -> np.ndarray:
        """This leaf of several observations, stacked and checked."""
        try:
            values = [self.pick(observation) for observation in observations] if self.path else observations
            return self.checked(values, rows, doing)
        except (EnvFault, LookupError, TypeError, ValueError):
            # Which one is it? Only now that something is wrong are they looked at one by one.
            for observation, row in zip(observations, rows, strict=True):
                try:
                    self.checked([self.pick(observation)], [row], doing)
                except (LookupError, TypeError, ValueError) as error:
                    raise self._fault(doing, row, f"is missing or malformed ({error!r})") from error
            raise

    def checked(self, values: Any, rows: Sequence[int], doing: str) -> np.ndarray:
        """The values as a new array ``[len(rows), *shape]`` in the spec's form.

        Raises:
            EnvFault: it has another shape or kind, is not finite, or lies outside of a discrete space.
        """
        array = np.array(values)
        if array.shape[1:] != self.spec.shape or array.shape[0] != len(rows):
            wanted = list(self.spec.shape)
            raise self._fault(doing, rows[0], f"has the shape {list(array.shape[1:])}; its space says {wanted}")
        if self.largest is not None:
            return self._counted(array, rows, doing)
        if array.dtype != self.dtype:
            if not np.can_cast(array.dtype, self.dtype, "same_kind"):
                raise self._fault(doing, rows[0], f"holds {array.dtype}; its space says {self.dtype}")
            with np.errstate(over="ignore"):  # what does not fit turns infinite, and is refused as such
                array = array.astype(self.dtype)
        if self.dtype.kind == "f" and not few_and_finite(array):
            finite = np.isfinite(array)
            if np.count_nonzero(finite) != finite.size:
                row = int(np.argwhere(~finite)[0, 0])
                raise self._fault(doing, rows[row], f"is not finite: {array[row].tolist()}")
        return array

    def _counted(self, array: np.ndarray, rows: Sequence[int], doing: str) -> np.ndarray:
        if self.dtype.kind == "b" and array.dtype.kind == "f" and np.isin(array, (0, 1)).all():
            array = array.astype(self.dtype)
        if array.dtype.kind not in "iub":
            raise self._fault(doing, rows[0], f"holds {array.dtype}; its space is discrete")
        if self.start is not None:
            array = array - self.start
        good = (array >= 0) & (array <= self.largest)
        if np.count_nonzero(good) != good.size:
            row = int(np.argwhere(~good)[0, 0])
            raise self._fault(doing, rows[row], f"lies outside of its space: {array[row].tolist()}")
        return array.astype(self.dtype, copy=False)

    def _fault(self, doing: str, index: int, problem: str) -> EnvFault:
        fix = "Mend the environment, or wrap it so that it keeps to its own observation_space."
        return EnvFault(doing, f"broke its observation space: {self.key!r} {problem}", index, fix)


class Layout:
    """The leaves of an observation space, and the two ways to read them.

    Args:
        space: a single environment's observation space.

    Raises:
        SpecError: the space holds something that has no spec, or uses a key that a transition needs.
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.space = space
        self.leaves = tuple(_leaves(space, ()))
        taken = [leaf.key for leaf in self.leaves if path_of(leaf.key)[0] in _TAKEN]
        if taken:
            raise SpecError(
                f"The observation space cannot be laid out: its {taken[0]!r} is the name of another part of a step.\n"
                f"   taken: {', '.join(sorted(map(repr, _TAKEN)))}\n"
                "   Rename the entry, for example with gymnasium.wrappers.TransformObservation."
            )

    def gather(self, observations: Sequence[Any], rows: Sequence[int], doing: str) -> Arrays:
        """Batch the observations of several environments; ``rows`` are their numbers."""
        return {leaf.key: leaf.batch(observations, rows, doing) for leaf in self.leaves}

    def split(self, batch: Any, rows: Sequence[int], doing: str) -> Arrays:
        """Take a vector environment's batched observation apart."""
        return {leaf.key: leaf.checked(leaf.pick(batch), rows, doing) for leaf in self.leaves}


def _leaves(space: gymnasium.Space[Any], path: tuple[str | int, ...]) -> Iterator[Leaf]:
    if isinstance(space, gymnasium.spaces.Dict):
        for name, part in space.spaces.items():
            yield from _leaves(part, (*path, name))
    elif isinstance(space, gymnasium.spaces.Tuple):
        for number, part in enumerate(space.spaces):
            yield from _leaves(part, (*path, number))
    else:
        key = as_key(tuple(str(step) for step in path) or OBSERVATION)
        spec = _mask(space) if key == ACTION_MASK else single_precision(from_gymnasium(space))
        dtype = spec.zero().numpy().dtype
        start, largest = (None, np.ones((), np.int64)) if key == ACTION_MASK else _range(space)
        yield Leaf(key, path, spec, dtype, start, largest)


def _mask(space: gymnasium.Space[Any]) -> Spec:
    """The spec of a mask: a bool for each choice, whatever kind of flags the environment uses."""
    box = isinstance(space, gymnasium.spaces.Box) and not space.low.any() and bool((space.high == 1).all())
    if box or isinstance(space, gymnasium.spaces.MultiBinary):
        return MultiBinary(space.shape or (), dtype=torch.bool)
    raise SpecError(
        f"The observation space cannot be laid out: its {ACTION_MASK!r} is {space}, which is not made of flags.\n"
        f"   {ACTION_MASK!r} says which actions are allowed: MultiBinary(n), or Box(0, 1, (n,), numpy.int8).\n"
        "   Change it, or rename the entry, with gymnasium.wrappers.TransformObservation."
    )


def single_precision(spec: Spec) -> Spec:
    """The spec with float32 in the place of float64, which environments use out of habit and networks do not."""
    return spec.to(torch.float32) if spec.dtype is torch.float64 else spec


def _range(space: gymnasium.Space[Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The smallest value, if it is not zero, and how far above it a discrete space goes."""
    if isinstance(space, gymnasium.spaces.Discrete):
        start, largest = np.asarray(space.start), np.asarray(space.n - 1)
    elif isinstance(space, gymnasium.spaces.MultiDiscrete):
        start, largest = np.asarray(space.start), np.asarray(space.nvec - 1)
    elif isinstance(space, gymnasium.spaces.MultiBinary):
        start, largest = np.zeros((), np.int64), np.ones((), np.int64)
    else:
        return None, None
    return (start if start.any() else None), largest
