"""State-dependent exploration: noise that is a function of the state, and the same function for a whole episode."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from keywork._errors import UsageError
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
from keywork.nn import ExplorationType, TensorDictModuleBase, exploration_type
from keywork.specs import Composite, Unbounded


@dataclass(frozen=True, kw_only=True, slots=True)
class SDEKeys:
    """Where a :class:`gSDEModule` reads and writes.

    Attributes:
        loc: the action without noise, ``[*B, action_dim]``; read.
        state: what the noise depends on, ``[*B, state_dim]``: an observation, or the features of the last layer; read.
        is_init: whether an episode begins, ``[*B, 1]``; read.
        scale: the standard deviation of the action; written.
        action: the action; written.
        noise: the noise matrix, which is carried; ``"_gsde_action_noise"`` beside the action if left out.
        log_prob: of the action; ``"sample_log_prob"`` beside it if left out.
    """

    loc: Key = LOC
    state: Key = OBSERVATION
    is_init: Key = IS_INIT
    scale: Key = SCALE
    action: Key = ACTION
    noise: Key | None = None
    log_prob: Key | None = None


class gSDEModule(TensorDictModuleBase):  # noqa: N801  (the field's name)
    """a = loc + (Σ ∘ E) s,  E ~ N(0, 1) drawn once an episode;  over all E,  a ~ N(loc, scale²),  scale² = Σ² s².

    A policy's last step. Σ ``[action_dim, state_dim]`` is positive and learned: its logarithm is the parameter. The
    noise matrix E ``[*B, action_dim, state_dim]`` is each environment's own and carried from step to step
    (``carried_specs``; zeros begin it); where an episode begins, another one is drawn. So the same state gets the same
    noise, and actions are smooth.

    Noise is added under ``RANDOM``, and outside of any :func:`~keywork.nn.set_exploration_type`; the other types take
    the distribution's own value, and E stays as it is. To a loss this is a policy of the distribution over all E
    (``dist_of``), from which ``return_log_prob=True`` scores actions too. With a distribution that squashes, such as
    TanhNormal, the sum is squashed.

    (Raffin, Kober & Stulp, Smooth Exploration for Robotic Reinforcement Learning, 2022.)

    Args:
        action_dim: size of an action.
        state_dim: size of what the noise depends on.
        sigma_init: all of Σ at the start; if left out, what makes the scale 1 for a state of unit variance.
        scale_min: least value of an element of Σ.
        scale_max: greatest value of an element of Σ.
        learn_sigma: whether Σ is learned.
        return_log_prob: also write the log-probability of the action.
        options: see :class:`SDEOptions`.
    """

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
    ) -> None: ...
