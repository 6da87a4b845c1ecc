"""What collectors, algorithms and evaluations ask of an environment."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from keywork._keys import Key
from keywork.envs._transition import Transition
from keywork.specs import Composite, Spec


class Env(Protocol):
    """A number of environments that are stepped together: :class:`GymEnv` and those of :mod:`keywork.envs.native`.

    Its data is in numpy arrays or in tensors, as it prefers; actions are taken in either form.

    Attributes:
        name: what messages call it.
        num_envs: how many environments there are.
        batch_size: ``[num_envs]``.
        observation_spec: the parts of an observation.
        action_spec: of one action.
        reward_spec: of the reward.
        action_key: what the action is called.
        clip_actions: whether actions outside of their bounds are put on them.
        has_gaps: whether a step may be none of an episode (see `Transition.valid`).
        begun: how often :meth:`begin` was called.
    """

    name: str
    num_envs: int
    batch_size: torch.Size
    observation_spec: Composite
    action_spec: Spec
    reward_spec: Spec
    action_key: Key
    clip_actions: bool
    has_gaps: bool
    begun: int

    @property
    def specs(self) -> Composite:
        """All that a step holds."""

    def begin(self, seed: int | None = None) -> dict[Key, Any]:
        """Begin an episode everywhere, and return the observations to act on."""

    def advance(self, action: Any) -> Transition[Any]:
        """Take one step everywhere, and begin a new episode wherever one ended."""

    def random_action(self) -> Tensor:
        """Random actions, one for each environment."""

    def close(self) -> None:
        """Give back what is held; a second call does nothing."""
