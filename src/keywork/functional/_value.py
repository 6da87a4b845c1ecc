"""The loss of a critic."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from keywork._errors import SpecError
from keywork.functional._checks import require_same_shape

_LOSSES = {"l2": F.mse_loss, "l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss}


def value_loss(
    value: Tensor,
    target: Tensor,
    *,
    kind: Literal["l2", "l1", "smooth_l1"] = "l2",
    old_value: Tensor | None = None,
    clip_epsilon: float | None = None,
) -> Tensor:
    """Per-sample loss ℓ(v, G), to be minimised: (v - G)² for ``"l2"``, |v - G| for ``"l1"``.

    For ``"smooth_l1"`` it is Huber's: (v - G)² / 2 where |v - G| < 1 and |v - G| - 1/2 beyond. With ``clip_epsilon``
    the loss is max(ℓ(v, G), ℓ(v_old + clip(v - v_old, -ε, ε), G)): PPO's value clipping. The target is a constant.

    Args:
        value: predictions [*B].
        target: what they should be [*B].
        kind: the loss ℓ.
        old_value: the predictions of the critic when the batch was collected [*B]; with ``clip_epsilon`` only.
        clip_epsilon: how far a prediction may move and still gain, ε > 0; with ``old_value`` only.

    Raises:
        SpecError: the shapes differ, there is no such loss, or only one of ``old_value`` and ``clip_epsilon`` is given.

    >>> value_loss(torch.tensor([1.0, 4.0]), torch.tensor([0.0, 1.0]))
    tensor([1., 9.])
    >>> value_loss(torch.tensor([1.0, 4.0]), torch.tensor([0.0, 1.0]), kind="smooth_l1")
    tensor([0.5000, 2.5000])
    """
    require_same_shape("value_loss", value=value, target=target)
    loss = _LOSSES.get(kind)
    if loss is None:
        raise SpecError(
            f"value_loss cannot be computed: kind={kind!r} is no loss. "
            f"It takes one of {', '.join(map(repr, _LOSSES))}. Pass kind='l2' for the squared error."
        )
    target = target.detach()
    plain: Tensor = loss(value, target, reduction="none")
    if old_value is None and clip_epsilon is None:
        return plain
    if old_value is None or clip_epsilon is None or not clip_epsilon > 0.0:
        raise SpecError(
            "value_loss cannot be computed: clipping takes old_value and clip_epsilon > 0 together; "
            f"got {'no old_value' if old_value is None else 'old_value'} and clip_epsilon={clip_epsilon}. "
            "Pass both, or neither."
        )
    require_same_shape("value_loss", value=value, old_value=old_value)
    old_value = old_value.detach()
    clipped = old_value + (value - old_value).clamp(-clip_epsilon, clip_epsilon)
    return torch.maximum(plain, loss(clipped, target, reduction="none"))
