"""Behaviour cloning."""

from __future__ import annotations

from functools import reduce
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from keywork._errors import ContractError, Finding, SpecError, refusal
from keywork._keys import ACTION, VALID, Key, leaf, listed
from keywork._wiring import without_keys
from keywork.distributions import score
from keywork.functional import masked_mean, value_loss
from keywork.nn import TensorDictModuleBase, set_exploration_type, set_recurrent_mode
from keywork.objectives._numbers import require_choice
from keywork.objectives._policy_findings import actor_findings, has_distribution
from keywork.objectives._policy_loss import CriticLoss
from keywork.objectives._slots import Slots

Imitation = Literal["nll", "l2", "l1", "smooth_l1"]


class BCLoss(TensorDictModuleBase):
    """Behaviour cloning: what a batch's actions cost an actor that should have taken them, ``loss_bc``.

    "nll": -mean log π(a|s), for a policy with a distribution.
    "l2", "l1", "smooth_l1": mean ℓ(μ(s), a) over steps and components (see :func:`~keywork.functional.value_loss`), μ
    being the actor free of noise: for actions that are real numbers. Of several actions the losses are added up.

    Args:
        actor: what learns, any actor.
        loss_function: one of these; if left out, "nll" for a policy with a distribution and "l2" for any other actor.

    A policy with a mask scores what the mask allows. Recurrent networks run over sequences: the last dimension of a
    batch ``[*B, T]`` is time. Where the batch has ``("collector", "valid")``, the steps that are none count for
    nothing.

    Raises:
        ContractError: the actor has no keys, writes no action, or has no distribution for "nll".
        UsageError: there is no such loss.
        SpecError: by a call, if a distance between choices is asked for.

    >>> from torch import nn
    >>> from keywork.modules import Actor
    >>> loss = BCLoss(Actor(nn.Linear(4, 1)))
    >>> loss.contract.reads, loss.loss_function, loss.out_keys
    (('observation', 'action'), 'l2', ['loss_bc'])
    """

    def __init__(self, actor: TensorDictModuleBase, *, loss_function: Imitation | None = None) -> None:
        owner = type(self).__name__
        kind: Imitation = loss_function or ("nll" if has_distribution(actor) else "l2")
        fix = "loss_function='nll' for a policy with a distribution, 'l2' for any other actor"
        require_choice(owner, "loss_function", kind, get_args(Imitation), fix)
        findings = actor_findings(actor) if kind == "nll" else without_keys("its actor", actor)
        actions = [] if findings else _actions_of(actor)
        if not findings and not actions:
            problem = f"its actor ({actor.label}) writes no {ACTION!r}."
            fix = f"name the action: Actor(net), or out_keys=[{ACTION!r}]."
            findings = [Finding("no-action", problem, f"it writes {listed(actor.out_keys)}", fix)]
        if findings:
            raise ContractError(owner, findings)
        slots = Slots.of(actor.in_keys, actions, [VALID])
        super().__init__(list(slots.keys), ["loss_bc"], optional_keys=[VALID], inplace=False)
        self.actor: Any = actor
        self.loss_function: Imitation = kind
        self._slots, self._written = slots, [actor.out_keys.index(key) for key in actions if key in actor.out_keys]

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The loss of a batch ``[*B]``."""
        seen, actions, (valid,) = self._slots.split(inputs)
        kind = self.loss_function
        with set_recurrent_mode(True):
            if kind == "nll":
                log_prob = score(self.actor.dist_of(*seen), actions)
                return (-masked_mean(log_prob, None if valid is None else valid.squeeze(-1)),)
            with set_exploration_type("deterministic"):
                outputs = self.actor.run(*seen)
        pairs = zip(self._written, actions, strict=True)
        return (reduce(torch.add, [self._distance(kind, outputs[at], action, valid) for at, action in pairs]),)

    def _distance(self, kind: CriticLoss, action: Tensor, goal: Tensor, valid: Tensor | None) -> Tensor:
        if not action.is_floating_point():
            raise refusal(
                SpecError,
                f"{self.label} cannot run: there is no distance between choices to learn from.",
                where="the action",
                expected="real numbers",
                got=str(action.dtype),
                fix="loss_function='nll'",
            )
        terms = value_loss(action, goal, kind=kind)
        if valid is not None:
            valid = valid.reshape(*valid.shape[:-1], *[1] * (terms.ndim - valid.ndim + 1)).expand_as(terms)
        return masked_mean(terms, valid)


def _actions_of(actor: TensorDictModuleBase) -> list[Key]:
    """What an actor decides on: what it draws; else what is called an action; else the only thing that it writes."""
    drawn: list[Key] | None = getattr(actor, "dist_sample_keys", None)
    if drawn is not None:
        return drawn
    named = [key for key in actor.out_keys if leaf(key) == ACTION]
    return named or (actor.out_keys if len(actor.out_keys) == 1 else [])
