"""A NaN in what was collected, named before anything learns from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from keywork._errors import EnvError, NonFiniteError, refusal
from keywork._keys import Key
from keywork.envs import Env
from keywork.nn import TensorDictModuleBase


class Found(NamedTuple):
    """Where the first number is that is none: its entry, environment and step, and what this holds there."""

    key: Key
    env: int
    step: int
    value: str


def has_nan(value: Tensor | np.ndarray) -> bool:
    """Whether there is a NaN among the numbers; an infinity is none. This waits for their device.

    The least of numbers of which one is a NaN is a NaN: one pass over the memory, without a flag for each number. Of a
    few numbers in an array the sum is there sooner. It is a NaN as well; so may be that of infinities, which are none.

    >>> import torch
    >>> has_nan(torch.tensor([torch.inf, -torch.inf])), has_nan(torch.tensor([0.0, torch.nan]))
    (False, True)
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "f" or (value.size <= _FEW and not math.isnan(sum(value.ravel().tolist()))):
            return False
        value = torch.from_numpy(value)
    return value.is_floating_point() and value.numel() > 0 and math.isnan(value.min().item())


_FEW = 32


def first_of(bad: Mapping[Key, Tensor], values: Mapping[Key, Tensor]) -> Found | None:
    """The earliest step that is marked, there the first entry, and in it the first environment.

    Args:
        bad: flags, in the shapes of the values.
        values: ``[num_envs, steps, *shape]``.

    >>> import torch
    >>> values = {"logits": torch.tensor([[[0.0, 1.0], [2.0, torch.nan]]])}
    >>> first_of({"logits": values["logits"].isnan()}, values)
    Found(key='logits', env=0, step=1, value='[2.0, nan]')
    """
    found: Found | None = None
    for key, flags in bad.items():
        rows = flags.flatten(2).any(-1) if flags.ndim > 2 else flags
        steps = rows.any(0).nonzero()
        if len(steps) and (found is None or int(steps[0]) < found.step):
            step = int(steps[0])
            env = int(rows[:, step].nonzero()[0])
            found = Found(key, env, step, str(values[key][env, step].tolist()))
    return found


def of_policy(found: Found, policy: TensorDictModuleBase | None, num_envs: int, frames: int) -> NonFiniteError:
    """The error of a policy that has written a number that is none; ``frames`` came before the batch."""
    parameters = [] if policy is None else [*policy.named_parameters()]
    spoilt = [name for name, parameter in parameters if not parameter.isfinite().all()]
    fix = "look for what overflows in its networks, or in what they read: a division, a log, an exp without bounds"
    if spoilt:
        fix = (
            f"its parameter {spoilt[0]!r} is not finite, since an update has made it so: lower the learning rate or "
            "clip the gradients, and begin again or from an earlier checkpoint"
        )
    return refusal(
        NonFiniteError,
        f"Collector cannot go on: its policy ({getattr(policy, 'label', None)}) has written numbers that are none.",
        where=f"env {found.env} of {num_envs}, step {found.step} of the batch that follows frame {frames:,}",
        expected=f"no NaN in what it writes, and finite actions: {found.key!r}",
        got=found.value,
        fix=fix,
    )


def of_env(found: Found, env: Env, frames: int) -> EnvError:
    """The error of an environment that has shown or rewarded with a NaN."""
    return EnvError(
        f"{env.name!r} cannot be stepped: env {found.env} of {env.num_envs} broke its interface: {found.key!r} is not "
        f"finite: {found.value}\n"
        f"   in step {found.step} of the batch that follows frame {frames:,}\n"
        "   Mend the environment: its dynamics divide by zero, or overflow."
    )
