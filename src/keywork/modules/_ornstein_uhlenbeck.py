"""Noise that is correlated in time: the process of Ornstein and Uhlenbeck."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Unpack

import torch
from torch import Tensor

from keywork._keys import ACTION, IS_INIT, as_key, leaf, next_key, with_leaf
from keywork.modules._annealing import Annealing
from keywork.modules._exploration import ExplorationModule, one_spec
from keywork.modules._noise_spec import inside, require_numbers
from keywork.modules._ou_parameters import OUOptions, OUParameters
from keywork.modules._refusal import require_known
from keywork.modules._spread import spread
from keywork.specs import Composite, Spec, Unbounded


class OrnsteinUhlenbeckProcessModule(ExplorationModule):
    """a ← project(a + ε x),    x ← x + θ (μ − x) dt + σ √dt N(0, 1)

    ε goes down as in :class:`EGreedyModule`; for the process and how strong it is see :class:`OUParameters`. Every
    element of the batch has a process of its own, which starts over from x0 where an episode begins. Its state is
    carried: read at one step, and written under ``"next"`` for the following one (``carried_specs`` says what it is,
    and zeros begin it). While the module is off, the process stands still, starting over from x0 all the same (from μ,
    where x0 is ``"stationary"``).

    (Uhlenbeck & Ornstein, On the Theory of the Brownian Motion, 1930; Lillicrap et al., Continuous Control with Deep
    Reinforcement Learning, 2016.)

    Args:
        spec: what an action is: Bounded or Unbounded, or a Box, or a Composite that has it. If left out, a collector
            fills in its environment's.
        eps_init: ε at the start.
        eps_end: ε from frame N on.
        annealing_num_steps: N. Frames are counted with :meth:`step`, of all environments together.
        process: the process; each of its numbers may be given as an argument instead: ``theta=0.15``.
        action_key: the action, which is read and written.
        is_init_key: whether an episode begins, ``[*B, 1]``.
        safe: whether to project; without it the action may leave its spec.
        options: see :class:`OUOptions`.

    Raises:
        SpecError: the spec is not of real numbers; in a call, it is missing, or the action does not fit it.
        UsageError: numbers out of range, or eps_end above eps_init.

    >>> from keywork.specs import Bounded
    >>> explore = OrnsteinUhlenbeckProcessModule(Bounded(-1.0, 1.0, (2,)), theta=0.5, sigma=0.3)
    >>> explore.in_keys, explore.out_keys
    (['action', '_ou_action_noise', 'is_init'], ['action', ('next', '_ou_action_noise')])
    >>> explore.carried_specs.keys()
    ('_ou_action_noise',)
    """

    def __init__(
        self,
        spec: Any = None,
        eps_init: float = 1.0,
        eps_end: float = 0.1,
        annealing_num_steps: int = 1000,
        *,
        process: OUParameters | None = None,
        action_key: Any = ACTION,
        is_init_key: Any = IS_INIT,
        safe: bool = True,
        **options: Unpack[OUOptions],
    ) -> None:
        owner = type(self).__name__
        require_known(owner, options, OUOptions.__annotations__)
        numbers: dict[str, Any] = {name: value for name, value in options.items() if name in _OF_THE_PROCESS}
        self.process = dataclasses.replace(process or OUParameters(), **numbers)
        self.safe = safe
        key = as_key(action_key)
        state = [as_key(options.get("noise_key") or with_leaf(key, f"_ou_{leaf(key)}_noise"))]
        if self.process.sigma_min is not None:
            state.append(as_key(options.get("steps_key") or with_leaf(key, f"_ou_{leaf(key)}_steps")))
        super().__init__(
            [key, *state, as_key(is_init_key)],
            [key, *(next_key(entry) for entry in state)],
            Annealing(owner, "eps", eps_init, eps_end, annealing_num_steps),
            one_spec(owner, spec, options),
            carries=state,
        )
        x0 = self.process.x0
        start = self.process.mu if isinstance(x0, str) else 0.0 if x0 is None else x0
        self.register_buffer("_start", torch.as_tensor(start, dtype=torch.get_default_dtype()), persistent=False)
        self.to(options.get("device"))

    @property
    def eps(self) -> Tensor:
        """ε as it is now."""
        return self._strength

    @property
    def carried_specs(self) -> Composite:
        """What is carried from step to step: the noise, and how many steps old the episode is if σ goes down.

        Raises:
            SpecError: the spec of the action is not known yet.
        """
        if self._spec is None:
            raise self.without_spec()
        noise, *steps = self._carries
        held: dict[Any, Spec] = {noise: Unbounded(self._spec.shape, self._spec.dtype)}
        return Composite({**held, **{key: Unbounded((1,), torch.int64) for key in steps}})

    def accept(self, spec: Spec) -> None:
        """Refuse actions that are no real numbers."""
        require_numbers(type(self).__name__, spec)

    def explore(self, action: Any, *others: Any) -> tuple[Any, ...]:
        """Move the process on by one step, and add it."""
        process, first = self.process, self._first(action, others)
        x, *steps = self._begun(first, others)
        if isinstance(process.x0, str):
            x = torch.where(first, process.mu + process.stationary_std * torch.randn_like(x), x)
        x = x + (process.theta * process.dt) * (process.mu - x) + self._disturbance(x, steps)
        noisy = action + (self._strength * x).to(action.dtype)
        if self.safe:
            if self._spec is None:
                raise self.without_spec()
            noisy = inside(self._spec, noisy, repr(self.action_key))
        return noisy, x, *(count + 1 for count in steps)

    def rest(self, action: Any, *others: Any) -> tuple[Any, ...]:
        """The action as it is, and the process where it was."""
        return action, *self._begun(self._first(action, others), others)

    def _first(self, action: Tensor, others: tuple[Tensor, ...]) -> Tensor:
        return spread(type(self).__name__, self._in_keys[-1], others[-1], action)

    def _begun(self, first: Tensor, others: tuple[Tensor, ...]) -> list[Tensor]:
        """What is carried, started over where an episode begins."""
        x, *steps = others[:-1]
        start: Any = self._buffers["_start"]
        return [torch.where(first, start.to(x.dtype), x), *(count.masked_fill(others[-1], 0) for count in steps)]

    def _disturbance(self, x: Tensor, steps: list[Tensor]) -> Tensor:
        process, low = self.process, self.process.sigma_min
        noise = torch.randn_like(x) * math.sqrt(process.dt)
        if low is None:
            return process.sigma * noise
        left = (1.0 - steps[0] / process.n_steps_annealing).clamp_min(0.0)
        return (low + (process.sigma - low) * left.view(*left.shape[:-1], *[1] * (x.ndim - left.ndim + 1))) * noise


_OF_THE_PROCESS = {field.name for field in dataclasses.fields(OUParameters)}
