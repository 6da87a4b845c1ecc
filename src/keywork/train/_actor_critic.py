"""What algorithms of an actor and critics of its actions have in common: settings, networks, and how they explore."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from keywork._keys import ACTION_VALUE, Key
from keywork.distributions import TanhDelta
from keywork.envs import Env
from keywork.modules import AdditiveGaussianModule, NetworkConfig, ProbabilisticActor, QValueActor, ValueOperator
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from keywork.specs import Bounded, Composite, Spec, Unbounded
from keywork.train._actions import mask_of
from keywork.train._memory import FEATURES, acting, memory_of, require_body
from keywork.train._off_policy import OffPolicySettings, require_off_policy
from keywork.train._parts import require_settings

_LEAST_LOG_STD, _MOST_LOG_STD = -20.0, 2.0


@dataclass(frozen=True)
class ActorCriticSettings(OffPolicySettings):
    """Settings that algorithms of an actor and critics of its actions have in common: stable-baselines3's defaults."""

    batch_size: int = 256
    """Steps in one gradient step; if recurrent, as many slices as it holds."""
    train_freq: int = 1
    """Steps of each environment between two updates."""
    gradient_steps: int = 0
    """Gradient steps in one update; 0 for as many as steps were taken."""
    learning_rate: float = 3e-4
    """Adam's step size, for actor and critics alike."""
    tau: float = 0.005
    """How far the target networks move with each step."""
    policy: Literal["mlp", "gru", "lstm"] = "mlp"
    """An actor without a memory, or with a recurrent layer after the hidden ones, which remembers the episode."""
    num_cells: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers, of actor and critics alike; a recurrent one is as wide as the last."""


def require_actor_critic(config: ActorCriticSettings) -> None:
    """Refuse settings that cannot be.

    Raises:
        UsageError: one cannot.
    """
    require_off_policy(config)
    require_settings(config, above_zero=("tau",), fractions=("tau",))
    require_body(config.policy, config.num_cells)


def scale_of(log_scale: Tensor) -> Tensor:
    """exp(clip(log σ, -20, 2)): the spread of SAC's policies, as stable-baselines3 bounds it."""
    return log_scale.clamp(_LEAST_LOG_STD, _MOST_LOG_STD).exp()


def drawing_actor(env: Env, settings: ActorCriticSettings) -> ProbabilisticTensorDictSequential:
    """A policy that draws: numbers from a tanh-normal within their bounds, choices as ``"action_mask"`` allows them.

    Raises:
        SpecError: there is no distribution for such actions.
    """
    return _actor(env, settings, mask_of(env), None)


def pointing_actor(env: Env, settings: ActorCriticSettings) -> ProbabilisticTensorDictSequential:
    """A policy without noise, which a tanh keeps within the bounds of the action.

    Raises:
        SpecError: the action is not bounded.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("Pendulum-v1") as env:
    ...     pointing_actor(env, ActorCriticSettings(policy="lstm")).in_keys
    ['observation', 'recurrent_state_h', 'recurrent_state_c', 'is_init']
    """
    return _actor(env, settings, None, TanhDelta)


def action_critic(env: Env, settings: ActorCriticSettings) -> ValueOperator:
    """A critic of an action in a state."""
    return ValueOperator.from_spec(env.observation_spec, _actions(env), config=_network(settings))


def choice_critic(env: Env, settings: ActorCriticSettings) -> TensorDictModuleBase:
    """A critic that values each choice."""
    spec, mask = Composite(dict(env.observation_spec.items())), mask_of(env)
    seen = Composite({key: each for key, each in spec.items() if key != mask})
    actor = QValueActor.from_spec(seen, _actions(env), config=_network(settings))
    return actor.select_subsequence(out_keys=[ACTION_VALUE])


def noise_of(env: Env, noise: float) -> AdditiveGaussianModule:
    """Gaussian noise of this spread, in actions from -1 to 1, on what an actor does; the action stays in its bounds.

    Each element has the spread in its own range.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("Pendulum-v1") as env:  # whose actions are from -2 to 2
    ...     noise_of(env, 0.1).sigma
    tensor(0.2000)
    """
    spec = env.action_spec
    half = torch.ones(spec.shape)
    if isinstance(spec, Bounded):
        half = torch.where(spec.low.isfinite() & spec.high.isfinite(), (spec.high - spec.low) / 2, 1.0)
    # A plain number, where one does for all elements, takes less time.
    one = half.flatten()[:1].tolist() if bool((half == half.flatten()[:1]).all()) else []
    sigma = noise * one[0] if one else noise
    std: float | Tensor = 1.0 if one else half
    return AdditiveGaussianModule(spec, sigma_init=sigma, sigma_end=sigma, std=std, action_key=env.action_key)


def collecting(owner: str, actor: TensorDictModuleBase, critic: nn.Module) -> TensorDictModuleBase:
    """What acts while data is collected: the actor, and beside it the memory of its critic, if that has one.

    Raises:
        ContractError: two memories have one key.
    """
    return acting(owner, actor, critic) if isinstance(critic, TensorDictModuleBase) else actor


def _actor(
    env: Env, settings: ActorCriticSettings, mask: Key | None, distribution: Any
) -> ProbabilisticTensorDictSequential:
    options: dict[str, Any] = {"distribution": distribution, "action_mask_key": mask, "return_log_prob": False}
    config = _network(settings)
    if settings.policy == "mlp":
        return ProbabilisticActor.from_spec(env.observation_spec, _actions(env), config=config, **options)
    seen = dict(env.observation_spec.items())
    unmasked = {key: spec for key, spec in seen.items() if key != mask}
    memory = memory_of(settings.policy, settings.num_cells, unmasked)
    shown: dict[Key, Spec] = {FEATURES: Unbounded((settings.num_cells[-1],))}
    if mask is not None:
        shown[mask] = seen[mask]
    head = ProbabilisticActor.from_spec(
        Composite(shown), _actions(env), config=replace(config, num_cells=()), **options
    )
    return ProbabilisticTensorDictSequential(memory, head)


def _actions(env: Env) -> Composite:
    return Composite({env.action_key: env.action_spec})


def _network(settings: ActorCriticSettings) -> NetworkConfig:
    # In place: nothing but the next layer reads what a layer has computed, and a new piece of memory takes time.
    relu = partial(nn.ReLU, inplace=True)
    return NetworkConfig(num_cells=settings.num_cells, activation_class=relu, init="torch", scale_mapping=scale_of)
