"""What unnormalised log-probabilities have to be."""

from __future__ import annotations

from torch import Tensor

from keywork._errors import SpecError, refusal, shape_of


def require_floating(owner: str, name: str, value: Tensor) -> None:
    """Refuse scores of integers or flags, which are an action or a mask in the wrong place.

    Raises:
        SpecError: the tensor is not floating.
    """
    if value.is_floating_point():
        return
    raise refusal(
        SpecError,
        f"{owner} cannot be built: its {name} are no floating-point numbers.",
        where=name,
        expected="unnormalised log-probabilities, of a floating type",
        got=shape_of(value),
        fix=f"{owner}({name}={name}.float()), if these are {name} and neither actions nor a mask",
    )
