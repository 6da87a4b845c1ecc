"""What may be asked of a collector besides its parts, and which numbers of frames can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from keywork._errors import UsageError
from keywork._keys import meant


class CollectorOptions(TypedDict, total=False):
    """Further arguments of a :class:`Collector`.

    Attributes:
        init_random_frames: so many frames, of all environments together, are acted in at random to begin with, as the
            environment's `random_action` draws; 0.
        anneal: whether frames count for the policy's exploration modules; True.
        check: whether policy and environment are checked against one another; True.
    """

    init_random_frames: int
    anneal: bool
    check: bool


def require_options(options: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that there are not, as Python does for those of a signature.

    Raises:
        TypeError: an option is unknown.
    """
    signature = ["frames_per_batch", "total_frames", "exploration_type", "seed"]
    for name in options:
        if name not in CollectorOptions.__annotations__:
            hint = meant(name, [*signature, *CollectorOptions.__annotations__]).strip()
            raise TypeError(f"Collector.__init__() got an unexpected keyword argument {name!r}{hint and '; ' + hint}")


def check_frames(num_envs: int, frames_per_batch: int, total_frames: int | None, init_random_frames: int) -> None:
    """Refuse numbers of frames that cannot be collected.

    Raises:
        UsageError: a number is too small, or the frames of a batch do not divide among the environments.
    """
    if frames_per_batch < 1 or frames_per_batch % num_envs:
        nearest = max(1, round(frames_per_batch / num_envs)) * num_envs
        raise UsageError(
            f"A batch of frames_per_batch={frames_per_batch} cannot be collected from {num_envs} environments: "
            f"each gives the same number of steps. Type frames_per_batch={nearest}."
        )
    if total_frames is not None and total_frames < 1:
        raise UsageError(f"total_frames={total_frames} is no number of frames: give at least 1, or None for no end.")
    if init_random_frames < 0:
        raise UsageError(f"init_random_frames={init_random_frames} is no number of frames: give 0 or more.")
