"""What a policy carries from step to step, and what it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from keywork._keys import Key, next_key
from keywork._wiring import specs_of_carried
from keywork.nn import TensorDictModuleBase


class Carried:
    """The carried entries of the step that comes next: the policy's own, and in a new episode those it begins with.

    Args:
        policy: what carries them; None carries nothing.
        num_envs: rows.
    """

    def __init__(self, policy: TensorDictModuleBase | None, num_envs: int) -> None:
        specs = {} if policy is None else specs_of_carried(policy)
        self._beginning: dict[Key, Tensor] = {key: spec.zero(num_envs) for key, spec in specs.items()}
        writes: list[Key] = [] if policy is None else policy.out_keys
        self._places = {key: writes.index(next_key(key)) for key in specs}
        self.entries = dict(self._beginning)

    def advance(self, outputs: Sequence[Any], done: Any) -> None:
        """Go on with what the policy has written, but for the rows in which an episode is over.

        Args:
            outputs: in the order of the policy's out_keys.
            done: bool ``[num_envs, 1]``, an array or a tensor.
        """
        if not self._places:
            return
        # To look at what an accelerator holds is to wait for it.
        over = torch.as_tensor(done) if getattr(done, "is_cuda", False) or done.any() else None
        for key, place in self._places.items():
            after = outputs[place]
            if over is not None:
                rows = over.to(after.device).reshape(-1, *[1] * (after.ndim - 1))
                after = torch.where(rows, self._beginning[key].to(after.device), after)
            self.entries[key] = after
