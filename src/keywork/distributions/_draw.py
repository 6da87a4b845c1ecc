"""What the exploration types mean for a distribution, and which arguments a distribution takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from keywork._errors import Finding
from keywork._keys import listed, meant

from ._base import ActionDistribution


def draw(
    dist: Any, kind: str, *, with_log_prob: bool = False, generator: torch.Generator | None = None
) -> tuple[Tensor, ...]:
    """A value of the distribution, and its log-probability if asked for.

    A distribution that can score a draw where it is made (``rsample_and_log_prob``) does so: scoring it afterwards
    has lost what the last transformation rounded away.

    Args:
        dist: a distribution of this package or of torch.
        kind: ``"random"`` samples (with a gradient where the distribution has one). ``"mode"``, ``"mean"`` and
            ``"deterministic"`` are a distribution of this package's own (the last its ``deterministic_sample``). One of
            torch's gives its mode or its mean, and for ``"deterministic"`` its mode; of the two, where it does not have
            the one or this is NaN, the other. The mean of a discrete one is its mode: the mean is no value of it.
        with_log_prob: also return the log-probability.
        generator: of the random draw; a distribution of torch's has no such argument.

    >>> draw(torch.distributions.Normal(torch.zeros(()), torch.ones(())), "mean", with_log_prob=True)
    (tensor(0.), tensor(-0.9189))
    """
    if kind == "random":
        options = {} if generator is None else {"generator": generator}
        name = "rsample" if dist.has_rsample else "sample"
        jointly = getattr(dist, f"{name}_and_log_prob", None) if with_log_prob else None
        if jointly is not None:
            return cast(tuple[Tensor, ...], jointly(**options))
        value = getattr(dist, name)(**options)
    elif kind == "deterministic" and hasattr(type(dist), "deterministic_sample"):
        value = dist.deterministic_sample
    elif isinstance(dist, ActionDistribution):
        value = getattr(dist, kind)
    else:
        value = _of_torch(dist, kind)
    return (value, dist.log_prob(value)) if with_log_prob else (value,)


def _of_torch(dist: Any, kind: str) -> Tensor:
    discrete = dist.support.is_discrete
    found: list[Tensor] = []
    for name in ("mean", "mode") if kind == "mean" and not discrete else ("mode", "mean"):
        try:
            found.append(getattr(dist, name))
        except NotImplementedError:
            continue
    if not found:
        problem = f"{type(dist).__name__} has neither a mode nor a mean for the exploration type {str(kind)!r}"
        raise NotImplementedError(f"{problem}: choose 'random', or a distribution that defines one.")
    value, other = found[0], found[-1]
    if not value.is_floating_point():
        return value
    # Torch's mode of a uniform distribution or of an even coin is NaN, and so is the mean of a Cauchy distribution.
    return torch.where(value.isnan(), other.round() if discrete else other, value)


def check_arguments(
    distribution_class: Callable[..., Distribution], parameters: Iterable[str], keywords: Iterable[str]
) -> list[Finding]:
    """What is wrong with constructing a distribution from these arguments, by its signature.

    Args:
        distribution_class: a distribution, or a function that returns one.
        parameters: the names under which the parameters' tensors are passed.
        keywords: the names of the further arguments.

    >>> [finding.problem for finding in check_arguments(torch.distributions.Normal, ["loc", "std"], [])]
    ["Normal has no parameter 'std'.", "Normal needs 'scale', which in_keys does not bring."]
    """
    name = getattr(distribution_class, "__name__", repr(distribution_class))
    accepted = inspect.signature(distribution_class).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        return []
    provided, given, findings = f"{name}({', '.join(accepted)})", [*parameters], []
    for argument in dict.fromkeys(given):
        if given.count(argument) > 1:
            problem, there = f"in_keys names the parameter {argument!r} of {name} more than once.", listed(given)
            fix = "keep one of the keys, or tell them apart with in_keys={'argument': key}."
            findings.append(Finding("duplicate-parameter", problem, there, fix))
        if argument not in accepted:
            fix = f"{meant(argument, accepted, cutoff=0.5)}name its key otherwise with in_keys={{'argument': key}}."
            findings.append(Finding("unknown-parameter", f"{name} has no parameter {argument!r}.", provided, fix))
    for argument in keywords:
        if argument not in accepted:
            fix = f"{meant(argument, accepted, cutoff=0.5)}drop it from distribution_kwargs."
            problem = f"{name} has no keyword argument {argument!r}."
            findings.append(Finding("unknown-keyword", problem, provided, fix))
        given.append(argument)
    missing = [
        parameter.name
        for parameter in accepted.values()
        if parameter.default is parameter.empty
        and parameter.kind is not parameter.VAR_POSITIONAL
        and parameter.name not in given
    ]
    if missing:
        problem = f"{name} needs {listed(missing)}, which in_keys does not bring."
        fix = f"add a key for {missing[0]!r} to in_keys, or pass distribution_kwargs={{{missing[0]!r}: ...}}."
        findings.append(Finding("missing-parameter", problem, f"in_keys brings {listed(given)}", fix))
    return findings
