"""Columns: the entries of a batch while it fills, one preallocated array each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._keys import Key


class Columns:
    """A batch ``[num_envs, steps]`` that is written step by step.

    Writing a step into an array is a slice assignment, for which numpy takes a tenth of torch's time: the arrays are
    numpy's, on memory that the batch's tensors share. (What numpy has no dtype for is written through torch.)

    Args:
        num_envs: rows.
        steps: columns.

    >>> columns = Columns(2, 3)
    >>> for t in range(3):
    ...     columns.put(t, "reward", np.full((2, 1), float(t), np.float32))
    >>> columns.batch()["reward"][0].tolist()
    [[0.0], [1.0], [2.0]]
    """

    def __init__(self, num_envs: int, steps: int) -> None:
        self._size = (num_envs, steps)
        self._arrays: dict[Key, Any] = {}
        self._tensors: dict[Key, Tensor] = {}

    def put(self, step: int, key: Key, value: Any) -> None:
        """Store one step's values of an entry, ``[num_envs, *shape]``: an array or a tensor, which is copied."""
        array = self._arrays.get(key)
        if array is None:
            array = self._allocate(key, value)
        if type(array) is np.ndarray and type(value) is not np.ndarray:
            value = value.cpu().numpy()
        array[:, step] = value

    def zeros(self, key: Key, dtype: torch.dtype, *shape: int) -> None:
        """An entry that is zero at every step."""
        self._tensors[key] = torch.zeros((*self._size, *shape), dtype=dtype)

    def batch(self) -> TensorDict:
        """The entries as one TensorDict, which shares their memory."""
        return TensorDict(self._tensors, batch_size=self._size)

    def _allocate(self, key: Key, value: Any) -> Any:
        kind = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        tensor = torch.empty((*self._size, *kind.shape[1:]), dtype=kind.dtype)
        self._tensors[key] = tensor
        self._arrays[key] = tensor if tensor.dtype is torch.bfloat16 else tensor.numpy()
        return self._arrays[key]
