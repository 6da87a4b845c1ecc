"""Parts that read and write keys: new names for these, the tensors of a call, and which parts a selection takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any, Protocol

from torch import nn

from keywork._errors import Finding, MissingKeyError, OutputError, describe, refusal, shape_of
from keywork._keys import (
    ADVANTAGE,
    NEXT,
    SAMPLE_LOG_PROB,
    VALUE_TARGET,
    Key,
    argument_name,
    as_key,
    is_parent,
    leaf,
    listed,
    meant,
    renamed,
    unique,
)

# Who writes what no environment shows and no network computes.
_ESTIMATOR = "add the estimator that writes it before: GAE(gamma, lmbda, critic)"
SOURCES = {
    ADVANTAGE: _ESTIMATOR,
    VALUE_TARGET: _ESTIMATOR,
    SAMPLE_LOG_PROB: "let the actor write it: ProbabilisticActor(..., return_log_prob=True)",
}


def check_names(names: Mapping[Any, Any], keys: Sequence[Key], renamable: bool = True) -> list[Finding]:
    """What is wrong with giving these new ``names`` (old: new) to the ``keys`` of a module."""
    fix = "write compute(self, *inputs), or make a step of it: TensorDictSequential(module).renamed({...})."
    opaque = Finding("opaque", "its forward(td) names its entries itself, out of reach of a renaming.", "", fix)
    findings = [] if renamable else [opaque]
    for key in unknown_names([as_key(name) for name in names], keys):
        fix = f"{meant(key, keys)}Rename one of these."
        findings.append(Finding("unknown-name", f"there is no {key!r} to rename.", f"its keys {listed(keys)}", fix))
    return findings


def unknown_names(names: Iterable[Key], keys: Iterable[Key]) -> list[Key]:
    """Those of ``names`` that stand for none of the keys: no key, no parent of one, and neither for the next step.

    >>> unknown_names(["h", "g", "x"], [("next", "h"), ("g", "a")])
    ['x']
    """
    there = [other for key in keys for other in (key, *([as_key(key[1:])] if key[0] == NEXT else []))]
    return [name for name in names if not any(name == key or is_parent(name, key) for key in there)]


def rekeyed(held: Any, names: Mapping[Key, Key]) -> Any:
    """What an attribute becomes that holds a key, a list of keys, a dict by key, or something with ``renamed(names)``.

    >>> rekeyed({"h": 1}, {"h": "s"}), rekeyed(["a", ("g", "b")], {"g": "f"})
    ({'s': 1}, ['a', ('f', 'b')])
    """
    if isinstance(held, str | tuple):
        return renamed(held, names)
    if isinstance(held, list):
        return [renamed(key, names) for key in held]
    if isinstance(held, dict):
        return {renamed(key, names): value for key, value in held.items()}
    return held.renamed(names) if hasattr(held, "renamed") else held


def absence(module: Any, who: str, key: Key, there: Sequence[Key], place: str = "the TensorDict") -> MissingKeyError:
    """The error of a key module that looked for ``key`` where only ``there`` is.

    It advises what the module's class takes: not each has ``optional_keys``, or ``in_keys`` that are those of its
    inputs (those of a policy are its distribution's parameters).
    """
    carried = specs_of_carried(module).get(key) if hasattr(module, "contract") else None
    if carried is not None:
        sizes, dtype = "".join(f", {size}" for size in carried.shape), carried.dtype
        zeros = f"td[{key!r}] = torch.zeros(*td.batch_size{sizes}, dtype={dtype})"
        fix = f"A collector carries it from step to step; in a loop of your own begin with {zeros}."
        return MissingKeyError.of(who, key, listed(there), "", place, fix=fix)
    source = SOURCES.get(leaf(key))
    bring = f"Store the entry under {key!r}" if source is None else f"{source[0].upper()}{source[1:]}"
    taken = inspect.signature(type(module)).parameters
    if "optional_keys" in taken:
        rest = f", change in_keys, or declare it with optional_keys=[{key!r}]."
    elif "in_keys" in taken and not hasattr(module, "dist_of"):
        rest = ", or change in_keys."
    else:
        rest = f", or let another be read: renamed({{{key!r}: ...}})."
    return MissingKeyError.of(who, key, listed(there), meant(key, there), place, fix=bring + rest)


def entries(module: Any, td: Any, keys: Sequence[Key]) -> list[Any]:
    """What a TensorDict holds under ``keys``, which a key module reads besides its in_keys.

    Raises:
        MissingKeyError: one is absent.
    """
    values = [td.get(key, None) for key in keys]
    for key, value in zip(keys, values, strict=True):
        if value is None:
            raise absence(module, module.label, key, list(td.keys(include_nested=True, leaves_only=True)))
    return values


def output_findings(out_keys: Sequence[Key], nested: bool) -> list[Finding]:
    """Outputs that cannot all be stored: two of one key, or, unless that is ``nested`` on purpose, one inside another.

    >>> [finding.problem for finding in output_findings(["b", ("b", "c")], nested=False)]
    ["out_keys has ('b', 'c') inside 'b', which is a tensor of its own."]
    """
    twice = [key for key in unique(out_keys) if out_keys.count(key) > 1]
    if twice:
        problem = f"out_keys names {listed(twice)} more than once."
        fix = "give each output its own key, or '_' for one to drop."
        return [Finding("duplicate-key", problem, f"{out_keys=}", fix)]
    pairs = [] if nested else [(a, b) for a, b in permutations(out_keys, 2) if is_parent(a, b)]
    fix = "give the two keys that lie beside one another."
    return [
        Finding("nested-key", f"out_keys has {b!r} inside {a!r}, which is a tensor of its own.", f"{out_keys=}", fix)
        for a, b in pairs
    ]


def tensors_by_key(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[Key, Any]:
    """The tensors that were given to a key module, by position and by name.

    Raises:
        TypeError: there are too many, or one is given twice or under a name that is none.
        MissingKeyError: one is absent that is not optional.
    """
    keys = unique(module._in_keys)
    names = {argument_name(key): key for key in keys} if kwargs else {}
    if len(args) > len(keys):
        raise TypeError(f"{module.label} takes {len(keys)} tensors, {listed(keys)}; got {len(args)}.")
    given = dict(zip(keys, args, strict=False))
    for name, value in kwargs.items():
        if name not in names or names[name] in given:
            problem = "given twice" if name in names else "none of its in_keys"
            raise TypeError(f"{module.label}: {name!r} is {problem}. It takes {listed(names)}.")
        given[names[name]] = value
    given = {key: value for key, value in given.items() if value is not None}
    for key in keys:
        if key not in given and key not in module._optional:
            raise absence(module, module.label, key, list(given), place="the call")
    return given


def without_keys(role: str, thing: Any) -> list[Finding]:
    """A finding if something that plays a role, such as ``"its critic"``, is no key module.

    >>> without_keys("its critic", len)[0].problem
    'its critic (len) does not say what it reads and writes.'
    """
    if hasattr(thing, "contract") and hasattr(thing, "in_keys"):
        return []
    fix = (
        "wrap it: TensorDictModule(net, in_keys=[...], out_keys=[...]); if it has keys, and is of another library, "
        "TensorDictSequential(module)."
    )
    return [Finding("no-keys", f"{role} ({describe(thing)}) does not say what it reads and writes.", "", fix)]


def complete(outputs: Any, keys: Sequence[Any], module: Any) -> tuple[Any, ...]:
    """The outputs of a key module's ``compute``, if they are a tuple with one item for each of ``keys``.

    A tensor would pass for one: unpacked, it gives its rows.

    Raises:
        OutputError: they are not.
    """
    if isinstance(outputs, tuple) and len(outputs) == len(keys):
        return outputs
    got = f"{len(outputs)} items" if isinstance(outputs, tuple) else shape_of(outputs)
    items = ["x", "y"][: len(keys)] if len(keys) < 3 else ["x", "...", "z"]
    raise refusal(
        OutputError,
        f"{module.label} cannot store its result: compute did not return a tuple of its outputs.",
        where=f"{type(module).__name__}.compute",
        expected=f"a tuple of {len(keys)}, one item for each out key: {listed(module._out_keys)}",
        got=got,
        fix=f"return ({', '.join(items)}{',' * (len(keys) == 1)})",
    )


class Reading(Protocol):
    """What reads and writes keys."""

    @property
    def reads(self) -> tuple[Key, ...]:
        """What has to be there."""

    @property
    def inputs(self) -> tuple[Key, ...]:
        """What is read if it is there."""

    @property
    def writes(self) -> tuple[Key, ...]:
        """What is there afterwards."""


def subsequence(parts: Sequence[Reading], given: Iterable[Key] | None, wanted: Iterable[Key] | None) -> list[int]:
    """Which of the parts, in their order, can run from the keys ``given``, and are needed for those ``wanted``.

    None asks for nothing: all parts can run, or all are needed.
    """
    chosen = list(range(len(parts)))
    if given is not None:
        there, able = set(given), []
        for number in chosen:
            if there.issuperset(parts[number].reads):
                there.update(parts[number].writes)
                able.append(number)
        chosen = able
    if wanted is not None:
        asked, needed = set(wanted), []
        for number in reversed(chosen):
            if not asked.isdisjoint(parts[number].writes):
                asked.update(parts[number].inputs)
                needed.append(number)
        chosen = needed[::-1]
    return chosen


def specs_of_carried(module: Any) -> dict[Key, Any]:
    """The specs of those carried keys of which a part of the module says it, by a property ``carried_specs``.

    Of a key of which several say it an outer one prevails: it may carry more than what it is made of.
    """
    said: dict[Key, Any] = {}
    for part in reversed([*module.modules()]):
        said.update(getattr(part, "carried_specs", {}).items())
    return {key: said[key] for key in module.contract.carries if key in said}


class _Fixed(nn.Module):
    """The steps of a sequential, whose order and keys are resolved when it is built.

    A step can be exchanged in place. One that is a sequential itself cannot, as its own steps are run in its place;
    nor can any be added or taken away. What were done so would be held and saved, and never run.
    """

    def _refuse(self, name: Any, got: str) -> None:
        raise refusal(
            TypeError,
            f"step {name} of a sequential cannot be set, added or taken away in place.",
            where="sequential.module",
            expected="the steps that it was built and checked with",
            got=got,
            fix=f"sequential.replaced({name!r}, step), or TensorDictSequential(*steps) for others",
        )

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Exchange a step, where that can be seen."""
        held: Any = self._modules.get(name)
        if held is None or isinstance(getattr(held, "module", None), _Fixed):
            self._refuse(name, describe(module))
        super().add_module(name, module)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, nn.Module):
            self.add_module(name, value)
        else:
            super().__setattr__(name, value)

    def __delitem__(self, name: Any) -> None:
        self._refuse(name, "nothing")


class StepList(_Fixed, nn.ModuleList):
    """Steps by number."""

    def __init__(self, steps: Iterable[nn.Module]) -> None:
        nn.Module.__init__(self)
        self._modules.update({str(number): step for number, step in enumerate(steps)})

    def insert(self, index: int, module: nn.Module) -> None:
        """Refused."""
        self._refuse(index, describe(module))


class StepDict(_Fixed, nn.ModuleDict):
    """Steps by name."""

    def __init__(self, steps: Mapping[str, nn.Module]) -> None:
        nn.Module.__init__(self)
        self._modules.update(steps)
