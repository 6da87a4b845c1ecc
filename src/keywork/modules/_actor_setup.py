"""What an actor takes from the spec of its actions, and from the networks before its distribution."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from keywork._errors import ContractError, Finding
from keywork._keys import ACTION, Key, as_keys, is_parent, listed, nearest
from keywork.distributions import actions_of, arguments_of, is_several, owner_of
from keywork.modules._actor_findings import spec_findings
from keywork.specs import Bounded, Composite, Spec


def head_arguments(
    owner: str,
    keys: tuple[Any, Any],
    distribution: tuple[Any, Mapping[Any, Any]],
    spec: Spec | None,
    before: Sequence[Any],
) -> dict[str, Any]:
    """The arguments of a policy's last step, with what the spec and the networks before it add to them.

    Where a distribution takes ``low`` and ``high``, they are those of its action's spec: a TanhNormal that keeps its
    own default bounds would never reach most of a wider action space. And a group of parameters that the networks
    fill entry by entry is read entry by entry, so that nothing ever has to build a TensorDict.

    Args:
        owner: the policy, for messages.
        keys: its in_keys and out_keys.
        distribution: its distribution_class and distribution_kwargs.
        spec: what its actions are.
        before: the networks.

    Raises:
        ContractError: the spec has several entries, and not those of the actions; or it is not of such actions.
    """
    (in_keys, out_keys), (made_by, keywords) = keys, distribution
    if out_keys is None and not is_several(made_by):
        out_keys = ACTION
    parts, findings = actions_of(made_by, keywords, out_keys)
    given = {"in_keys": in_keys, "out_keys": out_keys, "distribution_class": made_by, "distribution_kwargs": keywords}
    if findings:  # the last step has the same ones, and more
        return given
    if is_several(made_by):
        given["in_keys"] = _entries(in_keys, parts, before)
    if spec is None:
        return given
    specs = specs_of(owner, spec, [part.key for part in parts])
    misfits = spec_findings(parts, specs)
    if misfits:
        raise ContractError(owner, misfits)
    bounded = [part._replace(keywords=_bounds_of(specs[part.key], part.maker) | part.keywords) for part in parts]
    made_by, keywords = arguments_of(made_by, bounded)
    made = {"distribution_class": made_by, "distribution_kwargs": keywords}
    return {**given, "out_keys": [part.key for part in parts], **made}


def specs_of(owner: str, spec: Spec, keys: Sequence[Key]) -> dict[Key, Spec]:
    """The spec of each action, out of a Composite, or the spec itself, if there is but one.

    Raises:
        ContractError: an action has none.
    """
    if not isinstance(spec, Composite):
        if len(keys) == 1:
            return {keys[0]: spec}
        problem = f"spec is that of one action, and there are {len(keys)}: {listed(keys)}."
        fix = f"name whose it is: spec=Composite({{{keys[0]!r}: ..., {keys[1]!r}: ...}})."
        raise ContractError(owner, [Finding("no-spec", problem, f"spec={spec!r}", fix)])
    found = {key: spec.get(key) for key in keys}
    findings = [
        Finding(
            "no-spec",
            f"spec has no entry for the action {key!r}.",
            f"it has {listed(spec.keys())}",
            f"did you mean {near!r}? Rename one of the two." if near else f"add it: spec.updated({{{key!r}: ...}}).",
        )
        for key, leaf in found.items()
        if leaf is None or isinstance(leaf, Composite)
        for near in [nearest(key, spec.keys())]
    ]
    if findings:
        raise ContractError(owner, findings)
    return {key: leaf for key, leaf in found.items() if leaf is not None}


def projections_of(
    owner: str, spec: Spec | None, keys: Sequence[Key]
) -> dict[Key, Callable[[torch.Tensor], torch.Tensor]]:
    """For each action the function that brings it to the nearest member of its spec.

    Raises:
        ContractError: there is no spec.
    """
    if spec is None:
        fix = "say what an action is: spec=env.action_spec, or leave safe out."
        problem = "safe=True projects actions to their spec, and there is none."
        raise ContractError(owner, [Finding("no-spec", problem, "spec=None", fix)])
    return {key: leaf.project for key, leaf in specs_of(owner, spec, keys).items()}


def _entries(in_keys: Any, parts: Sequence[Any], before: Sequence[Any]) -> Any:
    """The keys of the parameters in a group, as far as the networks write them; in_keys, if it is no such group."""
    if isinstance(in_keys, Mapping) and not isinstance(next(iter(in_keys.values()), None), str | tuple):
        return in_keys
    group = list(as_keys(list(in_keys.values()) if isinstance(in_keys, Mapping) else in_keys))
    written = [key for network in before for key in as_keys(list(getattr(network, "out_keys", [])))]
    if len(group) != 1 or group[0] in written:
        return in_keys
    return [key for key in written if is_parent(group[0], key) and owner_of(key, parts) is not None] or in_keys


def _bounds_of(spec: Spec, maker: Callable[..., Any]) -> dict[str, Any]:
    if not isinstance(spec, Bounded) or not {"low", "high"} <= {*inspect.signature(maker).parameters}:
        return {}
    return {"low": _number(spec.low), "high": _number(spec.high)}


def _number(bound: torch.Tensor) -> torch.Tensor | float:
    """A bound that is the same everywhere as a plain number, with which distributions are twice as fast."""
    first = bound.flatten()[0]
    return float(first) if bool((bound == first).all()) else bound
