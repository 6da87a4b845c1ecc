"""Columns: the entries of a batch while it fills, one preallocated array each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from keywork._keys import Key, path_of


class Columns:
    """A batch ``[num_envs, steps]`` that is written step by step.

    Writing a step into an array is a slice assignment, for which numpy takes a tenth of torch's time: where the
    environments give arrays, the columns are numpy's too, whose memory the batch's tensors share. (What numpy has no
    dtype for is written through torch.) Where they give tensors, the columns are tensors on the same device.

    Args:
        num_envs: rows.
        steps: columns.
        device: of the tensors; None for arrays.

    >>> columns = Columns(2, 3)
    >>> for t in range(3):
    ...     columns.put(t, [("reward", np.full((2, 1), float(t), np.float32))])
    >>> columns.batch()["reward"][0].tolist()
    [[0.0], [1.0], [2.0]]
    """

    def __init__(self, num_envs: int, steps: int, device: torch.device | None = None) -> None:
        self._size, self._device, self._single = (num_envs, steps), device, steps == 1
        self._columns: dict[Key, Any] = {}

    def put(self, step: int, entries: Iterable[tuple[Key, Any]]) -> None:
        """Store one step's values of some entries, ``[num_envs, *shape]``: arrays or tensors, which are copied."""
        columns, as_arrays = self._columns, self._device is None
        for key, value in entries:
            if as_arrays and type(value) is not np.ndarray and value.dtype is not torch.bfloat16:
                value = value.numpy(force=True)
            column = columns.get(key)
            if column is not None:
                column[:, step] = value
            elif self._single and as_arrays and type(value) is np.ndarray:
                columns[key] = value[:, None].copy()  # the whole column at once
            else:
                column = columns[key] = self._empty(value)
                column[:, step] = value

    def zeros(self, key: Key, *shape: int) -> None:
        """An entry of flags, none of which is set at any step."""
        whole = (*self._size, *shape)
        if self._device is None:
            self._columns[key] = np.zeros(whole, np.bool_)
        else:
            self._columns[key] = torch.zeros(whole, dtype=torch.bool, device=self._device)

    def __getitem__(self, key: Key) -> Any:
        """One entry as it is now, ``[num_envs, steps, *shape]``: an array or a tensor."""
        return self._columns[key]

    def batch(self) -> TensorDict:
        """The entries as one TensorDict, in the memory that has been written."""
        batch: dict[Any, Any] = {}
        for key, column in self._columns.items():
            tensor = torch.from_numpy(column) if type(column) is np.ndarray else column
            if isinstance(key, str):
                batch[key] = tensor
                continue
            *groups, name = path_of(key)
            group = batch
            for part in groups:
                group = group.setdefault(part, {})
            group[name] = tensor
        # The shapes are right: the public constructor, which looks at each, takes several times as long.
        return TensorDict._new_unsafe(batch, batch_size=torch.Size(self._size))

    def _empty(self, value: Any) -> Any:
        whole = (*self._size, *value.shape[1:])
        if type(value) is np.ndarray:
            return np.empty(whole, value.dtype)
        return torch.empty(whole, dtype=value.dtype, device=self._device)
