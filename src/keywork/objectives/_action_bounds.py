"""Within what bounds the actions of a loss are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from keywork._errors import ContractError, Finding
from keywork._keys import Key, listed
from keywork.specs import Bounded, Composite, Spec, Unbounded, as_spec


class ActionBounds(nn.Module):
    """The bounds of actions, which move to another device with the loss; they are not part of its state.

    Args:
        owner: the loss.
        actions: the keys of the actions.
        spec: what they are; None takes that of the actor.
        actor: a policy, of whose parts one may have a spec.
        finite: whether every bound has to be a finite number.

    Raises:
        ContractError: there is no spec of an action, or it is no real number.

    >>> bounds = ActionBounds("TD3Loss", ["action"], Bounded(-2.0, 2.0, (3,)), nn.Identity())
    >>> bounds.of("action"), bounds.half_range("action")
    ((tensor([-2., -2., -2.]), tensor([2., 2., 2.])), 2.0)
    """

    def __init__(
        self, owner: str, actions: Sequence[Key], spec: Any, actor: nn.Module, *, finite: bool = False
    ) -> None:
        super().__init__()
        specs = list(_specs_in(actor)) if spec is None else [as_spec(spec)]
        self._plain: list[tuple[float | None, ...]] = []
        self._numbers = {key: number for number, key in enumerate(actions)}
        for key, number in self._numbers.items():
            found = next((leaf for each in specs if (leaf := _of(each, key)) is not None), None)
            if not isinstance(found, Bounded | Unbounded) or not found.dtype.is_floating_point:
                raise ContractError(owner, [_without(key, found)])
            low, high = (found.low, found.high) if isinstance(found, Bounded) else _unbounded(found)
            if finite and not bool((low.isfinite() & high.isfinite()).all()):
                raise ContractError(owner, [_endless(key, found)])
            half = torch.where(low.isfinite() & high.isfinite(), (high - low) / 2, 1.0)
            for name, bound in (("low", low), ("high", high), ("half", half)):
                self.register_buffer(f"{name}_{number}", bound.clone(), persistent=False)
            # Plain numbers, where one does for all elements, take a tenth of the time.
            self._plain.append((_number(low), _number(high), _number(half)))

    def of(self, action: Key) -> tuple[Tensor, Tensor]:
        """The least and the greatest that an action can be, for each of its elements."""
        number = self._numbers[action]
        return getattr(self, f"low_{number}"), getattr(self, f"high_{number}")

    def ends(self, action: Key) -> tuple[float | Tensor, float | Tensor]:
        """The same; as plain numbers, where these are one for all elements."""
        low, high, _ = self._plain[self._numbers[action]]
        return self.of(action) if low is None or high is None else (low, high)

    def half_range(self, action: Key) -> float | Tensor:
        """(high - low) / 2, and 1 where there are no bounds; a plain number, where it is one for all elements."""
        number = self._numbers[action]
        half = self._plain[number][2]
        return getattr(self, f"half_{number}") if half is None else half


def _specs_in(actor: nn.Module) -> Iterator[Spec]:
    for part in actor.modules():
        spec = getattr(part, "spec", None)
        if isinstance(spec, Spec):
            yield spec


def _of(spec: Spec, key: Key) -> Spec | None:
    return spec.get(key) if isinstance(spec, Composite) else spec


def _number(bound: Tensor) -> float | None:
    first = bound.flatten()[:1]
    return float(first) if first.numel() and bool((bound == first).all()) else None


def _unbounded(spec: Unbounded) -> tuple[Tensor, Tensor]:
    high = torch.full(spec.shape, torch.inf, dtype=spec.dtype)
    return -high, high


def _endless(key: Key, spec: Spec) -> Finding:
    problem = f"{listed([key])} has no bounds between which to draw it."
    return Finding("no-bounds", problem, f"its spec is {spec!r}", "say some: action_spec=Bounded(-1.0, 1.0, (n,)).")


def _without(key: Key, spec: Spec | None) -> Finding:
    if spec is None:
        problem = f"nobody has said within what bounds {listed([key])} is."
        fix = "say it: action_spec=env.action_spec, or give the actor its spec."
        return Finding("no-bounds", problem, "the actor has no spec of it", fix)
    problem = f"{listed([key])} is no vector of real numbers, and is to be moved a little."
    fix = "DiscreteSACLoss and DQNLoss learn choices."
    return Finding("no-bounds", problem, f"its spec is {spec!r}", fix)
