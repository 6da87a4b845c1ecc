"""The plain networks of the built-in algorithms: what fits an environment's specs."""

from __future__ import annotations

from collections.abc import Sequence

from keywork.distributions import IndependentNormal
from keywork.envs import Env
from keywork.modules import NetworkConfig, ProbabilisticActor, ValueOperator
from keywork.specs import Bounded, Composite


def stochastic_actor(env: Env, num_cells: Sequence[int]) -> ProbabilisticActor:
    """A policy for an environment's actions, whatever they are.

    Numbers are normal, with a learned spread that is the same in every state, also where the environment has bounds,
    to which ``clip_actions=True`` holds them.

    Raises:
        SpecError: there is no distribution for such actions.
    """
    actions = Composite({env.action_key: env.action_spec})
    numbers = [key for key, spec in actions.items() if isinstance(spec, Bounded) and spec.dtype.is_floating_point]
    return ProbabilisticActor.from_spec(
        env.observation_spec,
        actions,
        distribution=dict.fromkeys(numbers, IndependentNormal),
        config=NetworkConfig(num_cells=tuple(num_cells), learned_scale=True),
    )


def state_critic(env: Env, num_cells: Sequence[int]) -> ValueOperator:
    """A critic of an environment's states."""
    return ValueOperator.from_spec(env.observation_spec, config=NetworkConfig(num_cells=tuple(num_cells)))
