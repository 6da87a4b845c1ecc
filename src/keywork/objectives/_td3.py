"""Twin delayed deterministic policy gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from keywork._keys import STATE_ACTION_VALUE, Key, next_key
from keywork._wiring import without_keys
from keywork.functional import smoothed_action
from keywork.nn import TensorDictModuleBase
from keywork.objectives._acting import Choosing
from keywork.objectives._action_bounds import ActionBounds
from keywork.objectives._actor_critic import ActorCriticLoss, QValueTerms, mean
from keywork.objectives._actor_critic_findings import judged_actions, require_pair
from keywork.objectives._critics import Held, critics_of
from keywork.objectives._ddpg import ActorTerms
from keywork.objectives._numbers import require_not_negative
from keywork.objectives._target import constant, frozen_copy


@final
class TD3Loss(ActorCriticLoss):
    """Twin delayed deterministic policy gradient   (Fujimoto et al. 2018, arXiv 1802.09477).

    loss_qvalue = Σᵢ mean (qᵢ(sₜ, aₜ) - rₜ - γ (1 - terminatedₜ) minⱼ q'ⱼ(sₜ₊₁, a'))²,
    a' = clip(μ'(sₜ₊₁) + h clip(σ ε, -c, c), low, high),  loss_actor = -mean q₁(sₜ, μ(sₜ)), with q₁ held constant.
    h is half the range of the action, (high - low) / 2, so that σ and c count in actions from -1 to 1. To delay the
    actor, compute ``actor_terms`` and move the targets with every second update of the critics alone.

    Args:
        actor: writes the action; what acts in it is free of noise here, whatever the exploration type.
        qvalue_network: reads the action and writes ``"state_action_value"``: one, of which there are to be several, an
            ensemble, or a list of networks.
        gamma: discount γ in [0, 1].
        policy_noise: σ, the noise of the next action; where it has no bounds, h is 1.
        noise_clip: c, the most of it.
        num_qvalue_nets: how many critics to make of one.
        action_spec: what the action is; if left out, what a part of the actor has as its ``spec``.

    Reads and writes what :class:`DDPGLoss` does.

    Raises:
        ContractError: a critic writes no value or does not read the action; actor and critics share parameters, or the
            key of a state; the action's bounds are not known.
        UsageError: a number is out of range.

    >>> from keywork.modules import Actor, ValueOperator
    >>> from keywork.specs import Bounded
    >>> actor = Actor(nn.Sequential(nn.Linear(4, 2), nn.Tanh()), spec=Bounded(-1.0, 1.0, (2,)))
    >>> loss = TD3Loss(actor, ValueOperator(nn.Bilinear(4, 2, 1), ["observation", "action"]))
    >>> len(loss.qvalue_network), loss.out_keys[:2]
    (2, ['loss_actor', 'loss_qvalue'])
    """

    def __init__(
        self,
        actor: TensorDictModuleBase,
        qvalue_network: Any,
        *,
        gamma: float = 0.99,
        policy_noise: float = 0.2,
        noise_clip: float = 0.5,
        num_qvalue_nets: int = 2,
        action_spec: Any = None,
    ) -> None:
        owner = type(self).__name__
        require_not_negative(owner, "policy_noise", policy_noise)
        require_not_negative(owner, "noise_clip", noise_clip, limit=True)
        critics = critics_of(owner, qvalue_network, num_qvalue_nets, STATE_ACTION_VALUE)
        require_pair(owner, actor, critics, without_keys("its actor", actor))
        actions = judged_actions(actor, critics[0])
        super().__init__(actor, critics, actions=actions, gamma=gamma, ahead=[actor])
        self.policy_noise, self.noise_clip = policy_noise, noise_clip
        self.bounds = ActionBounds(owner, actions, action_spec, actor)
        self.target_actor = frozen_copy(owner, actor)
        self._choosing, self._target_choosing = Choosing(actor, actions), Choosing(self.target_actor, actions)

    @property
    def targets(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """The critics and the actor, each with its target network."""
        return [*super().targets, (self.actor, self.target_actor)]

    def value_ahead(self, held: Held) -> Tensor:
        """minⱼ q'ⱼ(sₜ₊₁, a')."""
        actions = self._target_choosing.ahead(held)
        if self.policy_noise:
            actions = {next_key(key): self._smoothed(key, actions[next_key(key)]) for key in self._actions}
        return self._target_critics.values_ahead({**held, **actions}).amin(-2)

    def _smoothed(self, key: Key, action: Tensor) -> Tensor:
        low, high = self.bounds.ends(key)
        noise = (self.policy_noise * torch.randn_like(action)).clamp(-self.noise_clip, self.noise_clip)
        # It is clipped before it is scaled to the range of each element.
        noise = (self.bounds.half_range(key) * noise).to(action.dtype)
        return smoothed_action(action, noise, noise_clip=math.inf, low=low, high=high)

    def actor_terms(self, *inputs: Any) -> ActorTerms:
        """The actor's loss: -mean q₁(sₜ, μ(sₜ))."""
        held = self._held(inputs)
        actions = self._choosing.now(held)
        with constant(self.qvalue_network):
            q = self._critics.values_apart(held, actions, first=True)
        return ActorTerms(-mean(q[..., 0, 0], held))

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The losses of a batch ``[*B]``."""
        critic: QValueTerms = self.qvalue_terms(*inputs)
        return (self.actor_terms(*inputs).loss, *critic)
