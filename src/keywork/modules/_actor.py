"""Actors: key modules that write an action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self, Unpack

from torch.distributions import Distribution

from keywork._errors import ContractError, Finding
from keywork._keys import ACTION, OBSERVATION, as_keys
from keywork.distributions import Delta, DrawOptions
from keywork.modules._actor_findings import example_group, unfed_findings
from keywork.modules._actor_setup import head_arguments, projections_of
from keywork.modules._from_spec import policy_parts
from keywork.modules._from_spec_network import NetworkConfig
from keywork.modules._refusal import require_known, without_external
from keywork.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
)
from keywork.specs import Spec, as_spec


class Actor(TensorDictModule):
    """A network whose output is the action itself, with nothing drawn.

    Args:
        module: from the entries of ``in_keys`` to the action.
        in_keys: ``["observation"]`` if left out.
        out_keys: ``["action"]`` if left out.
        spec: what an action is, a spec or a Gymnasium space; the flow checks the network against it.

    >>> import torch
    >>> from tensordict import TensorDict
    >>> actor = Actor(torch.nn.Linear(3, 1))
    >>> actor(TensorDict(observation=torch.zeros(2, 3), batch_size=[2]))["action"].shape
    torch.Size([2, 1])
    """

    _keyed = ("spec",)

    def __init__(
        self, module: Callable[..., Any], in_keys: Any = None, out_keys: Any = None, *, spec: Any = None
    ) -> None:
        reads, writes = OBSERVATION if in_keys is None else in_keys, ACTION if out_keys is None else out_keys
        super().__init__(module, reads, writes)
        self.spec: Spec | None = None if spec is None else as_spec(spec)

    def dist_of(self, *inputs: Any) -> Distribution:
        """All the probability on the action, from the tensors of ``in_keys``."""
        return Delta(self.run(*inputs)[0])

    def get_dist(self, tensordict: Any) -> Distribution:
        """All the probability on the action that follows from what a TensorDict holds."""
        return self.dist_of(*self.read(tensordict))


class ProbabilisticActor(ProbabilisticTensorDictSequential):
    """A policy: a key module that computes a distribution's parameters, and the distribution from which it acts.

    It samples unless :func:`~keywork.nn.set_exploration_type` says otherwise. A policy of several named actions has a
    :class:`~keywork.distributions.CompositeDistribution`, or for short a dict of distributions.

    Args:
        module: a key module, or several in a list, that write the parameters.
        in_keys: the keys of the parameters, named as the distribution names them (``["loc", "scale"]``), or a dict
            ``{argument name: key}``. Of several actions: keys whose last two parts are the action and the argument
            (``[("params", "steer", "loc"), ...]``), or the key of the group that holds these (``["params"]``), or a
            dict ``{action: {argument name: key}}``.
        out_keys: the key of the action, ``"action"`` if left out. Of several, one for each, if the distribution does
            not say them.
        distribution_class: the distribution, or a function that returns one; or a dict ``{action key: distribution}``.
        distribution_kwargs: further arguments of every construction; after a dict ``{action key: further arguments}``.
            Where ``spec`` has bounds and the distribution takes ``low`` and ``high``, they are the spec's unless given
            here.
        spec: what an action is, a spec or a Gymnasium space; of several actions, a Composite that has their keys.
        return_log_prob: also write the log-probability of the action, ``"sample_log_prob"``; of several actions that
            of each, ``"<action>_log_prob"``.
        safe: bring every action to the nearest member of ``spec``; what comes out is what is scored. An action on a
            bound is scored as that value, by its density.
        options: see :class:`~keywork.distributions.DrawOptions`.

    Raises:
        ContractError: the module does not write what the distribution needs, or reads what is not there; the spec
            lacks an action, is not of what the distribution draws, or is asked for and not given.

    >>> import torch
    >>> from keywork.distributions import Categorical, TanhNormal
    >>> from tensordict import TensorDict
    >>> net = TensorDictModule(torch.nn.Linear(4, 2), ["observation"], ["logits"])
    >>> actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
    >>> actor.in_keys, actor.out_keys
    (['observation'], ['logits', 'action', 'sample_log_prob'])
    >>> actor(TensorDict(observation=torch.zeros(3, 4), batch_size=[3]))["action"].shape
    torch.Size([3])

    Two actions at once:

    >>> keys = [("steer", "loc"), ("steer", "scale"), ("gear", "logits")]
    >>> net = TensorDictModule(lambda x: (x[..., :1], x[..., 1:2].exp(), x[..., 2:]), ["observation"], keys)
    >>> actions = {("car", "steer"): TanhNormal, ("car", "gear"): Categorical}
    >>> actor = ProbabilisticActor(net, {("car", "steer"): keys[:2], ("car", "gear"): keys[2:]},
    ...                            distribution_class=actions, return_log_prob=True)
    >>> actor.dist_sample_keys, actor.log_prob_keys
    ([('car', 'steer'), ('car', 'gear')], [('car', 'steer_log_prob'), ('car', 'gear_log_prob')])
    """

    _keyed = ("spec",)

    def __init__(
        self,
        module: Any,
        in_keys: Any,
        out_keys: Any = None,
        *,
        distribution_class: Callable[..., Distribution] | Mapping[Any, Callable[..., Distribution]],
        distribution_kwargs: Mapping[Any, Any] | None = None,
        spec: Any = None,
        return_log_prob: bool = False,
        safe: bool = False,
        **options: Unpack[DrawOptions],
    ) -> None:
        require_known(type(self).__name__, options, [*DrawOptions.__annotations__, "return_log_prob", "safe", "spec"])
        action_spec = None if spec is None else as_spec(spec)
        owner, before = type(self).__name__, [*module] if isinstance(module, list | tuple) else [module]
        distribution = (distribution_class, dict(distribution_kwargs or {}))
        arguments = head_arguments(owner, (in_keys, out_keys), distribution, action_spec, before)
        if safe:
            projections = projections_of(owner, action_spec, as_keys(arguments["out_keys"] or ()))
            options["project"] = {**projections, **(options.get("project") or {})}
        try:
            head = ProbabilisticTensorDictModule(**arguments, return_log_prob=return_log_prob, **options)
        except ContractError as error:
            raise ContractError(owner, error.findings) from None
        super().__init__(*before, head)
        self.spec: Spec | None = action_spec

    @classmethod
    def from_spec(
        cls,
        observation_spec: Any,
        action_spec: Any,
        *,
        distribution: Any = None,
        action_mask_key: Any = None,
        return_log_prob: bool = True,
        safe: bool = False,
        config: NetworkConfig | None = None,
        **options: Unpack[DrawOptions],
    ) -> Self:
        """A policy that fits any observations and actions: :class:`Features`, an MLP, and the right distribution.

        ==============================  =====================================================================
        action                          distribution
        ==============================  =====================================================================
        Categorical                     Categorical; MaskedCategorical with a mask
        OneHot                          OneHotCategorical; MaskedOneHotCategorical with a mask
        MultiDiscrete, Categorical of   MultiCategorical
        a shape
        MultiBinary                     Bernoulli
        Bounded                         TanhNormal within the bounds
        Unbounded                       IndependentNormal
        Composite                       one of these for each action, with a network in common
        ==============================  =====================================================================

        Args:
            observation_spec: of what the policy reads: a Composite by key, or one spec for ``"observation"``.
            action_spec: of what it writes: a Composite by key, or one spec for ``"action"``.
            distribution: in place of the one above; of several actions a dict ``{key: distribution}``. (One without
                bounds, such as IndependentNormal, draws outside of the spec's too, unless it is ``safe``.)
            action_mask_key: the observation that says which choices are allowed, ``[*B, n]``; of several actions a dict
                ``{action's key: mask's key}``.
            return_log_prob: also write the log-probability of the action; of several actions that of each.
            safe: as the constructor takes it.
            config: the networks.
            options: see :class:`~keywork.distributions.DrawOptions`.

        Raises:
            SpecError: a spec has no entry, no distribution fits an action, or there is no such mask.

        >>> from keywork.specs import Bounded, Categorical
        >>> actor = ProbabilisticActor.from_spec({"position": Bounded(-1.0, 1.0, (3,)), "goal": Categorical(5)},
        ...                                      Bounded(-2.0, 2.0, (1,)))
        >>> actor.in_keys, actor.out_keys
        (['position', 'goal'], ['loc', 'scale', 'action', 'sample_log_prob'])
        """
        parts = policy_parts(
            cls.__name__,
            observation_spec,
            action_spec,
            distribution=distribution,
            action_mask_key=action_mask_key,
            config=config,
        )
        return cls(
            parts.module,
            parts.in_keys,
            parts.out_keys,
            distribution_class=parts.distribution_class,
            distribution_kwargs=parts.distribution_kwargs,
            spec=parts.spec,
            return_log_prob=return_log_prob,
            safe=safe,
            **options,
        )

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """The findings of every chain, and a distribution that takes nothing of what the networks write."""
        *before, head = steps.values()
        found = without_external(super().findings(steps))
        if not isinstance(head, ProbabilisticTensorDictModule):
            return found
        elsewhere = example_group(head)
        if elsewhere:
            return [replace(each, fix=elsewhere) if each.kind == "leaf-as-parent" else each for each in found]
        return found or unfed_findings(head, [key for step in before for key in step.out_keys])
