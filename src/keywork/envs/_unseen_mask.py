"""A mask of actions that an environment tells beside its observation, where no policy can read it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import gymnasium

from keywork._keys import ACTION_MASK, leaf
from keywork.envs._layout import Layout
from keywork.envs._masks import choices_of

_LOG = logging.getLogger("keywork")


def warn_of_unseen_mask(env: Any, info: Any, layout: Layout, space: gymnasium.Space[Any]) -> None:
    """Say in the log that the info of a reset holds a mask, if the observation holds none and actions are choices.

    Args:
        env: an environment, or a vector environment.
        info: of its reset.
        layout: of its observations.
        space: of one action.
    """
    told = isinstance(info, Mapping) and ACTION_MASK in info and choices_of(space) is not None
    if not told or any(leaf(each.key) == ACTION_MASK for each in layout.leaves):
        return
    made_by = getattr(env.spec, "id", None)
    name = made_by or type(env.unwrapped).__name__
    made = f"gymnasium.make({made_by!r})" if made_by else f"{name}()"
    if isinstance(env, gymnasium.vector.VectorEnv) and not made_by:
        made = "gymnasium.make(...)"  # a vector environment is none that could be wrapped
    _LOG.warning(
        "GymEnv: %s says in its info which actions are allowed (%r), and no policy sees it. Make it a part of the "
        "observation: GymEnv(lambda: MaskFromInfo(%s)).",
        name,
        ACTION_MASK,
        made,
    )
