"""Proximal policy optimisation."""

from __future__ import annotations

from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor, nn

from keywork._errors import ContractError, Finding
from keywork._keys import ADVANTAGE, STATE_VALUE, VALUE_TARGET, Key, listed, unique, with_suffix
from keywork._wiring import without_keys
from keywork.distributions import score
from keywork.functional import approximate_kl, clip_fraction, clipped_surrogate, normalize, value_loss
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase, set_recurrent_mode
from keywork.objectives._numbers import require_positive


class ClipPPOLoss(TensorDictModuleBase):
    """PPO with a clipped ratio (arXiv 1707.06347): three losses to be added up, and what tells how training goes.

    loss_objective = -mean J (see :func:`~keywork.functional.clipped_surrogate`),
    loss_critic = critic_coeff · mean ℓ(v, target),  loss_entropy = -entropy_coeff · mean H(π).

    Args:
        actor: a policy with a distribution, collected with ``return_log_prob=True``. Of several actions the ratio is
            that of all together.
        critic: writes ``"state_value"``.
        clip_epsilon: how far the ratio may move from one and still gain.
        entropy_coeff: weight of the entropy bonus.
        critic_coeff: weight of the critic's loss.
        normalize_advantage: standardise the advantages of each call.
        loss_critic_type: ``"l2"`` or ``"smooth_l1"``.
        clip_value: PPO's value clipping at this distance from the collected ``"state_value"``, if given.

    Recurrent networks run over sequences: the last dimension of a batch ``[*B, T]`` is time.

    Writes the losses, and without gradient ``entropy``, ``kl_approx`` and ``clip_fraction``: numbers for the whole
    batch, so a call on a TensorDict returns a new one without batch dimensions.

    Raises:
        ContractError: the actor has no distribution or does not write its log-probability; or the critic writes no
            value, reads the action, or has a state of its own under the key of the actor's.
        UsageError: clip_epsilon or clip_value is not above zero.

    >>> from torch import nn
    >>> from keywork.distributions import Categorical
    >>> from keywork.modules import ProbabilisticActor, ValueOperator
    >>> from keywork.nn import TensorDictModule
    >>> net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    >>> actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    >>> ClipPPOLoss(actor, ValueOperator(nn.Linear(4, 1))).in_keys
    ['observation', 'action', 'sample_log_prob', 'advantage', 'value_target']
    """

    def __init__(
        self,
        actor: ProbabilisticTensorDictSequential,
        critic: TensorDictModuleBase,
        *,
        clip_epsilon: float = 0.2,
        entropy_coeff: float = 0.01,
        critic_coeff: float = 1.0,
        normalize_advantage: bool = False,
        loss_critic_type: Literal["l2", "smooth_l1"] = "l2",
        clip_value: float | None = None,
    ) -> None:
        require_positive(type(self).__name__, "clip_epsilon", clip_epsilon)
        if clip_value is not None:
            require_positive(type(self).__name__, "clip_value", clip_value)
        findings = _findings(actor, critic)
        if findings:
            raise ContractError(type(self).__name__, findings)
        samples, log_probs = actor.dist_sample_keys, actor.log_prob_keys
        taken: list[Key] = [*samples, *log_probs, ADVANTAGE, VALUE_TARGET]
        collected: list[Key] = [] if clip_value is None else [STATE_VALUE]
        reads = unique([*actor.in_keys, *critic.in_keys])
        super().__init__([*reads, *taken, *collected], _OUT_KEYS, inplace=False)
        self.actor, self.critic = actor, critic
        self.clip_epsilon, self.clip_value = clip_epsilon, clip_value
        self.entropy_coeff, self.critic_coeff = entropy_coeff, critic_coeff
        self.normalize_advantage = normalize_advantage
        self.loss_critic_type: Literal["l2", "smooth_l1"] = loss_critic_type
        self._for_actor = tuple(reads.index(key) for key in actor.in_keys)
        self._for_critic = tuple(reads.index(key) for key in critic.in_keys)
        self._num_states, self._num_actions, self._num_scores = len(reads), len(samples), len(log_probs)
        self._value_at = critic.out_keys.index(STATE_VALUE)

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The losses of a batch ``[*B]``; log-probabilities ``[*B]``, advantages and value targets ``[*B, 1]``."""
        collected = inputs[self._num_states :]
        actions, collected = collected[: self._num_actions], collected[self._num_actions :]
        log_probs, (advantage, target, *old_value) = collected[: self._num_scores], collected[self._num_scores :]
        if self.normalize_advantage:
            advantage = normalize(advantage)
        with set_recurrent_mode(True):
            dist = self.actor.dist_of(*[inputs[i] for i in self._for_actor])
            value = self.critic.run(*[inputs[i] for i in self._for_critic])[self._value_at]
        old_log_prob = reduce(torch.add, log_probs)  # independent actions: their ratios multiply
        terms = clipped_surrogate(
            score(dist, actions), old_log_prob, advantage.squeeze(-1), clip_epsilon=self.clip_epsilon
        )
        loss = value_loss(
            value,
            target,
            kind=self.loss_critic_type,
            old_value=old_value[0] if old_value else None,
            clip_epsilon=self.clip_value,
        )
        entropy = dist.entropy().mean()
        if not self.entropy_coeff:
            entropy = entropy.detach()  # spares the way back through a loss that weighs nothing
        return (
            -terms.objective.mean(),
            self.critic_coeff * loss.mean(),
            -self.entropy_coeff * entropy,
            entropy.detach(),
            approximate_kl(terms.log_ratio),
            clip_fraction(terms.ratio, clip_epsilon=self.clip_epsilon),
        )


_OUT_KEYS = [*("loss_objective", "loss_critic", "loss_entropy"), *("entropy", "kl_approx", "clip_fraction")]


def _findings(actor: Any, critic: TensorDictModuleBase) -> list[Finding]:
    findings = without_keys("its actor", actor) + without_keys("its critic", critic)
    if findings:
        return findings
    if not hasattr(actor, "dist_of") or not hasattr(actor, "log_prob_keys"):
        problem = f"its actor ({actor.label}) has no distribution to score actions with."
        fix = (
            "pass a ProbabilisticActor(net, in_keys=['logits'], distribution_class=Categorical, return_log_prob=True)."
        )
        findings.append(Finding("no-distribution", problem, f"it writes {listed(actor.out_keys)}", fix))
    else:
        missing = [key for key in actor.log_prob_keys if key not in actor.out_keys]
        if missing:
            problem = f"it reads {listed(missing)}, which its actor ({actor.label}) does not write."
            fix = "pass return_log_prob=True to it."
            findings.append(Finding("no-log-prob", problem, f"it writes {listed(actor.out_keys)}", fix))
        if getattr(actor, "num_samples", None) is not None:
            problem = f"its actor ({actor.label}) draws {actor.num_samples} samples an element, of which one is taken."
            fix = "build the actor without num_samples."
            findings.append(Finding("several-samples", problem, "", fix))
    if STATE_VALUE not in critic.out_keys:
        problem = f"its critic ({critic.label}) does not write {STATE_VALUE!r}."
        fix = f"name the critic's output: ValueOperator(net, in_keys=[...]), or out_keys=[{STATE_VALUE!r}]."
        findings.append(Finding("no-value", problem, f"it writes {listed(critic.out_keys)}", fix))
    return findings + _findings_between(actor, critic)


def _findings_between(actor: Any, critic: TensorDictModuleBase) -> list[Finding]:
    """What actor and critic must not have in common."""
    findings = []
    taken = [key for key in getattr(actor, "dist_sample_keys", ()) if key in critic.in_keys]
    if taken:
        problem = f"its critic ({critic.label}) reads {listed(taken)}, which the actor decides on."
        rest = [key for key in critic.in_keys if key not in taken]
        fix = f"let it read the state alone: in_keys=[{listed(rest)}]."
        findings.append(Finding("knowing-critic", problem, f"it reads {listed(critic.in_keys)}", fix))
    own, other = _memories(actor), _memories(critic)
    for key in own:
        if key in other and own[key] is not other[key]:
            problem = f"its actor and its critic each carry a state of their own under {key!r}."
            fix = f"give the critic's another key, such as {with_suffix(key, '_2')!r}, or share one module."
            findings.append(Finding("shared-state", problem, "", fix))
    return findings


def _memories(network: nn.Module) -> dict[Key, nn.Module]:
    """The innermost module that carries each state."""
    parts = (part for part in network.modules() if isinstance(part, TensorDictModuleBase))
    return {key: part for part in parts for key in part.contract.carries}
