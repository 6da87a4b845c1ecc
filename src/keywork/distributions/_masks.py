"""Which of n choices are allowed, as a mask or as a list of indices, put upon logits."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor

from keywork._errors import SpecError, shape_of

from ._base import values_at_hand


def masked(
    owner: str,
    scores: Tensor,
    *,
    mask: Any = None,
    indices: Any = None,
    padding_value: int | None = None,
    validate_args: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """The mask ``[*B, n]``, and the scores with −inf where it is False.

    Args:
        owner: whose mask it is, for the messages.
        scores: unnormalised log-probabilities ``[*B, n]``.
        mask: as ``MaskedCategorical`` describes it.
        indices: instead of the mask; as ``MaskedCategorical`` describes it.
        padding_value: an index that counts for nothing.
        validate_args: False looks at no values, None at those on a CPU, True at all.

    Raises:
        SpecError: both or neither of mask and indices, a type or a shape that they cannot have, an index that is no
            choice, or a row that allows nothing.
    """
    if (mask is None) == (indices is None):
        what = "neither" if mask is None else "both"
        raise SpecError(
            f"{owner} cannot be built: it takes either mask or indices, and got {what}. "
            "Pass mask=, a bool for each choice, or indices=, the choices that are allowed."
        )
    if indices is None and padding_value is not None:
        raise SpecError(
            f"{owner} cannot be built: padding_value={padding_value} pads rows of indices, and it got a mask. "
            "Drop padding_value."
        )
    if indices is None:
        allowed = _from_flags(owner, _tensor(mask, scores), scores.shape)
    else:
        allowed = _from_indices(owner, _tensor(indices, scores), scores.shape, padding_value, validate_args)
    # masked_fill takes the number as it is, where torch.where would make a tensor of it and copy that to the device.
    scores = scores.masked_fill(~allowed, -math.inf)
    if _to_be_checked(scores, validate_args):
        _require_choice(owner, allowed, scores.detach())
    return allowed, scores


def _from_flags(owner: str, mask: Tensor, shape: Size) -> Tensor:
    if mask.is_floating_point() or mask.is_complex():
        # 0 and 1, or 0 and -inf to be added to the logits: both are in use, and they mean opposite things.
        raise SpecError(
            f"{owner} cannot be built: its mask is {shape_of(mask)}, and only a bool or an integer says which choices "
            "are allowed. Pass mask.bool() if 1 allows and 0 forbids, or mask == 0 if −inf forbids."
        )
    return _expanded(owner, "mask", mask if mask.dtype is torch.bool else mask != 0, shape)


def _from_indices(
    owner: str, indices: Tensor, shape: Size, padding_value: int | None, validate_args: bool | None
) -> Tensor:
    if indices.dtype is torch.bool or indices.is_floating_point() or indices.is_complex():
        raise SpecError(
            f"{owner} cannot be built: its indices are {shape_of(indices)}, and an index is an integer. "
            "Pass a tensor of flags as mask=, and indices as int64."
        )
    indices, n = indices.long(), shape[-1]
    if indices.ndim:
        shape = shape[:-1] + indices.shape[-1:]
    indices = _expanded(owner, "indices", indices, shape)
    if padding_value is not None:
        # One place behind the choices takes what counts for nothing.
        indices = indices.masked_fill(indices == padding_value, n)
    known = n if padding_value is None else n + 1
    if _to_be_checked(indices, validate_args):
        _require_known(owner, indices, n, known)
    nothing = torch.zeros(*shape[:-1], known, dtype=torch.bool, device=indices.device)
    return nothing.scatter(-1, indices, True)[..., :n]


def _expanded(owner: str, name: str, value: Tensor, shape: Size) -> Tensor:
    """Repeat a value over the batch; never over the choices, and the batch never over the value."""
    spare = len(shape) - value.ndim
    if value.shape == shape:
        return value
    if (
        value.ndim == 0
        or spare < 0
        or value.shape[-1] != shape[-1]
        or any(size not in (1, full) for size, full in zip(value.shape, shape[spare:], strict=True))
    ):
        wanted = ", ".join([*map(str, shape[:-1]), "k" if name == "indices" else str(shape[-1])])
        raise SpecError(
            f"{owner} cannot be built: {name} of shape {list(value.shape)} does not fit the logits, which ask for "
            f"[{wanted}] or fewer dimensions in front. Give {name} that shape, or expand the logits to a larger batch."
        )
    return value.expand(shape)


def _require_known(owner: str, indices: Tensor, n: int, known: int) -> None:
    bad = (indices < 0) | (indices >= known)
    if bool(bad.any()):
        place = tuple(bad.nonzero()[0].tolist())
        raise SpecError(
            f"{owner} cannot be built: indices at {list(place)} is {int(indices[place])}, and its choices are 0 to "
            f"{n - 1}. Correct the index, or name what pads the rows with padding_value=."
        )


def _require_choice(owner: str, mask: Tensor, scores: Tensor) -> None:
    if scores.numel() and scores.amax(-1).amin().item() > -math.inf:  # a NaN is looked into below
        return
    impossible = (scores == -math.inf).all(-1)
    if not bool(impossible.any()):
        return
    rows = impossible.nonzero().tolist()
    forbidden = not bool(mask[tuple(rows[0])].any())
    why = "its mask allows no choice" if forbidden else "every logit that its mask allows is −inf"
    raise SpecError(
        f"{owner} cannot be built: {why} in row {rows[0]}, the first of {len(rows)} such rows among "
        f"{impossible.numel()}. Let every row allow a choice, one that does nothing if need be."
    )


def _tensor(value: Any, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value, device=like.device)


def _to_be_checked(value: Tensor, validate_args: bool | None) -> bool:
    return values_at_hand(value) if validate_args is None else validate_args
