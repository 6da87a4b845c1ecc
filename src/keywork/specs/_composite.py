"""Specs by key: what a whole TensorDict holds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, TypeAlias, final

import torch
from gymnasium import Space, spaces
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from keywork._errors import MissingKeyError
from keywork._keys import Key, as_key, is_parent, listed, nearest, path_of, renaming
from keywork.specs._entries import common_batch, overlap, part_of, require_data, require_forms
from keywork.specs._gymnasium import leaf_from_gymnasium
from keywork.specs._refusal import describe, refusal
from keywork.specs._spec import Shape, Spec, as_shape
from keywork.specs._tensor_spec import TensorSpec

SpecLike: TypeAlias = "Spec | Space[Any] | Mapping[Any, Any] | Sequence[Any]"
"""What is accepted where a spec is asked for."""


@final
class Composite(Spec):
    """The spec of a TensorDict: one spec a key.

    Keys may be nested: ``("agents", "action")`` is one entry, and ``"agents"`` the `Composite` of all that lies in it.
    Entries keep their order, which is that of `rand` and of iteration; equality does not look at it. `keys`, `items`,
    `values` and ``len`` go by leaves, that is, by tensors.

    `is_in`, `validate` and `project` examine the entries that they know, and leave any others alone. The
    environment's form is a dict of the environment's forms, or a tuple of them, if this was made of a sequence.

    Args:
        specs: specs, Gymnasium spaces, or further mappings, by key. A sequence of them, and a Gymnasium Tuple, counts
            as a mapping from ``"0"``, ``"1"``, ...
        entries: further specs, by key, of those that are names: ``Composite(position=spec, goal=spec)``.

    Raises:
        SpecError: a key lies inside another, or something is neither spec nor space; or entries beside a sequence.

    >>> spec = Composite({"observation": spaces.Box(0, 1, (4,)), ("agents", "action"): spaces.Discrete(2)})
    >>> spec.keys(), spec["agents"].keys(), spec["agents", "action"].domain
    (('observation', ('agents', 'action')), ('action',), '{0..1}')
    >>> spec.zero(3)["agents", "action"]
    tensor([0, 0, 0])
    """

    __slots__ = ("_entries", "_is_tuple", "_leaves")

    def __init__(self, specs: Mapping[Any, SpecLike] | Sequence[SpecLike] | None = None, **entries: SpecLike) -> None:
        if specs is None or entries:
            specs = self._joined(specs, entries)
        self._is_tuple = not isinstance(specs, Mapping)
        pairs = specs.items() if isinstance(specs, Mapping) else ((str(i), spec) for i, spec in enumerate(specs))
        given = [(as_key(key), as_spec(spec)) for key, spec in pairs]
        self._entries: dict[str, Spec] = {}
        for number, (key, spec) in enumerate(given):
            for other, _ in given[:number]:
                if key == other or is_parent(key, other) or is_parent(other, key):
                    raise overlap(other, key)
            _insert(self._entries, key, spec)
        self._leaves: dict[Key, TensorSpec] = {}
        for name, spec in self._entries.items():
            if isinstance(spec, Composite):
                self._leaves.update({(name, *path_of(key)): leaf for key, leaf in spec.items()})
            elif isinstance(spec, TensorSpec):
                self._leaves[name] = spec

    @staticmethod
    def _joined(specs: Any, entries: Mapping[str, SpecLike]) -> Mapping[Any, SpecLike]:
        if specs is None or (isinstance(specs, Mapping) and not set(specs) & set(entries)):
            return {**(specs or {}), **entries}
        raise refusal(
            "A Composite cannot be built: these entries do not go together.",
            where="specs, and entries by name",
            expected="one mapping, and entries of other names" if isinstance(specs, Mapping) else "one of the two",
            got=f"{describe(specs)}, and {listed(entries)}",
            fix="Composite({'position': spec, 'goal': spec}), or Composite(position=spec, goal=spec)",
        )

    @property
    def shape(self) -> torch.Size:
        """Empty: without batch dimensions, a TensorDict has none."""
        return torch.Size(())

    @property
    def dtype(self) -> torch.dtype:
        """There is none: each entry has its own.

        Raises:
            SpecError: always.
        """
        raise refusal(
            "A Composite has no dtype of its own.",
            where="Composite.dtype",
            expected="the spec of one tensor",
            got=f"entries {listed(self._leaves)}",
            fix="composite[key].dtype",
        )

    @property
    def device(self) -> torch.device | None:
        """The device of all entries; None, if they have several, or there are none."""
        devices = {leaf.device for leaf in self.values()}
        return devices.pop() if len(devices) == 1 else None

    @property
    def domain(self) -> str:
        """``2 entries``."""
        return f"{len(self)} entr{'y' if len(self) == 1 else 'ies'}"

    def keys(self) -> tuple[Key, ...]:
        """The keys of all leaves, nested ones as tuples."""
        return tuple(self._leaves)

    def values(self) -> tuple[TensorSpec, ...]:
        """The specs of all leaves."""
        return tuple(self._leaves.values())

    def items(self) -> tuple[tuple[Key, TensorSpec], ...]:
        """The leaves, as pairs of key and spec."""
        return tuple(self._leaves.items())

    def __len__(self) -> int:
        return len(self._leaves)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._leaves)

    def __contains__(self, key: Any) -> bool:
        return self.get(key) is not None

    def get(self, key: Key, default: Spec | None = None) -> Spec | None:
        """The spec of a leaf, or the Composite under a parent key; the default, if there is neither."""
        found: Spec = self
        for name in path_of(as_key(key)):
            if not isinstance(found, Composite) or name not in found._entries:
                return default
            found = found._entries[name]
        return found

    def __getitem__(self, key: Key) -> Spec:
        found = self.get(key)
        if found is not None:
            return found
        near = nearest(as_key(key), self._leaves)
        raise MissingKeyError(
            f"The spec of {as_key(key)!r} cannot be had: there is no such entry.\n"
            f"  where: a Composite of {self.domain}\n"
            f"  expected: one of {listed(self._leaves)}\n"
            f"  got: {as_key(key)!r}\n"
            f"  fix: {f'did you mean {near!r}?' if near else 'composite.updated({key: spec}) adds one'}"
        )

    def updated(self, specs: Mapping[Any, SpecLike]) -> Composite:
        """A Composite with further or other entries; this one stays as it is.

        Raises:
            SpecError: an entry would have to lie inside a leaf.

        >>> Composite({"a": spaces.Discrete(2)}).updated({("b", "c"): spaces.Discrete(3)}).keys()
        ('a', ('b', 'c'))
        """
        entries = dict(self._entries)
        for key, spec in specs.items():
            _insert(entries, as_key(key), as_spec(spec))
        still_tuple = self._is_tuple and list(entries) == [str(number) for number in range(len(entries))]
        return Composite(tuple(entries.values()) if still_tuple else entries)

    def renamed(self, names: Mapping[Key, Key]) -> Composite:
        """The same specs under other keys; those inside a renamed one move along.

        >>> Composite({"observation": spaces.Discrete(2)}).renamed({"observation": "pixels"}).keys()
        ('pixels',)
        """
        new = renaming(self._leaves, names)
        return Composite({new[key]: spec for key, spec in self.items()}) if any(k != new[k] for k in new) else self

    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> TensorDict:
        """A TensorDict of random members; see `Spec.rand`."""
        parts = {name: spec.rand(batch_size, generator=generator) for name, spec in self._entries.items()}
        return TensorDict(parts, as_shape(batch_size, "A batch"), device=self.device)

    def zero(self, batch_size: Shape = ()) -> TensorDict:
        """A TensorDict of the members nearest to zero."""
        parts = {name: spec.zero(batch_size) for name, spec in self._entries.items()}
        return TensorDict(parts, as_shape(batch_size, "A batch"), device=self.device)

    def is_in(self, value: Any) -> bool:
        """Whether the value is a TensorDict in which every entry of this spec is a member of its own."""
        if not isinstance(value, TensorDictBase):
            return False
        for name, spec in self._entries.items():
            part = value.get(name, None)
            if part is None or not spec.is_in(part) or part.ndim < value.batch_dims + len(spec.shape):
                return False
        return True

    def validate(self, value: Any, name: str = "value") -> TensorDictBase:
        """The value itself, if `is_in`; otherwise SpecError names the first entry that is wrong, and says why."""
        data = require_data(value, self._entries, name)
        for entry, spec in self._entries.items():
            spec.validate(part_of(data, entry, spec, name), f"{name}[{entry!r}]")
        return data

    def project(self, value: Any, name: str = "value") -> TensorDictBase:
        """A shallow copy in which every entry of this spec is the nearest member.

        Raises:
            SpecError: the value is no TensorDict, lacks an entry, or an entry cannot be projected.
        """
        data = require_data(value, self._entries, name)
        result = data.clone(recurse=False)
        for entry, spec in self._entries.items():
            result.set(entry, spec.project(part_of(data, entry, spec, name), f"{name}[{entry!r}]"))
        return result

    def encode(self, value: Any, name: str = "value") -> TensorDict:
        """The environment's dict, or tuple, as a TensorDict; its batch dimensions are those of the arrays.

        Raises:
            SpecError: an entry is missing, unknown or cannot be encoded, or the batch dimensions differ.
        """
        tensors = self._encoded(value, name)
        batches = {key: x.shape[: x.ndim - len(self._leaves[key].shape)] for key, x in tensors.items()}
        return TensorDict(tensors, common_batch(batches, name), device=self.device)

    def to_env(self, value: Any, name: str = "value") -> Any:
        """The dict, or tuple, of the environment's forms of all entries.

        Raises:
            SpecError: the value is no TensorDict, lacks an entry, or an entry has the wrong shape or kind of dtype.
        """
        data = require_data(value, self._entries, name)
        forms = {
            entry: spec.to_env(part_of(data, entry, spec, name), f"{name}[{entry!r}]")
            for entry, spec in self._entries.items()
        }
        return tuple(forms.values()) if self._is_tuple else forms

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """Every entry on another device, or the floating ones with another dtype."""
        entries = {name: spec.to(target) for name, spec in self._entries.items()}
        return type(self)(tuple(entries.values()) if self._is_tuple else entries)

    def to_gymnasium(self) -> spaces.Dict | spaces.Tuple[Any]:
        """A Dict in the order of the entries; a Tuple, if this was made of a sequence."""
        if self._is_tuple:
            return spaces.Tuple([spec.to_gymnasium() for spec in self._entries.values()])
        # From a mapping Gymnasium would sort them.
        return spaces.Dict([(name, spec.to_gymnasium()) for name, spec in self._entries.items()])

    def _encoded(self, value: Any, name: str) -> dict[Key, Tensor]:
        """The tensors of all leaves, from the environment's nested form."""
        forms = require_forms(value, self._entries, self._is_tuple, name)
        tensors: dict[Key, Tensor] = {}
        for entry, spec in self._entries.items():
            place = f"{name}[{entry!r}]"
            if isinstance(spec, Composite):
                inner = spec._encoded(forms[entry], place)
                tensors.update({(entry, *path_of(key)): tensor for key, tensor in inner.items()})
            else:
                tensors[entry] = spec.encode(forms[entry], place)
        return tensors

    def _arguments(self) -> dict[str, Any]:
        return {"specs": tuple(self._entries.values()) if self._is_tuple else self._entries}

    def __hash__(self) -> int:
        return hash((self._is_tuple, frozenset(self._entries.items())))

    def __repr__(self) -> str:
        names = ("" if self._is_tuple else f"{name!r}: " for name in self._entries)
        lines = [f"{name}{spec!r},\n" for name, spec in zip(names, self._entries.values(), strict=True)]
        body = "\n" + textwrap.indent("".join(lines), "    ") if lines else ""
        return f"Composite({'(' if self._is_tuple else '{'}{body}{')' if self._is_tuple else '}'})"


