"""Value estimates for a policy that has moved since the batch was collected."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from keywork._errors import ContractError
from keywork._keys import Key
from keywork.distributions import score
from keywork.functional import clipped_weights, vtrace
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase, set_recurrent_mode
from keywork.objectives._estimator import Estimator, Steps
from keywork.objectives._numbers import require_fraction, require_positive
from keywork.objectives._policy_findings import actor_findings, findings_between, value_findings


class VTrace(Estimator):
    """V-trace (arXiv 1802.01561): estimates for the actor as it is now, from what it did before.

    See :func:`~keywork.functional.vtrace`. The advantage has the weight ρₜ in it already: it goes into
    :class:`A2CLoss` or :class:`ReinforceLoss`. Where the actor has not moved, the value target is that of
    ``GAE(gamma, lmbda, value_network)``.

    Values bootstrap through ``truncated`` and stop at ``terminated``. Actor and critic run along time, and nothing
    here has a gradient; shapes, and what is refused, are as with :class:`GAE`.

    Args:
        gamma: discount.
        actor: the policy that learns, collected with ``return_log_prob=True``. Of several actions the weight is that
            of all together.
        value_network: the critic, a key module that writes ``"state_value"``.
        lmbda: decay of the traces.
        rho_clip: ρ̄, the greatest weight of a step's own error.
        c_clip: c̄, the greatest weight of a trace.

    Raises:
        ContractError: the actor has no distribution, or does not write its log-probability; or the critic writes no
            value, reads the action, or has a state of its own under the key of the actor's.
        UsageError: gamma or lmbda is not between 0 and 1, or rho_clip or c_clip is not above zero.

    >>> from torch import nn
    >>> from keywork.distributions import Categorical
    >>> from keywork.modules import ProbabilisticActor, ValueOperator
    >>> from keywork.nn import TensorDictModule
    >>> net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    >>> actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    >>> VTrace(0.99, actor, ValueOperator(nn.Linear(4, 1))).out_keys
    ['advantage', 'value_target', 'state_value']
    """

    def __init__(
        self,
        gamma: float,
        actor: ProbabilisticTensorDictSequential,
        value_network: TensorDictModuleBase,
        *,
        lmbda: float = 1.0,
        rho_clip: float = 1.0,
        c_clip: float = 1.0,
    ) -> None:
        owner = type(self).__name__
        require_fraction(owner, "lmbda", lmbda)
        require_positive(owner, "rho_clip", rho_clip, limit=True)
        require_positive(owner, "c_clip", c_clip, limit=True)
        findings = actor_findings(actor, log_prob=True) + value_findings(value_network)
        if findings := findings + findings_between(actor, value_network):
            raise ContractError(owner, findings)
        super().__init__(gamma, value_network, [*actor.in_keys, *actor.dist_sample_keys, *actor.log_prob_keys])
        self.actor, self.lmbda, self.rho_clip, self.c_clip = actor, lmbda, rho_clip, c_clip
        self._seen, self._taken, self._scores = actor.in_keys, actor.dist_sample_keys, actor.log_prob_keys

    def estimate(self, steps: Steps, held: Mapping[Key, Any]) -> tuple[Tensor, Tensor]:
        """Advantages and value targets."""
        with set_recurrent_mode(True):
            dist = self.actor.dist_of(*[held[key] for key in self._seen])
        log_prob_t = score(dist, [held[key] for key in self._taken])
        old_log_prob_t = reduce(torch.add, [held[key] for key in self._scores])
        weights = clipped_weights(
            log_prob_t.unsqueeze(-1),
            old_log_prob_t.unsqueeze(-1),
            rho_clip=self.rho_clip,
            c_clip=self.c_clip,
            lmbda=self.lmbda,
        )
        target_t, advantage_t = vtrace(*steps, weights, gamma=self.gamma)
        return advantage_t, target_t
