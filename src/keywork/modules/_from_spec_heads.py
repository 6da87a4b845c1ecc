"""Which distribution fits an action's spec, and how a network's outputs become its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from keywork._errors import SpecError, describe
from keywork._keys import LOC, LOGITS, SCALE
from keywork.distributions import (
    AddStateIndependentNormalScale,
    Bernoulli,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    MultiCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    TanhNormal,
)
from keywork.distributions import Categorical as CategoricalDistribution
from keywork.modules._refusal import refusal
from keywork.specs import Bounded, Categorical, MultiBinary, MultiDiscrete, OneHot, Spec, Unbounded

Maker = Callable[..., Distribution]
ScaleMapping = str | Callable[[Tensor], Tensor]
MASK = "mask"
_PARAM, _SCORES = "param", "scores"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a policy.

    Attributes:
        maker: the distribution.
        arguments: its parameters, in the order in which they come out.
        width: how many outputs of the network they are made of.
        finish: what makes them of these.
        keywords: further arguments of every construction.
        choices: the length of a mask; None where there cannot be one.
    """

    maker: Maker
    arguments: tuple[str, ...]
    width: int
    finish: tuple[nn.Module, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    choices: int | None = None


class Shaped(nn.Module):
    """Parameters in the shape and type of an action: ``[*B, Π shape]`` to ``[*B, *shape]``."""

    def __init__(self, shape: torch.Size, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.shape, self.dtype = tuple(shape), dtype

    def forward(self, *parameters: Tensor) -> Any:
        """Each in that shape."""
        shaped = [x.reshape((*x.shape[:-1], *self.shape)) for x in parameters]
        typed = shaped if self.dtype is None else [x.to(self.dtype) for x in shaped]
        return tuple(typed) if len(typed) > 1 else typed[0]


def head_of(owner: str, spec: Spec, maker: Maker | None, masked: bool, scale: ScaleMapping | None) -> Head:
    """The end of a policy for one action.

    Args:
        owner: whose it is, for the messages.
        spec: what the action is.
        maker: the distribution that was asked for, or None.
        masked: whether a mask says which choices are allowed.
        scale: what the network's outputs for a scale become; None learns one that is the same in every state.

    Raises:
        SpecError: there is no distribution for such actions, or the one that was asked for is of another kind.
    """
    if isinstance(spec, Bounded | Unbounded) and spec.dtype.is_floating_point and not masked:
        return _numbers(owner, spec, maker or _default_for(owner, spec), scale)
    count = spec.shape.numel()
    if isinstance(spec, OneHot):
        usual: Maker = MaskedOneHotCategorical if masked else OneHotCategorical
        return _choices(owner, spec, maker, usual, [spec.n])
    if isinstance(spec, Categorical) and not spec.shape:
        usual = MaskedCategorical if masked else CategoricalDistribution
        return _choices(owner, spec, maker, usual, [spec.n])
    if isinstance(spec, Categorical | MultiDiscrete) and count:
        counts = [spec.n] * count if isinstance(spec, Categorical) else spec.nvec.flatten().tolist()
        keywords = {"nvec": tuple(counts), "shape": tuple(spec.shape)}
        return _choices(owner, spec, maker, MultiCategorical, counts, keywords)
    if isinstance(spec, MultiBinary) and not masked:
        dims = len(spec.shape)
        finish = () if dims == 1 else (Shaped(spec.shape, None),)
        _require_arguments(owner, spec, maker or Bernoulli, {LOGITS})
        return Head(maker or Bernoulli, (LOGITS,), count, finish, {"event_dims": dims})
    raise refusal(
        SpecError,
        f"{owner} cannot be built: there is no distribution for such actions{' with a mask' * masked}.",
        where="action_spec",
        expected="Categorical, OneHot or MultiDiscrete"
        if masked
        else "Categorical, OneHot, MultiDiscrete, MultiBinary, or floating Bounded and Unbounded",
        got=repr(spec),
        fix="leave action_mask_key out"
        if masked
        else "MultiDiscrete(nvec, start=low) for whole numbers between bounds",
    )


def _choices(
    owner: str, spec: Spec, maker: Maker | None, usual: Maker, counts: list[int], keywords: Mapping[str, Any] = {}
) -> Head:
    made = maker or usual
    argument = _SCORES if _SCORES in inspect.signature(made).parameters else LOGITS
    # What takes the place of the usual one has to take what that one takes.
    needed = {argument, *keywords, *([MASK] if usual in (MaskedCategorical, MaskedOneHotCategorical) else [])}
    _require_arguments(owner, spec, made, needed)
    return Head(made, (argument,), sum(counts), (), keywords, sum(counts))


def _numbers(owner: str, spec: Bounded | Unbounded, maker: Maker, scale: ScaleMapping | None) -> Head:
    dims, count = len(spec.shape), spec.shape.numel()
    names = set(inspect.signature(maker).parameters)
    if isinstance(spec, Bounded) and {"low", "high"} <= names:
        _require_bounds(owner, spec)
    _require_arguments(owner, spec, maker, {_PARAM} if _PARAM in names else {LOC, SCALE})
    keywords = {} if dims == 1 else _event_of(names, spec.shape)
    plain = dims == 1 and spec.dtype is torch.get_default_dtype()
    shaped = () if plain else (Shaped(spec.shape, spec.dtype),)
    if _PARAM in names:
        return Head(maker, (_PARAM,), count, shaped, keywords)
    if scale is None:
        return Head(maker, (LOC, SCALE), count, (AddStateIndependentNormalScale((count,)), *shaped), keywords)
    return Head(maker, (LOC, SCALE), 2 * count, (NormalParamExtractor(scale), *shaped), keywords)


def _event_of(names: set[str], shape: torch.Size) -> dict[str, Any]:
    """How a distribution is told which dimensions are one action."""
    ways = {"event_dims": len(shape), "event_dim": len(shape), "event_shape": tuple(shape)}
    return next(({name: value} for name, value in ways.items() if name in names), {})


def _default_for(owner: str, spec: Bounded | Unbounded) -> Maker:
    if isinstance(spec, Unbounded) or not bool((spec.low.isfinite() | spec.high.isfinite()).any()):
        return IndependentNormal
    return TanhNormal


def _require_bounds(owner: str, spec: Bounded) -> None:
    if bool((spec.low.isfinite() & spec.high.isfinite() & (spec.low < spec.high)).all()):
        return
    raise refusal(
        SpecError,
        f"{owner} cannot be built: an action is not bounded on both sides, or its bounds leave it no room.",
        where="action_spec",
        expected="finite bounds, low < high, of every element; or no bound at all",
        got=repr(spec),
        fix="distribution=IndependentNormal, which leaves bounds to the environment; or scale the action to [-1, 1]",
    )


def _require_arguments(owner: str, spec: Spec, maker: Maker, names: set[str]) -> None:
    parameters = inspect.signature(maker).parameters
    if names <= set(parameters) or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    raise refusal(
        SpecError,
        f"{owner} cannot be built: {describe(maker)} is no distribution of such actions.",
        where=f"distribution, of {spec!r}",
        expected=f"one that takes {', '.join(sorted(names))}",
        got=f"one that takes {', '.join(parameters)}",
        fix="leave distribution out",
    )
