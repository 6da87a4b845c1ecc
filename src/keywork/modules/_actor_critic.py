"""An actor and a critic as one module, with or without a trunk in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keywork._errors import Finding
from keywork.modules._refusal import without_external
from keywork.modules._trunk import trunk_findings
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase, TensorDictSequential


class ActorCriticWrapper(TensorDictSequential):
    """An actor and a critic side by side, each with its own network.

    Args:
        policy_operator: the actor.
        value_operator: the critic.

    >>> from torch import nn
    >>> from keywork.modules import Actor, ValueOperator
    >>> both = ActorCriticWrapper(Actor(nn.Linear(3, 1)), ValueOperator(nn.Linear(3, 1)))
    >>> both.in_keys, both.out_keys
    (['observation'], ['action', 'state_value'])
    """

    def __init__(self, policy_operator: TensorDictModuleBase, value_operator: TensorDictModuleBase) -> None:
        super().__init__(policy_operator, value_operator)

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """The findings of every chain."""
        return without_external(super().findings(steps))

    def get_policy_operator(self) -> Any:
        """The actor."""
        return self[0]

    def get_value_operator(self) -> Any:
        """The critic."""
        return self[1]

    get_policy_head = get_policy_operator
    get_value_head = get_value_operator


class ActorValueOperator(TensorDictSequential):
    """An actor and a critic on one trunk, which a call runs once.

    Args:
        common_operator: the trunk, from observations to features.
        policy_operator: the actor's head, from features to the action.
        value_operator: the critic's head, from features to the value.

    >>> from torch import nn
    >>> from keywork.modules import Actor, ValueOperator
    >>> from keywork.nn import TensorDictModule
    >>> trunk = TensorDictModule(nn.Linear(3, 8), ["observation"], ["hidden"])
    >>> both = ActorValueOperator(trunk, Actor(nn.Linear(8, 1), ["hidden"]), ValueOperator(nn.Linear(8, 1), ["hidden"]))
    >>> both.out_keys, both.get_value_operator().out_keys
    (['hidden', 'action', 'state_value'], ['hidden', 'state_value'])
    """

    def __init__(
        self,
        common_operator: TensorDictModuleBase,
        policy_operator: TensorDictModuleBase,
        value_operator: TensorDictModuleBase,
    ) -> None:
        super().__init__(common_operator, policy_operator, value_operator)

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """The findings of every chain, and the keys of heads that are nearly one of the trunk's."""
        return trunk_findings(steps, super().findings(steps))

    def get_policy_operator(self) -> Any:
        """Trunk and actor, of the same parameters; it has a distribution if the actor's head has one."""
        kind = ProbabilisticTensorDictSequential if hasattr(self[1], "dist_of") else TensorDictSequential
        return kind(self[0], self[1])

    def get_value_operator(self) -> TensorDictSequential:
        """Trunk and critic, of the same parameters."""
        return TensorDictSequential(self[0], self[2])

    def get_policy_head(self) -> Any:
        """The actor without the trunk."""
        return self[1]

    def get_value_head(self) -> Any:
        """The critic without the trunk."""
        return self[2]
