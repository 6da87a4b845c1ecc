"""TensorDictModuleBase: the one place where a key module reads, calls and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

from tensordict import TensorDict, is_tensor_collection
from torch import nn

from keywork._errors import ContractError, shape_of
from keywork._keys import Key, as_key, as_keys, listed, renamed, renaming, unique
from keywork._wiring import absence, check_names, complete, output_findings, rekeyed, tensors_by_key
from keywork.nets import twin_of
from keywork.nn._contract import Contract

Inplace: TypeAlias = bool | Literal["empty"] | None


class TensorDictModuleBase(nn.Module):
    """A module over named entries: it declares the keys that it reads and writes, and computes on tensors.

    A subclass writes one method, :meth:`compute`, from the tensors of ``in_keys`` to the tensors of ``out_keys``.
    Reading them from a TensorDict, storing the results and accepting plain tensors is done here, for all.
    (A subclass that overrides ``forward(td)`` instead works too; it is *opaque*: called on TensorDicts only.)

    Args:
        in_keys: what ``compute`` takes, in order.
        out_keys: what ``compute`` returns, in order.
        optional_keys: those of ``in_keys`` (or further ones) that may be absent; ``compute`` then gets None.
        carries: state keys read here and written under ``("next", key)`` for the following step.
        inplace: where results go: ``True`` the given TensorDict, ``False`` a new one without batch size,
            ``"empty"`` a new one like the given one. A ``tensordict_out`` given to a call prevails.

    >>> class Double(TensorDictModuleBase):
    ...     def compute(self, x):
    ...         return (2 * x,)
    >>> import torch
    >>> double = Double(["x"], ["y"])
    >>> double(TensorDict(x=torch.ones(2)))["y"], double(torch.ones(2)), double(x=torch.ones(2))
    (tensor([2., 2.]), tensor([2., 2.]), tensor([2., 2.]))
    """

    _in_keys: tuple[Key, ...] = ()
    _out_keys: tuple[Key, ...] = ()
    _optional: tuple[Key, ...] = ()
    _carries: tuple[Key, ...] = ()
    _selected: tuple[int, ...] | None = None  # which of the outputs are stored, if not all
    _keyed: tuple[str, ...] = ()  # further attributes that hold keys: see rekeyed
    _follows_keys = False  # whether a forward of its own goes by in_keys and out_keys, and names no entry itself

    def __init__(
        self,
        in_keys: Any = None,
        out_keys: Any = None,
        *,
        optional_keys: Any = (),
        carries: Any = (),
        inplace: Inplace = True,
    ) -> None:
        super().__init__()
        if inplace not in (True, False, None, "empty"):
            raise ValueError(f"{type(self).__name__}: inplace is True, False or 'empty'; got {inplace!r}.")
        self.inplace = inplace
        self._optional, self._carries = as_keys(optional_keys), as_keys(carries)
        reads = self._in_keys if in_keys is None else as_keys(in_keys)
        self._declare(reads, self._out_keys if out_keys is None else as_keys(out_keys))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Keys given in the class body (``in_keys = ["x"]``) would hide the properties of the same name.
        super().__init_subclass__(**kwargs)
        for name in ("in_keys", "out_keys"):
            if isinstance(cls.__dict__.get(name), list | tuple | str):
                setattr(cls, f"_{name}", as_keys(cls.__dict__[name]))
                delattr(cls, name)

    def _declare(self, in_keys: tuple[Key, ...], out_keys: tuple[Key, ...]) -> None:
        findings = output_findings(out_keys, nested=bool(out_keys) and self.opaque)
        if findings:
            raise ContractError(type(self).__name__, findings)
        self._in_keys = in_keys + tuple(key for key in self._optional if key not in in_keys)
        self._out_keys, self._selected = out_keys, None

    @property
    def in_keys(self) -> list[Key]:
        """What is read, in the order of ``compute``'s arguments."""
        return list(self._in_keys)

    @in_keys.setter
    def in_keys(self, keys: Any) -> None:
        self._declare(as_keys(keys), self._out_keys)

    @property
    def out_keys(self) -> list[Key]:
        """What is written, in order."""
        return list(self._stored)

    @out_keys.setter
    def out_keys(self, keys: Any) -> None:
        self._declare(self._in_keys, as_keys(keys))

    @property
    def _stored(self) -> tuple[Key, ...]:
        return self._out_keys if self._selected is None else tuple(self._out_keys[i] for i in self._selected)

    @property
    def contract(self) -> Contract:
        """What this module reads, writes, may read and carries."""
        strict = tuple(key for key in self._in_keys if key not in self._optional)
        return Contract(strict, self._out_keys, self._optional, self._carries).restricted(self._stored)

    @property
    def label(self) -> str:
        """How messages call this module."""
        return type(self).__name__

    @property
    def opaque(self) -> bool:
        """Whether it can only be called on a TensorDict, because a subclass overrides ``forward``."""
        return type(self).forward is not TensorDictModuleBase.forward

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """From the tensors of ``in_keys`` to those of all out_keys, selected or not: what a subclass writes."""
        raise NotImplementedError(f"{type(self).__name__} has to define compute(self, *inputs) -> tuple of tensors.")

    def run(self, *inputs: Any) -> tuple[Any, ...]:
        """From the tensors of ``in_keys`` to those of ``out_keys``: :meth:`compute`, less what was deselected."""
        try:
            outputs = complete(self.compute(*inputs), self._out_keys, self)
        except Exception as error:
            self._note(error, self.label, inputs)
            raise
        return outputs if self._selected is None else tuple([outputs[i] for i in self._selected])

    def _note(self, error: Exception, place: str, inputs: Iterable[Any]) -> None:
        given = ", ".join(f"{key!r} {shape_of(x)}" for key, x in zip(self._in_keys, inputs, strict=False))
        error.add_note(f"in {place}: {given or 'nothing'} -> {listed(self._out_keys)}")

    def forward(self, tensordict: Any = None, *args: Any, tensordict_out: Any = None, **kwargs: Any) -> Any:
        """Call on a TensorDict (populated and returned) or on tensors, by position or by key name (then: tensors).

        Nested keys are joined by an underscore as keywords: ``next_reward=`` for ``("next", "reward")``.
        A key that is read and is not there raises a :class:`~keywork._errors.MissingKeyError`.
        """
        if type(tensordict) is not TensorDict and not is_tensor_collection(tensordict):
            if tensordict_out is not None:
                raise TypeError(f"{self.label} got tensors and a tensordict_out: leave it out, tensors are returned.")
            return self._call_on_tensors((tensordict, *args) if args or tensordict is not None else (), kwargs)
        if args or kwargs:
            extra = listed([*map(shape_of, args), *kwargs])
            raise TypeError(f"{self.label} got a TensorDict and {extra}: store that in it, or call on tensors alone.")
        return self.write(self._outputs(tensordict), tensordict, tensordict_out)

    def _outputs(self, td: Any) -> Sequence[Any]:
        return self.run(*self.read(td))

    def read(self, td: Any) -> list[Any]:
        """The entries of ``in_keys``, in order; an absent optional one is None."""
        try:
            if not self._optional:
                return [td[key] for key in self._in_keys]
            return [td.get(key, None) if key in self._optional else td[key] for key in self._in_keys]
        except (KeyError, ValueError):  # the latter: an entry inside a tensor, and every entry of a tensorclass
            values = [td.get(key, None) for key in self._in_keys]
            absent = [k for k, v in zip(self._in_keys, values, strict=True) if v is None and k not in self._optional]
            if not absent:
                return values
            leaves = list(td.keys(include_nested=True, leaves_only=True))
            raise absence(self, self._reader_of(absent[0]), absent[0], leaves) from None

    def _reader_of(self, key: Key) -> str:
        return self.label

    def write(self, outputs: Sequence[Any], td: Any, tensordict_out: Any = None) -> Any:
        """Store ``outputs`` under ``out_keys`` where ``inplace`` says, and return that."""
        out = tensordict_out
        if out is None:
            out = td if self.inplace is True else td.empty() if self.inplace == "empty" else TensorDict({})
        plain, key = type(out) is TensorDict, None
        try:
            for key, value in zip(self._out_keys if self._selected is None else self._stored, outputs, strict=True):
                if plain:  # what set() does once it has looked at the key, at half its price
                    store = out._set_str if type(key) is str else out._set_tuple
                    store(key, value, inplace=False, validated=False)
                else:
                    out.set(key, value)
        except Exception as error:
            error.add_note(f"in {self.label}, storing {key!r} in a TensorDict of batch size {list(out.batch_size)}")
            raise
        return out

    def _call_on_tensors(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if kwargs or not len(args) == len(self._in_keys) == len({*self._in_keys}) or type(None) in map(type, args):
            given = tensors_by_key(self, args, kwargs)
            args = [given.get(key) for key in self._in_keys]
        outputs = self.run(*args)
        return outputs[0] if len(outputs) == 1 else outputs

    def select_out_keys(self, *keys: Any) -> Self:
        """Store only these outputs from now on (a KeyError if one is not written); returns the module itself."""
        wanted = Contract(writes=self._out_keys).restricted(as_keys(list(keys))).writes
        self._selected = tuple(self._out_keys.index(key) for key in wanted)
        return self

    def reset_out_keys(self) -> Self:
        """Undo :meth:`select_out_keys`."""
        self._selected = None
        return self

    def renamed(self, names: Mapping[Any, Any]) -> Self:
        """This module under other keys: a new one of the same parameters, which is left as it is.

        What lies inside a renamed key moves along, and so does ``("next", key)``, if it is not named itself.

        Raises:
            ContractError: there is no such key; or the module reads its entries in a ``forward`` of its own.
            ValueError: two entries would get one key.

        >>> from keywork.nn import TensorDictModule
        >>> net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["action"])
        >>> other = net.renamed({"observation": "pixels", "action": ("agents", "action")})
        >>> other.in_keys, other.out_keys, other.weight is net.weight
        (['pixels'], [('agents', 'action')], True)
        """
        findings = check_names(names, self._all_keys, self._follows_keys or not self.opaque)
        if findings:
            raise ContractError(f"{self.label} under other keys", findings)
        return self._renamed({as_key(old): as_key(new) for old, new in names.items()})

    def _renamed(self, names: Mapping[Key, Key]) -> Self:
        renaming(self._all_keys, names)  # raises where two entries would become one, seen from outside or not
        twin = twin_of(self)
        for attribute in ("_in_keys", "_out_keys", "_optional", "_carries"):
            vars(twin)[attribute] = tuple([renamed(key, names) for key in getattr(self, attribute)])
        for attribute in vars(self).keys() & set(self._keyed):
            vars(twin)[attribute] = rekeyed(vars(self)[attribute], names)
        return twin

    @property
    def _all_keys(self) -> tuple[Key, ...]:
        return unique(self._in_keys + self._out_keys)

    def extra_repr(self) -> str:
        """The keys, for the repr."""
        return f"in_keys={self.in_keys}, out_keys={self.out_keys}"
