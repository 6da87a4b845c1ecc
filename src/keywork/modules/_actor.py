"""Actors: key modules that write an action."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, Unpack

import torch
from torch.distributions import Distribution

from keywork._errors import Finding
from keywork._keys import ACTION, OBSERVATION, Key, listed
from keywork.distributions import Delta
from keywork.nn import (
    ExplorationType,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
)
from keywork.specs import Bounded, Spec, as_spec


class DrawOptions(TypedDict, total=False):
    """How an actor draws, as :class:`~keywork.nn.ProbabilisticTensorDictModule` takes it.

    Attributes:
        log_prob_key: where the log-probability is written.
        default_interaction_type: what is done outside of :func:`~keywork.nn.set_exploration_type`.
        generator: a generator of the random draws.
    """

    log_prob_key: Key
    default_interaction_type: ExplorationType | str
    generator: torch.Generator | None


class Actor(TensorDictModule):
    """A network whose output is the action itself, with nothing drawn.

    Args:
        module: from the entries of ``in_keys`` to the action.
        in_keys: ``["observation"]`` if left out.
        out_keys: ``["action"]`` if left out.
        spec: what an action is, a spec or a Gymnasium space; the flow checks the network against it.

    >>> from tensordict import TensorDict
    >>> actor = Actor(torch.nn.Linear(3, 1))
    >>> actor(TensorDict(observation=torch.zeros(2, 3), batch_size=[2]))["action"].shape
    torch.Size([2, 1])
    """

    def __init__(
        self, module: Callable[..., Any], in_keys: Any = OBSERVATION, out_keys: Any = ACTION, *, spec: Any = None
    ) -> None:
        super().__init__(module, in_keys, out_keys)
        self.spec: Spec | None = None if spec is None else as_spec(spec)

    def dist_of(self, *inputs: Any) -> Distribution:
        """All the probability on the action, from the tensors of ``in_keys``."""
        return Delta(self.run(*inputs)[0])

    def get_dist(self, tensordict: Any) -> Distribution:
        """All the probability on the action that follows from what a TensorDict holds."""
        return self.dist_of(*self.read(tensordict))


class ProbabilisticActor(ProbabilisticTensorDictSequential):
    """A policy: a key module that computes a distribution's parameters, and the distribution from which it acts.

    It samples unless :func:`~keywork.nn.set_exploration_type` says otherwise.

    Args:
        module: a key module, or several in a list, that write the parameters.
        in_keys: the keys of the parameters, named as the distribution names them (``["loc", "scale"]``), or a dict
            ``{argument name: key}``.
        out_keys: the key of the action.
        distribution_class: the distribution, or a function that returns one.
        distribution_kwargs: further arguments of every construction. Where ``spec`` has bounds and the distribution
            takes ``low`` and ``high``, they are the spec's unless given here.
        spec: what an action is, a spec or a Gymnasium space.
        return_log_prob: also write the log-probability of the action, ``"sample_log_prob"``.
        options: see :class:`DrawOptions`.

    Raises:
        ContractError: the module does not write what the distribution needs, or reads what is not there.

    >>> from keywork.distributions import Categorical
    >>> from tensordict import TensorDict
    >>> net = TensorDictModule(torch.nn.Linear(4, 2), ["observation"], ["logits"])
    >>> actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    >>> actor.in_keys, actor.out_keys
    (['observation'], ['logits', 'action', 'sample_log_prob'])
    >>> actor(TensorDict(observation=torch.zeros(3, 4), batch_size=[3]))["action"].shape
    torch.Size([3])
    """

    def __init__(
        self,
        module: Any,
        in_keys: Any,
        out_keys: Any = ACTION,
        *,
        distribution_class: Callable[..., Distribution],
        distribution_kwargs: Mapping[str, Any] | None = None,
        spec: Any = None,
        return_log_prob: bool = False,
        **options: Unpack[DrawOptions],
    ) -> None:
        action_spec = None if spec is None else as_spec(spec)
        head = ProbabilisticTensorDictModule(
            in_keys,
            out_keys,
            distribution_class=distribution_class,
            distribution_kwargs=_bounds_of(action_spec, distribution_class) | dict(distribution_kwargs or {}),
            return_log_prob=return_log_prob,
            **options,
        )
        super().__init__(*(module if isinstance(module, list | tuple) else [module]), head)
        self.spec: Spec | None = action_spec

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """The findings of every chain, and a distribution that takes nothing of what the networks write."""
        *before, head = steps.values()
        written = [key for step in before for key in step.out_keys]
        found = super().findings(steps)
        if not found and not set(head.in_keys) & set(written):
            problem = f"the distribution reads {listed(head.in_keys)}, none of which the module writes."
            fix = f"name what the module writes: out_keys={head.in_keys}, or in_keys={{'argument': key}}."
            found = [Finding("unfed-distribution", problem, f"the module writes {listed(written)}", fix)]
        return found


def _bounds_of(spec: Spec | None, distribution_class: Callable[..., Any]) -> dict[str, Any]:
    # A TanhNormal that keeps its own default bounds would never reach most of a wider action space.
    accepted = inspect.signature(distribution_class).parameters
    if not isinstance(spec, Bounded) or not {"low", "high"} <= {*accepted}:
        return {}
    return {"low": _number(spec.low), "high": _number(spec.high)}


def _number(bound: torch.Tensor) -> torch.Tensor | float:
    """A bound that is the same everywhere as a plain number, with which distributions are twice as fast."""
    first = bound.flatten()[0]
    return float(first) if bool((bound == first).all()) else bound
