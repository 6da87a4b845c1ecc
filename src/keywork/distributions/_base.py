"""What every distribution of the package has in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.distributions import Distribution

from keywork._errors import SpecError, refusal, shape_of

from ._constraints import Constraint, holds

HALF = frozenset({torch.float16, torch.bfloat16})
"""Too coarse to compute a score in: parameters of these types are widened to float32 inside."""

NO_SHAPE = Size()


class ActionDistribution(Distribution):
    """The abstract base: a torch distribution that is cheap to build and scores a sample where it draws it.

    A subclass sets its parameters, calls ``super().__init__`` last, and writes ``rsample`` (or ``sample``),
    ``log_prob``, ``expand``, ``mode``, ``mean`` and ``deterministic_sample``.

    * **Shapes are always checked, values only with** ``validate_args=True``. Looking at values makes a GPU wait for
      the host and costs more than drawing the sample, so torch's process-wide default is not followed here.
    * **A scored value ends in** ``[*batch_shape, *event_shape]``; more dimensions may lead. Nothing else is
      broadcast: an action of shape ``[B, 1]`` against a batch ``[B]`` would become ``[B, B]`` without a word.
    * **float16 and bfloat16 parameters** are computed with in float32. Samples come back in the parameters' type,
      log-probabilities and entropies in float32, as under ``torch.autocast``.

    Args:
        batch_shape: the shape of the batch of independent distributions.
        event_shape: the shape of one sample.
        validate_args: True checks the values of parameters and of scored samples too.

    Raises:
        SpecError: ``validate_args=True`` and a parameter is outside its constraint.
    """

    def __init__(self, batch_shape: Size, event_shape: Size, validate_args: bool | None) -> None:
        # Torch's constructor would do no more than this, and take as long as drawing the sample's noise.
        self._batch_shape, self._event_shape = batch_shape, event_shape
        self._value_shape = batch_shape + event_shape if event_shape else batch_shape
        self._validate_args = bool(validate_args)
        if validate_args:
            self._check_parameters()

    @property
    def deterministic_sample(self) -> Tensor:
        """The action without noise that ``ExplorationType.DETERMINISTIC`` takes, inside the support."""
        raise NotImplementedError(f"{type(self).__name__} does not define deterministic_sample.")

    @property
    def support(self) -> Constraint:
        """The set that every sample lies in."""
        raise NotImplementedError(f"{type(self).__name__} does not define support.")

    def sample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw a sample that no gradient flows through, of shape ``[*sample_shape, *batch, *event]``."""
        with torch.no_grad():
            return self.rsample(sample_shape, generator=generator)

    def rsample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw a sample that gradients flow through to the parameters."""
        raise NotImplementedError(
            f"{type(self).__name__} has no reparameterised sample; use sample() and the score: log_prob()."
        )

    def sample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw a sample and score it; the sample is a constant to the gradient of its log-probability."""
        value = self.sample(sample_shape, generator=generator)
        return value, self.log_prob(value)

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw a reparameterised sample and score it; gradients flow through both."""
        value = self.rsample(sample_shape, generator=generator)
        return value, self.log_prob(value)

    def _checked(self, value: Any) -> Tensor:
        """Return a value that is to be scored, or say why it cannot be."""
        if not isinstance(value, Tensor):
            raise self._misfit(value, f"a {type(value).__name__}", "Convert it with torch.as_tensor(...).")
        shape = value.shape
        if shape != self._value_shape:
            missing = len(shape) - len(self._value_shape)
            if missing < 0 or shape[missing:] != self._value_shape:
                raise self._misfit(value, f"a value of shape {list(shape)}", self._shape_advice(value))
        if self._validate_args:
            require(holds(self.support, value), self, "value", value, str(self.support))
        return value

    def _misfit(self, value: Any, what: str, fix: str) -> SpecError:
        return refusal(
            SpecError,
            f"{type(self).__name__}.log_prob cannot score {what}.",
            where=f"batch shape {list(self.batch_shape)}, event shape {list(self.event_shape)}",
            expected=f"a tensor [..., {_inner(self._value_shape)}]",
            got=shape_of(value),
            fix=fix,
        )

    def _shape_advice(self, value: Tensor) -> str:
        return "Reshape the value, or expand() the distribution."

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            value = getattr(self, name)
            require(holds(constraint, value), self, name, value, str(constraint))


def require(valid: Tensor, owner: Distribution, name: str, value: Tensor, must: str) -> None:
    """Raise with the first offending place unless ``valid`` is true everywhere; waits for the device.

    Raises:
        SpecError: ``valid`` has a False.
    """
    if bool(valid.all()):
        return
    place = tuple((~valid).nonzero()[0].tolist())
    raise SpecError(
        f"{type(owner).__name__}: {name} of shape {list(value.shape)} is invalid at {int((~valid).sum())} of "
        f"{valid.numel()} places; the first is index {list(place)}, with {value[place].tolist()}. "
        f"It must satisfy {must}."
    )


def values_at_hand(value: Tensor) -> bool:
    """Whether looking at values is cheap: an accelerator would make the host wait, and a traced tensor has none."""
    return (
        not torch.compiler.is_compiling()
        and value.device.type == "cpu"
        and type(value) in (Tensor, torch.nn.Parameter)
        and not is_functorch_wrapped_tensor(value)
    )


def _inner(shape: Sequence[int]) -> str:
    return ", ".join(str(size) for size in shape)
