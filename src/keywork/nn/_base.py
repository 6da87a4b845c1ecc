"""TensorDictModuleBase: the one place where a key module reads, calls and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, TypeAlias

from tensordict import TensorDict, TensorDictBase, is_tensor_collection
from torch import nn

from keywork._errors import ContractError, Finding
from keywork._keys import Key, argument_name, as_keys, listed, unique
from keywork.nn._contract import Contract
from keywork.nn._messages import keys_held, missing_key

Inplace: TypeAlias = bool | Literal["empty"] | None


class TensorDictModuleBase(nn.Module):
    """A module over named entries: it declares the keys that it reads and writes, and computes on tensors.

    A subclass writes one method, :meth:`compute`, from the tensors of ``in_keys`` to the tensors of ``out_keys``.
    Reading them from a TensorDict, storing the results and accepting plain tensors is done here, for all.
    (A subclass that overrides ``forward(td)`` instead works too; it is *opaque*: called on TensorDicts only.)

    Args:
        in_keys: what ``compute`` takes, in order.
        out_keys: what ``compute`` returns, in order.
        optional_keys: those of ``in_keys`` that may be absent; ``compute`` then gets None.
        carries: state keys read here and written under ``("next", key)`` for the following step.
        inplace: where results go: ``True`` the given TensorDict, ``False`` a new one without batch size,
            ``"empty"`` a new one like the given one. A ``tensordict_out`` given to a call prevails.

    >>> class Double(TensorDictModuleBase):
    ...     def compute(self, x):
    ...         return (2 * x,)
    >>> double = Double(["x"], ["y"])
    >>> import torch
    >>> double(TensorDict(x=torch.ones(2)))["y"], double(torch.ones(2)), double(x=torch.ones(2))
    (tensor([2., 2.]), tensor([2., 2.]), tensor([2., 2.]))
    """

    _in_keys: tuple[Key, ...] = ()
    _out_keys: tuple[Key, ...] = ()  # what compute returns
    _optional: tuple[Key, ...] = ()
    _carries: tuple[Key, ...] = ()
    _picked: tuple[int, ...] | None = None  # which of those are stored, if not all

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
        if in_keys is not None:
            self._in_keys = as_keys(in_keys)
        if out_keys is not None:
            self._out_keys = as_keys(out_keys)
        self._optional = as_keys(optional_keys)
        self._carries = as_keys(carries)
        self._check_keys()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Keys given in the class body (``in_keys = ["x"]``) are taken as declarations: left there, they would
        # hide the properties below.
        super().__init_subclass__(**kwargs)
        for name in ("in_keys", "out_keys"):
            declared = cls.__dict__.get(name)
            if isinstance(declared, list | tuple | str):
                setattr(cls, f"_{name}", as_keys(declared))
                delattr(cls, name)

    def _check_keys(self) -> None:
        found = []
        twice = [key for key in unique(self._out_keys) if self._out_keys.count(key) > 1]
        if twice:
            found.append(
                Finding(
                    "duplicate-key",
                    f"out_keys names {listed(twice)} more than once.",
                    f"out_keys={list(self._out_keys)}",
                    "give each output its own key, or '_' for one to drop.",
                )
            )
        for key in self._optional:
            if key not in self._in_keys:
                found.append(
                    Finding(
                        "optional-key",
                        f"optional_keys names {key!r}, which is not among the in_keys.",
                        f"in_keys={list(self._in_keys)}",
                        f"add {key!r} to in_keys: optional_keys says which of them may be absent.",
                    )
                )
        if found:
            raise ContractError(self.label, found)

    @property
    def in_keys(self) -> list[Key]:
        """What is read, in the order of ``compute``'s arguments."""
        return list(self._in_keys)

    @in_keys.setter
    def in_keys(self, keys: Any) -> None:
        self._in_keys = as_keys(keys)
        self._check_keys()

    @property
    def out_keys(self) -> list[Key]:
        """What is written, in order."""
        return list(self._stored_keys)

    @out_keys.setter
    def out_keys(self, keys: Any) -> None:
        self._out_keys, self._picked = as_keys(keys), None
        self._check_keys()

    @property
    def out_keys_source(self) -> list[Key]:
        """What could be written: the out_keys before any :meth:`select_out_keys`."""
        return list(self._out_keys)

    @property
    def _stored_keys(self) -> tuple[Key, ...]:
        return self._out_keys if self._picked is None else tuple(self._out_keys[i] for i in self._picked)

    @property
    def contract(self) -> Contract:
        """What this module reads, writes, may read and carries."""
        strict = tuple(key for key in self._in_keys if key not in self._optional)
        whole = Contract(strict, self._out_keys, self._optional, self._carries)
        return whole if self._picked is None else whole.restricted(self._stored_keys)

    @property
    def label(self) -> str:
        """How messages call this module."""
        return type(self).__name__

    @property
    def opaque(self) -> bool:
        """Whether it has to be called on a TensorDict: a subclass with its own ``forward``, or a hooked one."""
        return type(self).forward is not TensorDictModuleBase.forward or is_hooked(self)

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """From the tensors of ``in_keys`` to those of ``out_keys_source``: what a subclass writes."""
        raise NotImplementedError(
            f"{type(self).__name__} says nothing of what it computes: write compute(self, *inputs) -> tuple of tensors."
        )

    def run(self, *inputs: Any) -> tuple[Any, ...]:
        """From the tensors of ``in_keys`` to those of ``out_keys``: :meth:`compute`, less what was deselected."""
        outputs = self.compute(*inputs)
        return outputs if self._picked is None else tuple([outputs[i] for i in self._picked])

    def forward(self, tensordict: Any = None, *args: Any, tensordict_out: Any = None, **kwargs: Any) -> Any:
        """Call on a TensorDict (populated and returned) or on tensors, by position or by key name (then: tensors).

        Nested keys are joined by an underscore as keywords: ``next_reward=`` for ``("next", "reward")``.

        Raises:
            MissingKeyError: a key that is read is not there.
        """
        if not (isinstance(tensordict, TensorDictBase) or is_tensor_collection(tensordict)):
            return self._call_on_tensors((tensordict, *args) if tensordict is not None else args, kwargs)
        if args or kwargs:
            raise TypeError(
                f"{self.label} cannot be called on a TensorDict and more: got {len(args)} further positional arguments "
                f"and {listed(kwargs)}. Store them in the TensorDict, or call on tensors alone."
            )
        outputs = self.run(*self.read(tensordict))
        return self.write(outputs, tensordict, tensordict_out)

    def read(self, td: TensorDictBase) -> list[Any]:
        """The entries of ``in_keys``, in order; an absent optional one is None."""
        try:
            if not self._optional:
                return [td[key] for key in self._in_keys]
            return [td.get(key, None) if key in self._optional else td[key] for key in self._in_keys]
        except KeyError:
            absent = [k for k in self._in_keys if k not in self._optional and td.get(k, None) is None]
            if not absent:
                raise
            raise missing_key(self._reader_of(absent[0]), absent[0], keys_held(td)) from None

    def _reader_of(self, key: Key) -> str:
        return self.label

    def write(self, outputs: Sequence[Any], td: TensorDictBase, tensordict_out: Any = None) -> Any:
        """Store ``outputs`` under ``out_keys`` where ``inplace`` says, and return that."""
        out = tensordict_out if tensordict_out is not None else td
        if tensordict_out is None and self.inplace is not True:
            out = td.empty() if self.inplace == "empty" else TensorDict({})
        key: Key | None = None
        try:
            for key, value in zip(self._stored_keys, outputs, strict=True):  # noqa: B007 (the note names it)
                out.set(key, value)
        except (RuntimeError, TypeError, ValueError) as error:
            error.add_note(f"in {self.label}, storing {key!r} in a TensorDict of batch size {list(out.batch_size)}")
            raise
        return out

    def _call_on_tensors(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        keys = unique(self._in_keys)
        names = [argument_name(key) for key in keys]
        if len(args) > len(names):
            raise TypeError(f"{self.label} takes {len(names)} tensors, {listed(names)}; got {len(args)}.")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name in given or name not in names:
                problem = "given twice" if name in given else "not one of its in_keys"
                raise TypeError(f"{self.label}: {name!r} is {problem}. It takes {listed(names)}.")
            given[name] = value
        for name, key in zip(names, keys, strict=True):
            if name not in given and key not in self._optional:
                raise missing_key(self.label, key, list(given), place="the call")
        if self.opaque:
            td = TensorDict({key: given[name] for name, key in zip(names, keys, strict=True) if name in given})
            result = self(td)
            outputs: Sequence[Any] = [result[key] for key in self._stored_keys]
        else:
            outputs = self.run(*[given.get(argument_name(key)) for key in self._in_keys])
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def select_out_keys(self, *keys: Any) -> Self:
        """Keep only these outputs from now on; entries of the input are left alone. Returns the module itself.

        Raises:
            KeyError: a key is not written by this module.
        """
        wanted = Contract(writes=self._out_keys).restricted(as_keys(list(keys))).writes
        self._picked = tuple(self._out_keys.index(key) for key in wanted)
        return self

    def reset_out_keys(self) -> Self:
        """Undo :meth:`select_out_keys`."""
        self._picked = None
        return self

    def extra_repr(self) -> str:
        """The keys, for the repr."""
        return f"in_keys={self.in_keys}, out_keys={self.out_keys}"


def is_hooked(module: nn.Module) -> bool:
    """Whether a call has to go through ``module(...)`` for somebody to see it."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )

