"""Which actions are allowed: an environment's own mask, and random actions that keep to it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from keywork._errors import EnvError, UsageError
from keywork._keys import ACTION_MASK
from keywork.envs._layout import Layout


def choices_of(space: gymnasium.Space[Any]) -> list[int] | None:
    """How many choices each part of an action has; None where actions are no choices.

    >>> choices_of(gymnasium.spaces.MultiDiscrete([[2, 3], [4, 5]])), choices_of(gymnasium.spaces.Box(0, 1))
    ([2, 3, 4, 5], None)
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return [int(space.n)]
    return space.nvec.ravel().tolist() if isinstance(space, gymnasium.spaces.MultiDiscrete) else None


def masked_choices(layout: Layout, space: gymnasium.Space[Any]) -> list[int] | None:
    """How many flags of the observations' mask each part of an action has; None where there is no mask.

    Raises:
        UsageError: they have a mask that does not fit the actions.
    """
    leaf = next((leaf for leaf in layout.leaves if leaf.key == ACTION_MASK), None)
    choices = choices_of(space)
    if leaf is None or choices is None:
        return None
    if tuple(leaf.spec.shape) != (sum(choices),):
        raise UsageError(
            f"GymEnv cannot read the mask {ACTION_MASK!r}: it has the shape {list(leaf.spec.shape)}.\n"
            f"   The actions are of the space {space}: a mask of them has the shape {[sum(choices)]}, a flag for each "
            "choice.\n   Mend the environment, or rename the entry with gymnasium.wrappers.TransformObservation."
        )
    return choices


def open_ends(mask: np.ndarray, done: np.ndarray, choices: list[int]) -> None:
    """Allow everything, in place, where an episode is over and nothing is allowed.

    Nothing is chosen there, and what is said of it counts for nothing; but a loss that asks a policy about a whole
    batch gets an answer.

    Args:
        mask: bool ``[N, Σ n_k]``.
        done: bool ``[N]``.
        choices: the ``n_k``.
    """
    for flags in _split(mask, choices):
        flags[done & ~flags.any(-1)] = True


def _split(mask: np.ndarray, choices: list[int]) -> list[np.ndarray]:
    """The mask of each part of an action; they share its memory."""
    return np.split(mask, np.cumsum(choices)[:-1], axis=-1)


def allowed_action(space: Any, mask: np.ndarray, env: int) -> np.ndarray:
    """An action drawn uniformly from the allowed ones, by the space's own generator; in the environment's form.

    Args:
        space: Discrete or MultiDiscrete.
        mask: bool ``[Σ n_k]``.
        env: whose mask it is, for the message.

    Raises:
        EnvError: some part of an action has no choice that is allowed.
    """
    drawn = []
    for flags in _split(mask, choices_of(space) or []):
        allowed = np.flatnonzero(flags)
        if not len(allowed):
            raise EnvError(
                f"No random action can be drawn: {ACTION_MASK!r} of env {env} allows none: {mask.tolist()}\n"
                f"   its space: {space}\n"
                "   Mend the environment: while an episode goes on, one action at least is allowed."
            )
        drawn.append(space.np_random.choice(allowed))
    return np.asarray(np.reshape(drawn, space.shape) + space.start, dtype=space.dtype)