def as_spec(spec: SpecLike) -> Spec:
    """The spec of what is accepted where a spec is asked for.

    Args:
        spec: a spec, which is returned as it is; a Gymnasium space; or a mapping, list or tuple of such, which
            becomes a `Composite`.

    Raises:
        SpecError: it is none of these, or a space that has no spec.

    >>> as_spec(spaces.Discrete(3)), as_spec({"position": spaces.Discrete(5)}).keys()
    (Categorical(n=3, shape=(), dtype=torch.int64), ('position',))
    """
    if isinstance(spec, Spec):
        return spec
    if isinstance(spec, spaces.Dict | spaces.Tuple):
        return Composite(spec.spaces)
    if isinstance(spec, Space):
        return leaf_from_gymnasium(spec)
    if isinstance(spec, Mapping | list | tuple):
        return Composite(spec)
    raise refusal(
        "A spec cannot be made of this.",
        where="the spec that was given",
        expected="a keywork spec, a Gymnasium space, or a mapping of keys to these",
        got=describe(spec),
        fix="Bounded(-1.0, 1.0, shape=(3,)), env.action_space, or {'observation': env.observation_space}",
    )


def from_gymnasium(space: Space[Any]) -> Spec:
    """The spec of a Gymnasium space: of the same values, in the dtype of the space.

    A Box becomes `Bounded`, without any bound `Unbounded`, and with dtype bool `MultiBinary`; a Discrete becomes
    `Categorical`; MultiBinary and MultiDiscrete keep their names. Dict and Tuple become `Composite`, a Tuple's members
    under ``"0"``, ``"1"``, ...

    Raises:
        SpecError: it is no space, or one whose values are no arrays of a fixed shape (Graph, OneOf, Sequence, Text).

    >>> from_gymnasium(spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1, (3,))))).items()
    (('0', Categorical(n=2, shape=(), dtype=torch.int64)),
     ('1', Bounded(low=-1.0, high=1.0, shape=(3,), dtype=torch.float32)))
    """
    if isinstance(space, Space):
        return as_spec(space)
    raise refusal(
        "from_gymnasium takes a Gymnasium space.",
        where="space",
        expected="an instance of gymnasium.Space",
        got=describe(space),
        fix="env.observation_space, or as_spec(...) for specs and mappings as well",
    )


def _insert(entries: dict[str, Spec], key: Key, spec: Spec) -> None:
    """Put a spec in its place, in Composites made on the way."""
    head, *rest = path_of(key)
    if not rest:
        entries[head] = spec
        return
    inner = entries.get(head, Composite({}))
    if not isinstance(inner, Composite):
        raise overlap(head, key)
    entries[head] = inner.updated({tuple(rest): spec})
