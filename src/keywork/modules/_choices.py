"""Discrete actions in the forms in which they are stored: the best one by its value, and a random one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

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

    def greedy(self, values: Tensor, mask: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The action of the highest value, one of several that tie, and that value, with a last dimension of one."""
        raise NotImplementedError

    def random(self, action: Tensor, mask: Tensor | None) -> Tensor:
        """As many actions, uniform among what the mask allows; of the same type, or flags where that has to be cast."""
        raise NotImplementedError

    def value_of(self, values: Tensor, action: Tensor) -> Tensor:
        """The value of an action, with a last dimension of one."""
        raise NotImplementedError

    def batch_of(self, action: Tensor) -> Size:
        """The batch dimensions of an action.

        Raises:
            SpecError: its last dimensions are not those of the spec.
        """
        cut = action.ndim - self.dims
        if cut < 0 or action.shape[cut:] != self.shape:
            raise refusal(
                SpecError,
                f"{self.owner} cannot explore this action: it has another shape.",
                where="the action",
                expected=f"the last dimensions {list(self.shape or ())}",
                got=shape_of(action),
                fix="the spec of the form in which actions are stored: Categorical for indices, OneHot for vectors",
            )
        return action.shape[:cut]

    def require_count(self, values: Tensor, count: int) -> None:
        """Refuse values of another number than this.

        Raises:
            SpecError: their last dimension is another.
        """
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
    """One of n choices, stored as an index. Values and masks: ``[*B, *shape, n]``.

    Args:
        owner: whose actions these are.
        n: how many choices; None takes as many as there are values.
        shape: the elements are independent of each other, each with a value of its own.
    """

    def __init__(self, owner: str, n: int | None, shape: Sequence[int] = ()) -> None:
        super().__init__(owner, shape, len(shape))
        self.n = n

    def greedy(self, values: Tensor, mask: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The index ``[*B, *shape]`` of the highest value, and that value."""
        if self.n is not None and values.shape[-1] != self.n:
            self.require_count(values, self.n)
        if mask is not None:
            values = without(self.owner, values, mask)
        chosen, index = values.max(-1, keepdim=True)
        index = index.squeeze(-1)
        return index if dtype is torch.int64 else index.to(dtype), chosen

    def random(self, action: Tensor, mask: Tensor | None) -> Tensor:
        """Uniform indices."""
        if mask is None:
            return torch.randint_like(action, self.n or 0)
        flags = as_mask(self.owner, mask, Size((*action.shape, self.n or 0)))
        return random_allowed(require_choice(self.owner, flags)).squeeze(-1).to(action.dtype)

    def value_of(self, values: Tensor, action: Tensor) -> Tensor:
        """The values of indices, ``[*B, *shape, 1]``."""
        return values.gather(-1, action.unsqueeze(-1).long())


class OneHotOf(Choices):
    """One of n choices, stored as a vector with a single one. Values and masks: ``[*B, n]``.

    Args:
        owner: whose actions these are.
        n: how many choices; None takes as many as there are values.
    """

    def __init__(self, owner: str, n: int | None) -> None:
        super().__init__(owner, None if n is None else (n,), 1)
        self.n = n
        self.register_buffer("places", None if n is None else torch.arange(n), persistent=False)

    def greedy(self, values: Tensor, mask: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The vector ``[*B, n]`` of the highest value, and that value."""
        if self.n is not None and values.shape[-1] != self.n:
            self.require_count(values, self.n)
        if mask is not None:
            values = without(self.owner, values, mask)
        chosen, index = values.max(-1, keepdim=True)
        places = self._buffers["places"]  # at a fraction of the price of an attribute
        places = torch.arange(values.shape[-1], device=values.device) if places is None else places
        flags = torch.eq(index, places)
        return flags.long() if dtype is torch.int64 else flags.to(dtype), chosen

    def random(self, action: Tensor, mask: Tensor | None) -> Tensor:
        """Uniform vectors, of flags."""
        if mask is None:
            index = torch.randint(self.n or 0, (*action.shape[:-1], 1), device=action.device)
        else:
            index = random_allowed(require_choice(self.owner, as_mask(self.owner, mask, action.shape)))
        return torch.eq(index, cast(Tensor, self._buffers["places"]))

    def value_of(self, values: Tensor, action: Tensor) -> Tensor:
        """The values of the ones, ``[*B, 1]``."""
        return sum_of_ones(values, action, 1)


class Bits(Choices):
    """Zeros and ones. Values and masks: ``[*B, *shape]``; a one adds its value to the action's, a zero nothing.

    The best action is thus one wherever the value is positive. A mask says which bits may be one.

    Args:
        owner: whose actions these are.
        shape: of the action; None takes that of the values' last dimension.
    """

    def __init__(self, owner: str, shape: Sequence[int] | None = None) -> None:
        super().__init__(owner, shape, 1 if shape is None else len(shape))

    def greedy(self, values: Tensor, mask: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The bits of positive value, and the sum ``[*B, 1]`` of their values."""
        if self.shape:
            self.require_count(values, self.shape[-1])
        ones = values > 0
        if mask is not None:
            ones = ones & as_mask(self.owner, mask, values.shape)
        return ones.to(dtype), sum_of_ones(values, ones, self.dims)

    def random(self, action: Tensor, mask: Tensor | None) -> Tensor:
        """Fair coins, flags, for the bits that may be one."""
        ones = torch.rand_like(action, dtype=torch.float32) < 0.5
        return ones if mask is None else ones & as_mask(self.owner, mask, action.shape)

    def value_of(self, values: Tensor, action: Tensor) -> Tensor:
        """The sums of the ones' values, ``[*B, 1]``."""
        return sum_of_ones(values, action, self.dims)


def without(owner: str, values: Tensor, mask: Tensor) -> Tensor:
    """The values, -inf where the mask forbids the choice."""
    allowed = require_choice(owner, as_mask(owner, mask, values.shape))
    return values.masked_fill(~allowed, -math.inf)


def sum_of_ones(values: Tensor, ones: Tensor, dims: int) -> Tensor:
    """Σ of the values where there is a one, over the last ``dims`` dimensions, ``[*B, 1]``."""
    own = values.masked_fill(ones == 0, 0.0)
    return own.flatten(-dims).sum(-1, keepdim=True) if dims else own.unsqueeze(-1)


def random_allowed(mask: Tensor) -> Tensor:
    """For each row of flags the place of one that is True, each as likely as the others, ``[*rows, 1]``."""
    lots = torch.rand_like(mask, dtype=torch.float32)
    return lots.masked_fill(~mask, -1.0).argmax(-1, keepdim=True)
