"""Gymnasium spaces of one array, as specs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from keywork.specs._bounded import Bounded
from keywork.specs._categorical import Categorical
from keywork.specs._dtypes import torch_dtype
from keywork.specs._multi_binary import MultiBinary
from keywork.specs._multi_discrete import MultiDiscrete
from keywork.specs._refusal import refusal
from keywork.specs._tensor_spec import TensorSpec
from keywork.specs._unbounded import Unbounded


def leaf_from_gymnasium(space: spaces.Space[Any]) -> TensorSpec:
    """The spec of a space whose values are single arrays, in the dtype of the space.

    Raises:
        SpecError: there is no spec for such a space, or torch does not compute in its dtype.
    """
    if isinstance(space, spaces.Box):
        return _from_box(space)
    if isinstance(space, spaces.Discrete):
        dtype = torch_dtype(np.dtype(space.dtype), str(space))
        return Categorical(int(space.n), dtype=dtype, start=int(space.start))
    if isinstance(space, spaces.MultiDiscrete):
        dtype = torch_dtype(np.dtype(space.dtype), str(space))
        return MultiDiscrete(space.nvec, dtype=dtype, start=space.start)
    if isinstance(space, spaces.MultiBinary):
        return MultiBinary(space.shape)
    raise refusal(
        f"{type(space).__name__} cannot become a spec: its values have no fixed number of numbers.",
        where=repr(space),
        expected="Box, Discrete, MultiBinary, MultiDiscrete, or Dict and Tuple of these",
        got=type(space).__name__,
        fix="wrap the environment so that its values are arrays of one shape: "
        "gymnasium.wrappers.TransformObservation or TransformAction, with a Box padded to the longest value",
    )


def _from_box(space: spaces.Box[Any]) -> TensorSpec:
    dtype = torch_dtype(np.dtype(space.dtype), str(space))
    if space.dtype == np.bool_:
        if bool(space.low.any()) or not bool(space.high.all()):
            raise refusal(
                f"{space} cannot become a spec: some of its flags can have one value only.",
                where="its bounds",
                expected="False and True everywhere",
                got=f"low {space.low.tolist()}, high {space.high.tolist()}",
                fix=f"gymnasium.spaces.Box(0, 1, {space.shape}, numpy.bool_)",
            )
        return MultiBinary(space.shape, dtype=dtype)
    if dtype is not torch.uint8 and not (space.bounded_below | space.bounded_above).any():
        return Unbounded(space.shape, dtype)
    low, high = space.low, space.high
    if space.dtype.kind != "f":
        # Gymnasium has put some large number where there is no bound; which one depends on its version.
        info = np.iinfo(space.dtype)
        low = np.where(space.bounded_below, low, info.min)
        high = np.where(space.bounded_above, high, info.max)
    return Bounded(low, high, space.shape, dtype)
