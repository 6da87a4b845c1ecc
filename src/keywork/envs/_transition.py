"""What one step of all environments yields, in arrays of numpy or in tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from tensordict import TensorDictBase
from torch import Tensor

from keywork._errors import MissingKeyError
from keywork._keys import DONE, REWARD, TERMINATED, TRUNCATED, Key, listed, next_key

Arrays = dict[Key, np.ndarray]
Array = TypeVar("Array", np.ndarray, Tensor)


class EpisodeStats(NamedTuple):
    """A finished episode.

    Attributes:
        env: which environment it ran in, counted from 0.
        return_: the sum of its rewards as the environment returns them, its wrappers included; undiscounted, in
            float64.
        length: how many steps it had.
    """

    env: int
    return_: float
    length: int


class Transition(NamedTuple, Generic[Array]):
    """One step of ``N`` environments.

    The flags and the reward have the shape ``[N, 1]`` that they have in a batch; an observation has ``[N, *shape]``.
    The arrays are new with every step and never written again, so they may be kept; where no episode ended,
    ``observation`` and ``next_observation`` hold the same arrays, so do not write into them.

    Attributes:
        observation: what to act on next. Where an episode ended, the first observation of the new one.
        next_observation: what the step led to. Where an episode ended, its true final observation.
        reward: float32.
        done: ``terminated | truncated``. The next step of that environment begins an episode (``is_init``).
        terminated: the episode came to its end: nothing follows, do not bootstrap.
        truncated: the episode was cut off: bootstrap from ``next_observation``.
        episodes: the episodes that ended with this step, in the order of their environments.
        valid: bool ``[N, 1]``, or None where every row is a step that was really taken. A vector environment that
            resets itself in the step *after* an episode's end ignores that step's action; such a row is False. It is
            closed off as an episode of its own (final observation -> final observation, reward 0, truncated), so that
            it joins nothing even where the mask is ignored, and no statistics count it.
    """

    observation: dict[Key, Array]
    next_observation: dict[Key, Array]
    reward: Array
    done: Array
    terminated: Array
    truncated: Array
    episodes: Sequence[EpisodeStats]
    valid: Array | None = None

    @property
    def reached(self) -> dict[Key, Array]:
        """What the step led to, under the keys that it has in a batch: those of ``"next"``."""
        entries: dict[Key, Array] = {**self.next_observation, REWARD: self.reward}
        entries |= {DONE: self.done, TERMINATED: self.terminated, TRUNCATED: self.truncated}
        return {next_key(key): value for key, value in entries.items()}


def action_of(td: TensorDictBase, action_key: Key, name: str) -> Tensor:
    """The action that a TensorDict holds for the environment ``name``.

    Raises:
        MissingKeyError: there is none.
    """
    action: Tensor | None = td.get(action_key, None)
    if action is None:
        raise MissingKeyError(
            f"{name!r} cannot be stepped: the TensorDict does not hold {action_key!r}.\n"
            f"   the TensorDict holds: {listed(td.keys(include_nested=True, leaves_only=True))}\n"
            "   Call the policy first: env.step(policy(td))."
        )
    return action
