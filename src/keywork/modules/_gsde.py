"""State-dependent exploration: noise that is a function of the state, and the same function for a whole episode."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from keywork._errors import ContractError, SpecError, UsageError, shape_of
from keywork._keys import (
    ACTION,
    IS_INIT,
    LOC,
    OBSERVATION,
    SAMPLE_LOG_PROB,
    SCALE,
    Key,
    as_key,
    leaf,
    next_key,
    with_leaf,
)
from keywork.distributions import IndependentNormal, check_arguments, draw
from keywork.modules._refusal import refusal
from keywork.modules._spread import spread
from keywork.nn import ExplorationType, TensorDictModuleBase, exploration_type
from keywork.specs import Composite, Unbounded


@dataclass(frozen=True, kw_only=True, slots=True)
class SDEConfig:
    """The keys and the distribution of a :class:`gSDEModule`.

    Attributes:
        loc_key: the action without noise, ``[*B, action_dim]``; read.
        state_key: what the noise depends on, ``[*B, state_dim]``: an observation, or the features of the last layer.
        is_init_key: whether an episode begins, ``[*B, 1]``; read.
        scale_key: the standard deviation of the action; written.
        action_key: the action; written.
        noise_key: the noise matrix, which is carried; ``"_gsde_action_noise"`` beside the action if left out.
        log_prob_key: of the action; ``"sample_log_prob"`` beside it if left out.
        distribution_class: of the action over all noise matrices, from ``loc`` and ``scale``.
        distribution_kwargs: its further arguments.
    """

    loc_key: Any = LOC
    state_key: Any = OBSERVATION
    is_init_key: Any = IS_INIT
    scale_key: Any = SCALE
    action_key: Any = ACTION
    noise_key: Any = None
    log_prob_key: Any = None
    distribution_class: Callable[..., Distribution] = IndependentNormal
    distribution_kwargs: Mapping[str, Any] = field(default_factory=dict)


class gSDEModule(TensorDictModuleBase):  # noqa: N801  (the field's name)
    """a = loc + (Σ ∘ E) s,  E ~ N(0, 1) once an episode.    Over all E: a ~ N(loc, scale²), scale² = Σ² s².

    A policy's last step. Σ ``[action_dim, state_dim]`` is positive and learned: the parameter is its logarithm. The
    noise matrix E ``[*B, action_dim, state_dim]`` is each environment's own and carried from step to step
    (``carried_specs``; zeros begin it); where an episode begins, another one is drawn. So a state gets the same noise
    whenever it comes up again in an episode, and actions are smooth.

    E acts under ``RANDOM``, and outside of any :func:`~keywork.nn.set_exploration_type`; the other types take the
    distribution's own value, draw nothing, and leave E as it is. To a loss this is a policy of the distribution over
    all E (``dist_of``), by which ``return_log_prob=True`` scores the action. A distribution that squashes, such as
    TanhNormal, squashes the sum.

    (Raffin, Kober & Stulp, Smooth Exploration for Robotic Reinforcement Learning, 2022.)

    Args:
        action_dim: size of an action.
        state_dim: size of what the noise depends on.
        sigma_init: all of Σ at the start; if left out, 1/√state_dim: a scale of 1 for a state of unit variance.
        scale_min: least value of Σ.
        scale_max: greatest value of Σ.
        learn_sigma: whether Σ is a parameter, or else a buffer.
        return_log_prob: also write the log-probability of the action.
        config: the keys, and the distribution.

    Raises:
        UsageError: numbers out of range.
        ContractError: the distribution does not take ``loc`` and ``scale``.

    >>> from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule
    >>> net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["loc"])
    >>> actor = ProbabilisticTensorDictSequential(net, gSDEModule(2, 3, return_log_prob=True))
    >>> actor.in_keys
    ['observation', '_gsde_action_noise', 'is_init']
    >>> actor.out_keys
    ['loc', 'scale', 'action', ('next', '_gsde_action_noise'), 'sample_log_prob']
    """

    _keyed = ("log_prob_key", "dist_params_keys", "dist_sample_keys")

    def __init__(
        self,
        action_dim: int,
        state_dim: int,
        sigma_init: float | None = None,
        scale_min: float = 0.01,
        scale_max: float = 10.0,
        learn_sigma: bool = True,
        *,
        return_log_prob: bool = False,
        config: SDEConfig | None = None,
    ) -> None:
        config = config or SDEConfig()
        sigma = 1.0 / math.sqrt(max(state_dim, 1)) if sigma_init is None else sigma_init
        _check(action_dim, state_dim, sigma, (scale_min, scale_max))
        self.distribution_class = config.distribution_class
        self.distribution_kwargs = dict(config.distribution_kwargs)
        findings = check_arguments(self.distribution_class, (LOC, SCALE), self.distribution_kwargs)
        if findings:
            raise ContractError(type(self).__name__, findings)
        loc, scale, action = (as_key(key) for key in (config.loc_key, config.scale_key, config.action_key))
        noise = as_key(config.noise_key or with_leaf(action, f"_gsde_{leaf(action)}_noise"))
        self.log_prob_key = as_key(config.log_prob_key or with_leaf(action, SAMPLE_LOG_PROB))
        self.dist_params_keys, self.dist_sample_keys = [loc, scale], [action]
        self.return_log_prob, self.generator = return_log_prob, None
        self.default_interaction_type = ExplorationType.RANDOM
        super().__init__(
            [loc, as_key(config.state_key), noise, as_key(config.is_init_key)],
            [scale, action, next_key(noise), *self.log_prob_keys * return_log_prob],
            carries=[noise],
        )
        self.scale_min, self.scale_max = float(scale_min), float(scale_max)
        start = torch.full((action_dim, state_dim), math.log(min(max(sigma, scale_min), scale_max)))
        if learn_sigma:
            self.log_sigma: Tensor = nn.Parameter(start)
        else:
            self.register_buffer("log_sigma", start)

    @property
    def sigma(self) -> Tensor:
        """Σ."""
        return self.log_sigma.exp().clamp(self.scale_min, self.scale_max)

    @property
    def log_prob_keys(self) -> list[Key]:
        """Where the log-probability is written."""
        return [self.log_prob_key]

    @property
    def carried_specs(self) -> Composite:
        """What is carried from step to step: the noise matrix."""
        return Composite({self._carries[0]: Unbounded(self.log_sigma.shape, self.log_sigma.dtype)})

    def dist_of(self, loc: Tensor, state: Tensor, *others: Any) -> Distribution:
        """The distribution of the action over all noise matrices."""
        return self._dist(loc, self._scale(loc, state))

    def get_dist(self, tensordict: Any) -> Distribution:
        """The distribution that follows from what a TensorDict holds."""
        return self.dist_of(*self.read(tensordict))

    def log_prob(self, tensordict: Any) -> Tensor:
        """The log-probability of the action that a TensorDict holds."""
        return self.get_dist(tensordict).log_prob(tensordict[self.dist_sample_keys[0]])

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """Act."""
        loc, state, noise, is_init = inputs
        scale, kind = self._scale(loc, state), exploration_type() or self.default_interaction_type
        dist = self._dist(loc, scale)
        if kind is ExplorationType.RANDOM:
            first = spread(type(self).__name__, self._in_keys[-1], is_init, noise)
            noise = torch.where(first, torch.randn_like(noise), noise)
            shift = ((self.sigma * noise) @ state.unsqueeze(-1)).squeeze(-1)
            # Moved to where the noise has taken it, the distribution's noise-free value is the action, squashed or not.
            (action,) = draw(self._dist(loc + shift, scale), ExplorationType.DETERMINISTIC)
        else:
            (action,) = draw(dist, kind)
        return scale, action, noise, *([dist.log_prob(action)] if self.return_log_prob else [])

    def _scale(self, loc: Tensor, state: Tensor) -> Tensor:
        if loc.shape[-1:] + state.shape[-1:] != self.log_sigma.shape:
            raise self._misfit(loc, state)
        # A state of zeros has no noise, of which there is neither a logarithm nor a gradient.
        return (state.square() @ self.sigma.square().mT).clamp_min(_LEAST_VARIANCE).sqrt()

    def _misfit(self, loc: Tensor, state: Tensor) -> SpecError:
        asked, got = self.log_sigma.shape, (*loc.shape[-1:], *state.shape[-1:])
        keys = self._in_keys[:2]
        return refusal(
            SpecError,
            "gSDEModule cannot act: what it reads has another shape than it was built for.",
            where=f"{keys[0]!r}, {keys[1]!r}",
            expected=f"{keys[0]!r} [*B, {asked[0]}], {keys[1]!r} [*B, {asked[1]}]",
            got=f"{shape_of(loc)}, {shape_of(state)}",
            fix=f"build gSDEModule({', '.join(map(str, got))}), or correct what config says of its keys",
        )

    def _dist(self, loc: Tensor, scale: Tensor) -> Distribution:
        return self.distribution_class(**{LOC: loc, SCALE: scale}, **self.distribution_kwargs)


_LEAST_VARIANCE = 1e-6


def _check(action_dim: int, state_dim: int, sigma: float, span: tuple[float, float]) -> None:
    if action_dim < 1 or state_dim < 1:
        raise _refused(
            "action_dim, state_dim", "positive whole numbers", f"{action_dim}, {state_dim}", "gSDEModule(2, 64)"
        )
    if not 0.0 < span[0] <= span[1] < math.inf:
        raise _refused("scale_min, scale_max", "0 < scale_min <= scale_max", f"{span[0]}, {span[1]}", "0.01, 10.0")
    if not 0.0 < sigma < math.inf:
        raise _refused("sigma_init", "a finite number above 0", repr(sigma), "sigma_init=0.1")


def _refused(where: str, expected: str, got: str, fix: str) -> UsageError:
    what = f"gSDEModule cannot be built: {where} out of range."
    return refusal(UsageError, what, where=where, expected=expected, got=got, fix=fix)
