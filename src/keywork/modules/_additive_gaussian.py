"""Gaussian noise on an action."""

from __future__ import annotations

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from keywork._errors import UsageError
from keywork._keys import ACTION, as_key
from keywork.modules._annealing import Annealing
from keywork.modules._exploration import ExplorationModule, SpecAliases, one_spec
from keywork.modules._noise_spec import inside, require_numbers
from keywork.modules._refusal import refusal, require_known
from keywork.specs import Spec


class AdditiveGaussianModule(ExplorationModule):
    """a ← project(a + σ ε),  ε ~ N(mean, std²);    σ = max(sigma_end, sigma_init − t · (sigma_init − sigma_end) / N)

    The noise is drawn anew for each element of each action. Only where it is added is the action brought into its
    spec. See :class:`ExplorationModule` for when that is.

    Args:
        spec: what an action is: Bounded or Unbounded, or a Box, or a Composite that has it. If left out, a collector
            fills in its environment's.
        sigma_init: σ at the start.
        sigma_end: σ from frame N on.
        annealing_num_steps: N. Frames are counted with :meth:`step`, of all environments together.
        mean: of ε.
        std: of ε; a tensor of the action's shape where its elements are of different ranges.
        action_key: the action, which is read and written.
        safe: whether to project; without it the action may leave its spec, which then need not be known.
        options: see :class:`SpecAliases`.

    Raises:
        SpecError: the spec is not of real numbers; in a call, it is missing, or the action does not fit it.
        UsageError: numbers out of range, or sigma_end above sigma_init.

    >>> from keywork.specs import Bounded
    >>> explore = AdditiveGaussianModule(Bounded(-1.0, 1.0, (2,)), sigma_init=0.5, sigma_end=0.5)
    >>> explore(torch.ones(5, 2)).amax() <= 1.0
    tensor(True)
    """

    _std: Tensor

    def __init__(
        self,
        spec: Any = None,
        sigma_init: float = 1.0,
        sigma_end: float = 0.1,
        annealing_num_steps: int = 1000,
        mean: float = 0.0,
        std: float | Tensor = 1.0,
        *,
        action_key: Any = ACTION,
        safe: bool = True,
        **options: Unpack[SpecAliases],
    ) -> None:
        owner = type(self).__name__
        require_known(owner, options, SpecAliases.__annotations__)
        spread = torch.as_tensor(std)
        if not (math.isfinite(mean) and bool(((spread >= 0.0) & spread.isfinite()).all())):
            raise refusal(
                UsageError,
                f"{owner} cannot be built: there is no such normal distribution.",
                where="mean, std",
                expected="finite numbers, std not below 0",
                got=f"mean={mean!r}, std={std!r}",
                fix="mean=0.0, std=1.0",
            )
        self._mean, self.safe = float(mean), safe
        annealing = Annealing(owner, "sigma", sigma_init, sigma_end, annealing_num_steps)
        key = as_key(action_key)
        super().__init__([key], [key], annealing, one_spec(owner, spec, options))
        self._is_plain = not isinstance(std, Tensor) and std == 1.0 and mean == 0.0
        self.register_buffer("_std", spread.detach().clone(), persistent=False)
        self.to(options.get("device"))

    @property
    def sigma(self) -> Tensor:
        """σ as it is now."""
        return self._strength

    def accept(self, spec: Spec) -> None:
        """Refuse actions that are no real numbers."""
        require_numbers(type(self).__name__, spec)

    def explore(self, action: Any, *others: Any) -> tuple[Any, ...]:
        """Add the noise."""
        noise = torch.randn_like(action)
        if not self._is_plain:
            noise = self._mean + self._std.to(noise.dtype) * noise
        noisy = action + self._strength * noise
        if not self.safe:
            return (noisy,)
        if self._spec is None:
            raise self.without_spec()
        return (inside(self._spec, noisy, repr(self.action_key)),)
