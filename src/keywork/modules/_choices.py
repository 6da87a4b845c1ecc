"""Discrete actions: the best one by its value, a random one, and the form in which it is stored.

Whatever the form of an action, a *pick* says which choice it takes: int64 ``[*B, 1]``, or ``[*B, K, 1]`` for an action
of K independent choices. (Of a binary action the pick is its bits.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Size, Tensor, nn

from keywork._errors import SpecError, shape_of
from keywork.modules._mask import as_mask, require_choice
from keywork.modules._refusal import refusal


class Choices(nn.Module):
    """The abstract base of the forms of discrete actions.

    Args:
        owner: whose actions these are, for the messages.
        shape: of one action, without batch dimensions; None where only the data say.
        dims: how many dimensions that is.
    """

    def __init__(self, owner: str, shape: Sequence[int] | None, dims: int) -> None:
        super().__init__()
        self.owner, self.dims = owner, dims
        self.shape = None if shape is None else Size(shape)

    def greedy(self, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The pick of the highest value, a single one of several that tie, and that value, with a last dim of one."""
        raise NotImplementedError

    def random(self, batch: Size, mask: Tensor | None, device: torch.device) -> Tensor:
        """A pick for each element of the batch, uniform among what the mask allows."""
        raise NotImplementedError

    def value_of(self, values: Tensor, picks: Tensor) -> Tensor:
        """The value of a pick, with a last dimension of one."""
        raise NotImplementedError

    def encode(self, picks: Tensor, dtype: torch.dtype, count: int = 0) -> Tensor:
        """The action in the form in which it is stored; ``count`` values there were, where that has to be known."""
        raise NotImplementedError

    def batch_of(self, action: Tensor) -> Size:
        """The batch dimensions of an action.

        Raises:
            SpecError: its last dimensions are not those of the spec.
        """
        cut = action.ndim - self.dims
        if cut < 0 or (self.dims and action.shape[cut:] != self.shape):
            raise refusal(
                SpecError,
                f"{self.owner} cannot explore this action: it has another shape.",
                where="the action",
                expected=f"the last dimensions {list(self.shape or ())}",
                got=shape_of(action),
                fix="give the spec of the form in which actions are stored: Categorical for indices, OneHot for vectors",
            )
        return action.shape[:cut]

    def require_count(self, values: Tensor, count: int) -> None:
        """Refuse values of another number than this."""
        if values.shape[-1:] != (count,):
            raise refusal(
                SpecError,
                f"{self.owner} cannot choose: there are not as many values as choices.",
                where="the action values",
                expected=f"a last dimension of {count}",
                got=shape_of(values),
                fix=f"end the network in {count} outputs, or correct the spec",
            )


class OneOf(Choices):
    """One of n choices, stored as an index or as a one-hot vector. Values and masks: ``[*B, *shape, n]``.

    Args:
        owner: whose actions these are.
        n: how many choices; None takes as many as there are values.
        shape: of an index: its elements are independent of each other, each with a value of its own.
        one_hot: stored as a one-hot vector.
    """

    def __init__(self, owner: str, n: int | None, shape: Sequence[int] = (), *, one_hot: bool = False) -> None:
        vector = (None if n is None else (n,), 1)
        super().__init__(owner, *(vector if one_hot else (shape, len(shape))))
        self.n, self.one_hot = n, one_hot
        self._inner = Size(() if one_hot else shape)

    def greedy(self, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The highest value's pick ``[*B, *shape, 1]``, and that value."""
        if self.n is not None:
            self.require_count(values, self.n)
        if mask is not None:
            allowed = require_choice(self.owner, as_mask(self.owner, mask, values.shape))
            values = values.masked_fill(~allowed, -math.inf)
        chosen, picks = values.max(-1, keepdim=True)
        return picks, chosen

    def random(self, batch: Size, mask: Tensor | None, device: torch.device) -> Tensor:
        """Uniform picks ``[*B, *shape, 1]``."""
        rows, n = batch + self._inner, self.n or 0
        if mask is None:
            return torch.randint(n, (*rows, 1), device=device)
        return random_allowed(require_choice(self.owner, as_mask(self.owner, mask, Size((*rows, n)))))

    def value_of(self, values: Tensor, picks: Tensor) -> Tensor:
        """The values of picks, ``[*B, *shape, 1]``."""
        return values.gather(-1, picks)

    def encode(self, picks: Tensor, dtype: torch.dtype, count: int = 0) -> Tensor:
        """Indices ``[*B, *shape]``, or vectors ``[*B, n]``."""
        if self.one_hot:
            return one_hot(picks, self.n or count).to(dtype)
        return picks.squeeze(-1).to(dtype)


class Bits(Choices):
    """Zeros and ones. Values and masks: ``[*B, *shape]``; a one adds its value to the action's, a zero nothing.

    The best action is thus one wherever the value is positive. A mask says which bits may be one.

    Args:
        owner: whose actions these are.
        shape: of the action; None takes that of the values' last dimension.
    """

    def __init__(self, owner: str, shape: Sequence[int] | None = None) -> None:
        super().__init__(owner, shape, 1 if shape is None else len(shape))

    def greedy(self, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The bits of positive value, and the sum ``[*B, 1]`` of their values."""
        if self.shape is not None and self.shape:
            self.require_count(values, self.shape[-1])
        picks = values > 0
        if mask is not None:
            picks = picks & as_mask(self.owner, mask, values.shape)
        return picks, self.value_of(values, picks)

    def random(self, batch: Size, mask: Tensor | None, device: torch.device) -> Tensor:
        """Fair coins, for the bits that may be one."""
        picks = torch.rand((*batch, *(self.shape or ())), device=device) < 0.5
        return picks if mask is None else picks & as_mask(self.owner, mask, picks.shape)

    def value_of(self, values: Tensor, picks: Tensor) -> Tensor:
        """The sums of the ones' values, ``[*B, 1]``."""
        own = values.masked_fill(~picks, 0.0)
        return own.flatten(-self.dims).sum(-1, keepdim=True) if self.dims else own.unsqueeze(-1)

    def encode(self, picks: Tensor, dtype: torch.dtype, count: int = 0) -> Tensor:
        """The bits as numbers."""
        return picks.to(dtype)


def one_hot(picks: Tensor, n: int) -> Tensor:
    """Flags, of picks with a last dimension of one."""
    return picks == torch.arange(n, device=picks.device)


def random_allowed(mask: Tensor) -> Tensor:
    """For each row of flags the place of one that is True, each as likely as the others."""
    lots = torch.rand(mask.shape, device=mask.device)
    return lots.masked_fill(~mask, -1.0).argmax(-1, keepdim=True)
