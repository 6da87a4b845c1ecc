"""The policies of algorithms that learn action values: networks that fit an environment, and exploration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from keywork._errors import UsageError
from keywork._keys import Key
from keywork.envs import Env
from keywork.modules import (
    DistributionalQValueActor,
    EGreedyModule,
    NetworkConfig,
    NoisyLinear,
    QuantileQValueActor,
    QValueActor,
)
from keywork.nn import TensorDictModuleBase, TensorDictSequential
from keywork.specs import Composite, Spec, Unbounded
from keywork.train._actions import mask_of
from keywork.train._memory import FEATURES, memory_of, require_body
from keywork.train._parts import require_settings

QActor: TypeAlias = QValueActor | DistributionalQValueActor | QuantileQValueActor
_MILLION = 1_000_000


@dataclass(frozen=True)
class QNetworkSettings:
    """How a network of action values is built where it is not given, and how its policy explores."""

    policy: Literal["mlp", "gru", "lstm"] = "mlp"
    """A network without a memory, or with a recurrent layer after the hidden ones, which remembers the episode."""
    num_cells: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers; the recurrent one is as wide as the last."""
    dueling: bool = False
    """Values of states and advantages of actions apart (Wang et al. 2016)."""
    noisy: bool = False
    """Noisy layers explore, in place of random actions (Fortunato et al. 2018)."""
    exploration_fraction: float = 0.1
    """The share of the run in which random actions become rarer."""
    exploration_initial_eps: float = 1.0
    """How often an action is random, at the beginning."""
    exploration_final_eps: float = 0.05
    """How often an action is random, in the end."""


def q_policy(
    env: Env, settings: QNetworkSettings, *, support: torch.Tensor | None = None, num_quantiles: int | None = None
) -> TensorDictModuleBase:
    """A policy that acts greedily, and keeps to ``"action_mask"`` if that is shown.

    Args:
        env: whose observations it reads.
        settings: how it is built.
        support: the atoms of distributions, if it is to compute these.
        num_quantiles: of distributions, likewise.

    Raises:
        SpecError: the actions are not discrete.
        UsageError: there is no such network, or a recurrent layer has no width.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("CartPole-v1") as env:
    ...     q_policy(env, QNetworkSettings(policy="gru")).in_keys
    ['observation', 'recurrent_state', 'is_init']
    """
    seen = dict(env.observation_spec.items())
    mask = mask_of(env)
    require_body(settings.policy, settings.num_cells)
    if settings.policy == "mlp":
        return _actor(env, settings, seen, settings.num_cells, mask, support, num_quantiles)
    unmasked = {key: spec for key, spec in seen.items() if key != mask}
    memory = memory_of(settings.policy, settings.num_cells, unmasked)
    remembered: Mapping[Key, Spec] = {FEATURES: Unbounded((settings.num_cells[-1],))}
    shown = remembered if mask is None else {**remembered, mask: seen[mask]}
    cells = settings.num_cells[-1:] if settings.dueling else ()
    return TensorDictSequential(memory, _actor(env, settings, shown, cells, mask, support, num_quantiles))


def require_exploration(settings: QNetworkSettings) -> None:
    """Refuse settings of exploration that cannot be.

    Raises:
        UsageError: one cannot.
    """
    first, last = settings.exploration_initial_eps, settings.exploration_final_eps
    require_settings(settings, fractions=("exploration_fraction", "exploration_initial_eps", "exploration_final_eps"))
    if last > first:
        raise UsageError(
            f"exploration_final_eps is {last}, and random actions become rarer, from exploration_initial_eps={first} "
            f"on: type --exploration-final-eps {first} or less."
        )


def explorer(env: Env, settings: QNetworkSettings) -> EGreedyModule | None:
    """Random actions now and then, rarer as the run goes on (see :func:`explore_less`); none where layers are noisy."""
    if settings.noisy:
        return None
    return EGreedyModule(
        env.action_spec,
        eps_init=settings.exploration_initial_eps,
        eps_end=settings.exploration_final_eps,
        annealing_num_steps=max(1, round(settings.exploration_fraction * _MILLION)),
        action_key=env.action_key,
        action_mask_key=mask_of(env),
    )


def explore_less(module: EGreedyModule | None, progress: float) -> None:
    """Let exploration fade to where it is after a share of the run: how long that is only its trainer knows.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("CartPole-v1") as env:
    ...     module = explorer(env, QNetworkSettings(exploration_fraction=0.5, exploration_final_eps=0.0))
    >>> explore_less(module, 0.25)
    >>> module.eps
    tensor(0.5000)
    """
    if module is not None:
        module.annealing.frames.fill_(round(progress * _MILLION))  # asks no device how many there were
        module.step(0)


def _actor(
    env: Env,
    settings: QNetworkSettings,
    seen: Mapping[Key, Spec],
    cells: tuple[int, ...],
    mask: Key | None,
    support: torch.Tensor | None,
    num_quantiles: int | None,
) -> QActor:
    options: dict[str, Any] = {
        "dueling": settings.dueling,
        "action_mask_key": mask,
        "config": NetworkConfig(
            num_cells=cells,
            activation_class=nn.ReLU,
            init="torch",
            layer_class=NoisyLinear if settings.noisy else nn.Linear,
        ),
    }
    shown, action = Composite(dict(seen)), Composite({env.action_key: env.action_spec})
    if support is not None:
        return DistributionalQValueActor.from_spec(shown, action, support, **options)
    if num_quantiles is not None:
        return QuantileQValueActor.from_spec(shown, action, num_quantiles, **options)
    return QValueActor.from_spec(shown, action, **options)
