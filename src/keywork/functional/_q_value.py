"""What a state is worth by the values of its actions: the vₜ₊₁ of Q-learning's targets."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork.functional._checks import require_mask, require_same_shape


def greedy_value(q: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """v = maxₐ q(a)   (Watkins 1989). The target of Q-learning is ``td0_target`` with this as vₜ₊₁.

    Args:
        q: action values [*B, n].
        mask: which actions are allowed [*B, n]. Without any, as a mask may be at the end of an episode, the value is
            the lowest number there is, which termination multiplies by zero.

    Returns:
        The values [*B, 1].

    Raises:
        SpecError: the shapes differ, or the mask is no mask.

    >>> q_tp1 = torch.tensor([[1.0, 4.0], [2.0, 6.0]])
    >>> v_tp1 = greedy_value(q_tp1, mask=torch.tensor([[True, True], [True, False]]))
    >>> v_tp1
    tensor([[4.],
            [2.]])
    """
    return _allowed("greedy_value", q, mask).amax(-1, keepdim=True)


def double_q_value(q: Tensor, q_online: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """v = q(argmaxₐ q_online(a))   (van Hasselt, Guez & Silver 2016, arXiv 1509.06461).

    One network chooses, another one says what the choice is worth, so that no error is chosen for its size. The
    double-Q target is ``td0_target`` with this as vₜ₊₁, q of the target network.

    Args:
        q: action values that evaluate [*B, n].
        q_online: action values that choose [*B, n].
        mask: which actions may be chosen [*B, n].

    Returns:
        The values [*B, 1].

    Raises:
        SpecError: the shapes differ, or the mask is no mask.

    >>> double_q_value(torch.tensor([[1.0, 4.0]]), torch.tensor([[3.0, 2.0]]))
    tensor([[1.]])
    """
    require_same_shape("double_q_value", q=q, q_online=q_online)
    chosen = _allowed("double_q_value", q_online, mask).argmax(-1, keepdim=True)
    return q.gather(-1, chosen)


def _allowed(function: str, q: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return q
    require_same_shape(function, q=q, mask=mask)
    require_mask(function, mask=mask)
    # Not -inf: a terminal state's value is multiplied by zero.
    return torch.where(mask, q, torch.finfo(q.dtype).min)
