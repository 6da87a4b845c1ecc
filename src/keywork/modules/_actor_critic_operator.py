"""An actor on a trunk, and a critic that judges what the actor does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keywork._errors import Finding
from keywork.modules._trunk import trunk_findings
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase, TensorDictSequential


class ActorCriticOperator(TensorDictSequential):
    """Trunk, actor, and a critic of the actor's action: h = trunk(s), a ~ π(h), q = Q(h, a).

    A call runs the trunk once, and the critic judges the action that the actor has just written. (For a critic that
    does not look at actions, :class:`ActorValueOperator` says the same.)

    Args:
        common_operator: the trunk, from observations to features.
        policy_operator: the actor's head, from features to the action.
        value_operator: the critic's head, from features and action to ``"state_action_value"``.

    >>> from torch import nn
    >>> from keywork.modules import Actor, ValueOperator
    >>> from keywork.nets import MLP
    >>> from keywork.nn import TensorDictModule
    >>> trunk = TensorDictModule(nn.Linear(3, 8), ["observation"], ["hidden"])
    >>> critic = ValueOperator(MLP(8 + 1, 1), ["hidden", "action"])
    >>> both = ActorCriticOperator(trunk, Actor(nn.Linear(8, 1), ["hidden"]), critic)
    >>> both.in_keys, both.out_keys
    (['observation'], ['hidden', 'action', 'state_action_value'])
    >>> both.get_value_operator().in_keys
    ['observation', 'action']
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

    def get_critic_operator(self) -> ActorCriticOperator:
        """All three: the value of the action that the actor takes, for the actor to learn from."""
        return self

    def get_policy_operator(self) -> Any:
        """Trunk and actor, of the same parameters; it has a distribution if the actor's head has one."""
        kind = ProbabilisticTensorDictSequential if hasattr(self[1], "dist_of") else TensorDictSequential
        return kind(self[0], self[1])

    def get_value_operator(self) -> TensorDictSequential:
        """Trunk and critic, of the same parameters: the value of an action that is given, for the critic to learn."""
        return TensorDictSequential(self[0], self[2])

    def get_policy_head(self) -> Any:
        """The actor without the trunk."""
        return self[1]

    def get_value_head(self) -> Any:
        """The critic without the trunk."""
        return self[2]
