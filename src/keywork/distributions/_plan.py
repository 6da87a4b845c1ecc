"""How a policy's last step builds its distribution from named tensors, and where what it draws goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor
from torch.distributions import Distribution

from keywork._errors import ContractError, Finding
from keywork._keys import Key, listed, meant, renamed

from ._actions import DistributionLike, actions_of, arguments_of, is_several
from ._arguments import by_position, check_arguments, check_bounds, check_generator
from ._composite import CompositeDistribution, made
from ._composite_parts import ActionPart
from ._draw import Projection, draw
from ._plan_keys import Named, log_prob_keys_of, parameters_of


class DrawOptions(TypedDict, total=False):
    """How a policy draws.

    Attributes:
        default_interaction_type: what is done outside of :func:`~keywork.nn.set_exploration_type`; ``"random"``.
        log_prob_key: where the log-probability is written; if left out, ``"sample_log_prob"`` beside the only action,
            or for each of several ``"<action>_log_prob"``. Given with several actions: that of all together.
        log_prob_keys: one for each action instead.
        num_samples: N draws an element, in a dimension that follows those of the batch: actions ``[*B, N, *event]``,
            log-probabilities ``[*B, N]``, so that they can be stored beside all other entries. (In other libraries
            that dimension comes first.) What is free of noise is repeated.
        generator: of the random draws, in place of torch's own.
        project: for the key of an action the function that brings it to where it must lie; what comes out is scored.
    """

    default_interaction_type: str
    log_prob_key: Key | None
    log_prob_keys: Any
    num_samples: int | None
    generator: torch.Generator | None
    project: Mapping[Key, Projection] | None


class Call(NamedTuple):
    """How one action's distribution is built: by position where ``arguments`` is None."""

    key: Key
    maker: Callable[..., Distribution]
    keywords: Mapping[str, Any]
    slots: tuple[int, ...]
    arguments: tuple[str, ...] | None

    def make(self, tensors: Sequence[Any]) -> Distribution:
        """The distribution of these tensors, which are those of ``slots``."""
        if self.arguments is None:
            return self.maker(*tensors, **self.keywords)
        return self.maker(**dict(zip(self.arguments, tensors, strict=True)), **self.keywords)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy's last step knows of its distribution.

    Attributes:
        params: the keys of the parameters.
        samples: the keys of the samples, one for each action.
        log_probs: those of the log-probabilities.
        summed: whether several actions have one log-probability.
        num_samples: how many samples an element, if they have a dimension of their own.
        project: what each action is projected by, if any is.
        calls: how each action's distribution is built.
        alone: the only one of them, if the distribution is no composite one.
        group: the parts whose parameters come in one nested entry.
        arguments: the distribution's class, and the further arguments of every construction.
    """

    params: tuple[Key, ...]
    samples: tuple[Key, ...]
    log_probs: tuple[Key, ...]
    summed: bool
    num_samples: int | None
    project: tuple[Projection | None, ...] | None
    calls: tuple[Call, ...]
    alone: Call | None
    group: tuple[ActionPart, ...]
    arguments: tuple[Callable[..., Distribution], dict[str, Any]]

    def build(self, params: Sequence[Any]) -> Distribution:
        """The distribution, from the tensors of ``params``."""
        if self.alone is not None:
            return self.alone.make(params)
        if self.group:
            return CompositeDistribution._of({part.key: made(part, params[0], {}) for part in self.group})
        return CompositeDistribution._of({c.key: c.make([params[slot] for slot in c.slots]) for c in self.calls})

    def renamed(self, names: Mapping[Key, Key]) -> Plan:
        """The same with other keys; the names of arguments stay, and those by which an action finds its parameters."""
        params, samples, log_probs = (
            tuple([renamed(key, names) for key in keys]) for keys in (self.params, self.samples, self.log_probs)
        )
        calls = tuple([call._replace(key=renamed(call.key, names)) for call in self.calls])
        group = tuple([part._replace(key=renamed(part.key, names)) for part in self.group])
        made_by, keywords = self.arguments
        if self.alone is None:
            moved = {name: renamed(key, names) for name, key in keywords["name_map"].items()}
            keywords = {**keywords, "name_map": moved}
        return replace(
            self,
            params=params,
            samples=samples,
            log_probs=log_probs,
            calls=calls,
            alone=self.alone and calls[0],
            group=group,
            arguments=(made_by, keywords),
        )

    def draw(
        self, dist: Distribution, kind: str, with_log_prob: bool, generator: torch.Generator | None
    ) -> tuple[Tensor, ...]:
        """A sample for each of ``samples``, and if asked for a log-probability for each of ``log_probs``."""
        return draw(
            dist,
            kind,
            with_log_prob=with_log_prob,
            generator=generator,
            num_samples=self.num_samples,
            project=self.project,
            summed=self.summed,
        )


def plan_of(
    owner: str,
    in_keys: Any,
    out_keys: Any,
    distribution_class: DistributionLike,
    distribution_kwargs: Mapping[str, Any],
    options: DrawOptions,
) -> Plan:
    """Work out the plan of a policy's last step.

    Args:
        owner: what the step is called.
        in_keys: the parameters: keys whose last parts are the names of arguments, or ``{argument: key}``. Of several
            actions, keys whose last two parts are the action and the argument; or ``{action: either of these}``; or
            one key of a group of all.
        out_keys: the keys of the samples; None takes those of the distribution.
        distribution_class: see :func:`actions_of`.
        distribution_kwargs: likewise.
        options: see :class:`DrawOptions`.

    Raises:
        ContractError: all that is wrong with this.
        TypeError: an option that there is not.

    >>> normal = torch.distributions.Normal
    >>> plan = plan_of("head", ["loc", "scale"], "action", normal, {}, {})
    >>> plan.params, plan.log_probs
    (('loc', 'scale'), ('sample_log_prob',))
    """
    for name in options:
        if name not in DrawOptions.__annotations__:
            hint = meant(name, [*DrawOptions.__annotations__, "return_log_prob"]).strip()
            problem = f"{owner}.__init__() got an unexpected keyword argument {name!r}"
            raise TypeError(f"{problem}; {hint}" if hint else problem)
    several = is_several(distribution_class)
    parts, findings = actions_of(distribution_class, distribution_kwargs, out_keys)
    if findings and (several or not callable(distribution_class)):
        raise ContractError(owner, findings)
    named, wrong = parameters_of(in_keys, parts, several)
    samples = tuple(part.key for part in parts)
    log_probs, wrong_keys = log_prob_keys_of(samples, options.get("log_prob_key"), options.get("log_prob_keys"))
    findings = [*wrong, *_misfits(parts, named, several), *findings, *wrong_keys, *_impossible(parts, options, several)]
    if findings:
        raise ContractError(owner, findings)
    calls = tuple(
        Call(part.key, part.maker, part.keywords, slots, None if by_position(part.maker, arguments) else arguments)
        for part, slots, arguments in zip(parts, named.slots, named.arguments, strict=True)
    )
    project = options.get("project")
    return Plan(
        params=named.keys,
        samples=samples,
        log_probs=log_probs,
        summed=len(log_probs) < len(samples),
        num_samples=options.get("num_samples"),
        project=None if project is None else tuple(project.get(key) for key in samples),
        calls=calls,
        alone=None if several else calls[0],
        group=tuple(parts) if named.grouped else (),
        arguments=arguments_of(distribution_class, parts),
    )


def _misfits(parts: Sequence[ActionPart], named: Named, several: bool) -> list[Finding]:
    """The parameters that are none of the distributions', and those that they lack."""
    if named.grouped:
        return []  # which are there is seen when they are
    findings = []
    for part, arguments, slots in zip(parts, named.arguments, named.slots, strict=True):
        keys = [named.keys[slot] for slot in slots]
        found = check_arguments(part.maker, arguments, part.keywords, part.name if several else None, keys)
        if several and not arguments and not found:  # every argument has a default, and which is missing is not known
            problem = f"in_keys brings nothing for the action {part.name!r}."
            fix = f"name its parameters: in_keys={{{part.name!r}: {{'argument': key}}, ...}}."
            found = [Finding("unfed-action", problem, f"in_keys brings {listed(named.keys)}", fix)]
        findings += found
    return findings


def _impossible(parts: Sequence[ActionPart], options: DrawOptions, several: bool) -> list[Finding]:
    """The options that cannot be had."""
    findings = [
        finding for part in parts for finding in check_bounds(part.maker, part.keywords, part.name if several else None)
    ]
    if options.get("generator") is not None:
        for part in parts:
            findings += check_generator(part.maker, part.name if several else None)
    count = options.get("num_samples")
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        fix = "num_samples=8, or leave it out for one sample without a dimension of its own."
        findings.append(Finding("sample-count", f"num_samples is {count!r}, which is no count of samples.", "", fix))
    samples = [part.key for part in parts]
    for key in options.get("project") or {}:
        if key not in samples:
            fix = "name the key of a sample: project={'action': spec.project}."
            findings.append(Finding("unknown-action", f"project names {key!r}.", f"the samples are {samples}", fix))
    return findings
