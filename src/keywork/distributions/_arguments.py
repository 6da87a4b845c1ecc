"""Which arguments a distribution takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.distributions import Distribution

from keywork._errors import Finding
from keywork._keys import Key, listed, meant, nearest

from ._base import ActionDistribution


def check_arguments(
    distribution_class: Callable[..., Distribution],
    parameters: Iterable[str],
    keywords: Iterable[str],
    action: Key | None = None,
    keys: Sequence[Key] = (),
) -> list[Finding]:
    """What is wrong with constructing a distribution from these arguments, by its signature.

    Args:
        distribution_class: a distribution, or a function that returns one.
        parameters: the names under which the parameters' tensors are passed.
        keywords: the names of the further arguments.
        action: of several actions, the one whose distribution it is.
        keys: where the parameters are, to say what to type.

    >>> import torch
    >>> [finding.problem for finding in check_arguments(torch.distributions.Normal, ["loc", "std"], [])]
    ["Normal has no parameter 'std'.", "Normal needs 'scale', which in_keys does not bring."]
    """
    plain = getattr(distribution_class, "__name__", repr(distribution_class))
    name = plain if action is None else f"{plain} of {action!r}"
    accepted = inspect.signature(distribution_class).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        return []
    provided, given, findings = f"{plain}({', '.join(accepted)})", [*parameters], []
    key_of = dict(zip(given, keys or given, strict=False))
    for argument in dict.fromkeys(given):
        if given.count(argument) > 1:
            problem, there = f"in_keys names the parameter {argument!r} of {name} more than once.", listed(given)
            fix = f"keep one of the keys, or tell them apart with {_in_keys(action)}."
            findings.append(Finding("duplicate-parameter", problem, there, fix))
        if argument not in accepted:
            free = [one for one in accepted.values() if one.name not in given]
            lacking = [one.name for one in free if one.default is one.empty]
            near = nearest(argument, lacking, cutoff=0.5) or nearest(argument, [one.name for one in free], cutoff=0.5)
            hint = "" if near is None else f"did you mean {near!r}? "
            pair = "'argument': key" if near is None else f"{near!r}: {key_of[argument]!r}"
            fix = f"{hint}name its key otherwise with {_in_keys(action, pair)}."
            findings.append(Finding("unknown-parameter", f"{name} has no parameter {argument!r}.", provided, fix))
    for argument in keywords:
        if argument not in accepted:
            hint = meant(argument, accepted, cutoff=0.5)
            fix = f"{hint}Rename it." if hint else f"drop it from {_further(action)}."
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
        keyword = f"{{{missing[0]!r}: ...}} among {_further(action)}"
        if action is None:
            keyword = f"distribution_kwargs={{{missing[0]!r}: ...}}"
        fix = f"add a key for {missing[0]!r} to in_keys, or pass {keyword}."
        findings.append(Finding("missing-parameter", problem, f"in_keys brings {listed(parameters)}", fix))
    return findings


def _in_keys(action: Key | None, pair: str = "'argument': key") -> str:
    return f"in_keys={{{pair}}}" if action is None else f"in_keys={{{action!r}: {{{pair}}}}}"


def _further(action: Key | None) -> str:
    return "distribution_kwargs" if action is None else f"the further arguments of {action!r}"


def check_bounds(maker: Callable[..., Any], keywords: Mapping[str, Any], action: Key | None = None) -> list[Finding]:
    """Two bounds of a distribution of this package that leave nothing between them.

    >>> from keywork.distributions import TanhNormal
    >>> [finding.problem for finding in check_bounds(TanhNormal, {"low": 1.0, "high": -1.0})]
    ['TanhNormal draws between low and high, and low is not below high.']
    """
    own = isinstance(maker, type) and issubclass(maker, ActionDistribution)
    if not own or keywords.get("low") is None or keywords.get("high") is None:
        return []
    low, high = keywords["low"], keywords["high"]
    if bool((torch.as_tensor(low) < torch.as_tensor(high)).all()):
        return []
    name = maker.__name__ if action is None else f"{maker.__name__} of {action!r}"
    problem = f"{name} draws between low and high, and low is not below high."
    fix = f"swap or mend them in {_further(action)}: {{'low': -1.0, 'high': 1.0}}."
    return [Finding("bounds", problem, f"low={low}, high={high}", fix)]


def check_generator(maker: Callable[..., Any], action: Key | None = None) -> list[Finding]:
    """A distribution that is to draw by a generator of one's own, and takes none; of a function, nothing is known.

    >>> import torch
    >>> [finding.problem for finding in check_generator(torch.distributions.Normal)]
    ["Normal draws by torch's own generator only, and generator= asks for another."]
    """
    if not isinstance(maker, type):
        return []
    sampler: Any = getattr(maker, "rsample" if getattr(maker, "has_rsample", False) else "sample", None)
    if sampler is None:
        return []
    accepted = inspect.signature(sampler).parameters
    if "generator" in accepted or any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return []
    name = maker.__name__ if action is None else f"{maker.__name__} of {action!r}"
    problem = f"{name} draws by torch's own generator only, and generator= asks for another."
    fix = "take a distribution of keywork.distributions, or leave generator out and call torch.manual_seed(...)."
    return [Finding("no-generator", problem, f"{maker.__name__}.{sampler.__name__}({', '.join(accepted)})", fix)]


def by_position(maker: Callable[..., Any], arguments: Sequence[str]) -> bool:
    """Whether these are the first arguments, in order: they may then be passed without their names, which is faster.

    >>> import torch
    >>> by_position(torch.distributions.Normal, ["loc", "scale"]), by_position(torch.distributions.Normal, ["scale"])
    (True, False)
    """
    first = list(inspect.signature(maker).parameters.values())[: len(arguments)]
    return [p.name for p in first] == [*arguments] and all(p.kind <= p.POSITIONAL_OR_KEYWORD for p in first)
