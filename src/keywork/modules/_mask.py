"""Masks of actions: which choices are allowed, and what cannot be a mask."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch._C._functorch import is_batchedtensor

from keywork._errors import SpecError, shape_of
from keywork.modules._refusal import refusal


def as_mask(owner: str, mask: Tensor, shape: Size) -> Tensor:
    """The mask as flags; numbers count as True where they are not zero.

    Raises:
        SpecError: it has not this shape; to broadcast it would allow what is forbidden.
    """
    if mask.shape != shape:
        raise refusal(
            SpecError,
            f"{owner} cannot use its action mask: it has another shape.",
            where="the action mask",
            expected=f"a flag for each choice, of shape {list(shape)}",
            got=shape_of(mask),
            fix="mask.expand(...) repeats it over the batch; the last dimension counts the choices",
        )
    return mask if mask.dtype is torch.bool else mask != 0


def require_choice(owner: str, mask: Tensor) -> Tensor:
    """The mask ``[*rows, n]``, if every row allows something.

    Looked at on the CPU alone: an accelerator would have to wait for the answer, and under ``torch.compile`` and
    ``torch.vmap`` there is none.

    Raises:
        SpecError: a row, which is named, allows nothing.
    """
    if not _can_look(mask):
        return mask
    some = mask.any(-1)
    if bool(some.all()):
        return mask
    rows = (~some).nonzero().tolist()
    raise refusal(
        SpecError,
        f"{owner} cannot choose an action: the action mask of row {rows[0]} allows none.",
        where="the action mask",
        expected="at least one True in each row",
        got=f"rows of False alone: {len(rows)} of {some.numel()}, {', '.join(map(str, rows[:8]))}",
        fix="let the environment allow one choice in every state, a choice that does nothing if need be",
    )


def _can_look(value: Tensor) -> bool:
    """Whether reading a value costs no wait, and is possible at all: not so where tensors stand for others."""
    return (
        not torch.compiler.is_compiling()
        and value.device.type == "cpu"
        and type(value) in (Tensor, torch.nn.Parameter)
        and not is_batchedtensor(value)
    )
