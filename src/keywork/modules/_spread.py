"""One number for each element of a batch, brought into the shape of something larger."""

from __future__ import annotations

from torch import Tensor

from keywork._errors import SpecError, shape_of
from keywork.modules._refusal import refusal


def spread(owner: str, key: object, flag: Tensor, like: Tensor) -> Tensor:
    """A tensor ``[*B, 1]`` as ``[*B, 1, ..., 1]``, with as many dimensions as ``like``, which is ``[*B, ...]``.

    Raises:
        SpecError: it has no last dimension of one, or another batch: broadcasting would mix up environments.
    """
    batch = flag.shape[:-1]
    if flag.shape[-1:] != (1,) or like.shape[: len(batch)] != batch:
        raise refusal(
            SpecError,
            f"{owner} cannot tell where episodes begin: {key!r} does not fit the other entries.",
            where=repr(key),
            expected=f"(*B, 1), for entries (*B, ...) such as one of {shape_of(like)}",
            got=shape_of(flag),
            fix="flag.unsqueeze(-1) adds the last dimension",
        )
    return flag.reshape(*batch, *[1] * (like.ndim - len(batch)))
