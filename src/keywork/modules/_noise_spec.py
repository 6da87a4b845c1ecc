"""What the modules that add numbers to an action ask of its spec, and how they stay inside of it."""

from __future__ import annotations

from torch import Tensor

from keywork._errors import SpecError
from keywork.modules._refusal import refusal
from keywork.specs import Bounded, Spec, Unbounded


def require_numbers(owner: str, spec: Spec) -> None:
    """Refuse a spec of anything but real numbers.

    Raises:
        SpecError: noise cannot be added to such actions.
    """
    if not isinstance(spec, Bounded | Unbounded) or not spec.dtype.is_floating_point:
        raise refusal(
            SpecError,
            f"{owner} cannot add noise to these actions: they are no real numbers.",
            where="spec",
            expected="Bounded or Unbounded, of a floating dtype",
            got=repr(spec),
            fix="EGreedyModule explores discrete actions",
        )


def inside(spec: Spec, action: Tensor, name: str) -> Tensor:
    """The nearest action that the spec allows, in the dtype that the action has.

    Raises:
        SpecError: the action has another shape, or a NaN on the CPU.
    """
    nearest: Tensor = spec.project(action, name)
    return nearest.to(action.dtype)
