"""The networks of the built-in on-policy algorithms: what fits an environment's specs, as the settings ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from keywork._errors import UsageError
from keywork._keys import Key, next_key, path_of
from keywork.distributions import IndependentNormal
from keywork.envs import Env
from keywork.modules import (
    ActorValueOperator,
    Features,
    GRUModule,
    LSTMModule,
    NetworkConfig,
    ProbabilisticActor,
    RunningNorm,
    ValueOperator,
)
from keywork.nets import MLP, Chain, MLPConfig
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.specs import Bounded, Composite, Spec, Unbounded
from keywork.train._actions import mask_of

Activation = Literal["tanh", "relu", "elu", "gelu", "silu"]
_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU}
_FEATURES = "features"
_MEMORIES: dict[str, type[GRUModule | LSTMModule]] = {"gru": GRUModule, "lstm": LSTMModule}


@dataclass(frozen=True)
class NetworkSettings:
    """How actor and critic are built where they are not given: what on-policy algorithms have in common."""

    policy: Literal["mlp", "gru", "lstm"] = "mlp"
    """Networks without a memory, or with a recurrent layer after the hidden ones, which remembers the episode."""
    share_trunk: bool = False
    """Give actor and critic all layers but the last in common."""
    num_cells: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of actor and critic alike; the recurrent one is as wide as the last."""
    activation: Activation = "tanh"
    """What follows each hidden layer."""
    normalize: bool = False
    """Standardise observations by their running mean and variance."""


def networks_of(env: Env, settings: NetworkSettings) -> tuple[ProbabilisticTensorDictSequential, TensorDictModuleBase]:
    """A policy and a critic for an environment.

    Args:
        env: whose observations they read.
        settings: how they are built.

    Raises:
        SpecError: there is no distribution for such actions.
        UsageError: there is no such network, or a recurrent layer has no width.

    >>> from keywork.envs import GymEnv
    >>> with GymEnv("CartPole-v1") as env:
    ...     actor, critic = networks_of(env, NetworkSettings(policy="gru", share_trunk=True, num_cells=(8,)))
    >>> actor.in_keys == critic.in_keys == ["observation", "recurrent_state", "is_init"]
    True
    """
    cells, activation = settings.num_cells, settings.activation
    if settings.policy != "mlp" and settings.policy not in _MEMORIES:
        raise UsageError(f"policy is {settings.policy!r}: it has to be mlp, gru or lstm, such as --policy gru.")
    norm = RunningNorm(env.observation_spec) if settings.normalize else None
    if settings.policy == "mlp" and not (settings.share_trunk and cells):
        config = NetworkConfig(num_cells=cells, activation_class=_ACTIVATIONS[activation], observation_norm=norm)
        return _actor(env, env.observation_spec, config), ValueOperator.from_spec(env.observation_spec, config=config)
    if not cells:
        raise UsageError(
            f"policy is {settings.policy!r}, whose recurrent layer is as wide as the last hidden one, and num_cells "
            "names none: type --num-cells 64, or --policy mlp."
        )
    mask, linear = mask_of(env), NetworkConfig(num_cells=())
    shown: dict[Key, Spec] = dict((env.observation_spec if norm is None else norm.out_specs).items())
    unmasked = {key: spec for key, spec in shown.items() if key != mask}
    features, masked = Unbounded((cells[-1],)), {key: spec for key, spec in shown.items() if key == mask}
    trunk = _trunk(settings, "actor", unmasked, norm)
    head = _actor(env, {("actor", _FEATURES): features, **masked}, linear)
    if settings.share_trunk:
        both = ActorValueOperator(trunk, head, ValueOperator.from_spec({("actor", _FEATURES): features}, config=linear))
        return both.get_policy_operator(), both.get_value_operator()
    value = ValueOperator.from_spec({("critic", _FEATURES): features}, config=linear)
    apart = TensorDictSequential(_trunk(settings, "critic", shown, norm), value)
    return ProbabilisticTensorDictSequential(trunk, head), apart


def networks_for(
    env: Env,
    settings: NetworkSettings,
    actor: ProbabilisticTensorDictSequential | None,
    critic: TensorDictModuleBase | None,
) -> tuple[ProbabilisticTensorDictSequential, TensorDictModuleBase]:
    """The policy and the critic that are given, and for what is None one of :func:`networks_of`."""
    if actor is not None and critic is not None:
        return actor, critic
    usual_actor, usual_critic = networks_of(env, settings)
    return usual_actor if actor is None else actor, usual_critic if critic is None else critic


def stochastic_actor(env: Env, num_cells: Sequence[int]) -> ProbabilisticActor:
    """A policy for an environment's actions, whatever they are, which keeps to ``"action_mask"`` if that is shown.

    Numbers are normal, with a learned spread that is the same in every state, also where the environment has bounds,
    to which ``clip_actions=True`` holds them.

    Raises:
        SpecError: there is no distribution for such actions.
    """
    return _actor(env, env.observation_spec, NetworkConfig(num_cells=tuple(num_cells)))


def state_critic(env: Env, num_cells: Sequence[int]) -> ValueOperator:
    """A critic of an environment's states."""
    return ValueOperator.from_spec(env.observation_spec, config=NetworkConfig(num_cells=tuple(num_cells)))


def _actor(env: Env, seen: Any, config: NetworkConfig) -> ProbabilisticActor:
    actions = Composite({env.action_key: env.action_spec})
    numbers = [key for key, spec in actions.items() if isinstance(spec, Bounded) and spec.dtype.is_floating_point]
    return ProbabilisticActor.from_spec(
        seen,
        actions,
        distribution=dict.fromkeys(numbers, IndependentNormal),
        action_mask_key=mask_of(env),
        config=replace(config, learned_scale=True),
    )


def _trunk(
    settings: NetworkSettings, whose: str, shown: dict[Key, Spec], norm: RunningNorm | None
) -> TensorDictModuleBase:
    """From observations to ``(whose, "features")``: the hidden layers, and after them the recurrent one, if any."""
    features = Features(list(shown.values()))
    *hidden, width = settings.num_cells
    mlp = MLP(
        features.size,
        width,
        num_cells=hidden,
        activation_class=_ACTIVATIONS[settings.activation],
        init="orthogonal",
        last_gain=math.sqrt(2.0),
        config=MLPConfig(activate_last_layer=True),
    )
    out: Key = (whose, _FEATURES)
    steps: list[TensorDictModuleBase] = [] if norm is None else [norm]
    if settings.policy == "mlp":
        return TensorDictSequential(*steps, TensorDictModule(Chain(features, mlp), list(shown), [out]))
    encoded, memory = (whose, "encoded"), _MEMORIES[settings.policy]
    states = [key if whose == "actor" else (whose, *path_of(key)) for key in memory.state_keys]
    return TensorDictSequential(
        *steps,
        TensorDictModule(Chain(features, mlp), list(shown), [encoded]),
        memory(width, width, in_keys=[encoded, *states], out_keys=[out, *[next_key(key) for key in states]]),
    )
