"""Whether a module's contract is what it really reads and writes."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict

from keywork import _keys
from keywork._errors import OutputError
from keywork._keys import Key, as_key, is_parent, listed, next_key, unique
from keywork.nn import TensorDictModuleBase
from keywork.testing._expect import all_same, expect, failing, same
from keywork.testing._subject import Subject, answer, call, entries_of, tensors_of

_UNRELATED: tuple[Key, ...] = ("__unrelated", ("__unrelated_group", "entry"))


def check_contract(subject: Subject) -> None:
    """Compare in_keys, out_keys and the contract with one another, and with what ``compute`` takes and returns."""
    module, td = subject.make(), entries_of(subject)
    contract = module.contract
    expect(
        contract.inputs == _strict_first(module, contract.optional),
        f"{module.label}: in_keys is {module.in_keys}, and its contract reads {listed(contract.inputs)}",
    )
    expect(
        list(contract.writes) == module.out_keys,
        f"{module.label}: out_keys is {module.out_keys}, and its contract writes {listed(contract.writes)}",
    )
    for key in contract.carries:
        expect(
            key in contract.inputs and next_key(key) in contract.writes,
            f"{module.label} carries {key!r}, which it has to read, and to write as {next_key(key)!r}",
        )
    absent = [key for key in contract.reads if td.get(key, None) is None]
    expect(not absent, f"inputs() lacks {listed(absent)}, which {module.label} reads: {td_keys(td)}")
    if not module.opaque:
        try:
            module.run(*tensors_of(module, td))
        except OutputError as error:
            raise AssertionError(str(error)) from error


def check_reads(subject: Subject) -> None:
    """Run the module without, and with, entries that it does not declare, and note what it asks for."""
    module, td = subject.make(), entries_of(subject)
    declared = td.empty()
    for key in module.contract.inputs:
        if td.get(key, None) is not None:
            declared.set(key, td[key])
    problem = f"{module.label} needs more than the {module.in_keys} that it declares"
    with failing(problem, KeyError):
        expected = call(module, declared)
    asked: list[Key] = []
    answer(module, _noticing(declared, asked), "deterministic")
    known = (*module.contract.inputs, *module.contract.writes)
    strange = [key for key in unique(asked) if not any(_within(key, other) for other in known)]
    expect(not strange, f"{module.label} reads {listed(strange)}, which its in_keys {module.in_keys} do not declare")
    if not all_same(expected, call(module, declared)):
        return  # not deterministic, which is another check
    more = _with_known_entries(declared)
    expect(
        all_same(expected, call(module, more)),
        f"{module.label} does something else where the TensorDict holds entries that it does not declare, "
        f"of {td_keys(more)}: it reads one of them",
    )


def check_writes(subject: Subject) -> None:
    """Compare a TensorDict after a call with what it was before: all out_keys are there, and nothing else changed."""
    module, td = subject.make(), entries_of(subject)
    for key in _UNRELATED:
        td.set(key, torch.ones(td.batch_size))
    before = td.clone()
    held, result = dict(_items(td)), answer(module, td, "random")
    there = result.keys(include_nested=True)
    absent = [key for key in module.out_keys if key not in there]
    expect(not absent, f"{module.label} does not write {listed(absent)}, which its out_keys {module.out_keys} promise")
    own = () if result is td else tuple(before.keys(True, True))
    extra = [
        key
        for key, _ in _items(result)
        if key not in held and key not in own and not any(_within(key, other) for other in module.out_keys)
    ]
    expect(not extra, f"{module.label} writes {listed(extra)}, which its out_keys {module.out_keys} do not declare")
    for key, value in before.items(include_nested=True, leaves_only=True):
        if any(_within(as_key(key), other) for other in module.out_keys) and td is result:
            expect(same(held[as_key(key)], value), f"{module.label} changes the tensor of its input {key!r} in place")
            continue
        expect(td.get(key, None) is not None, f"{module.label} removes the entry {key!r}")
        expect(same(td[key], value), f"{module.label} changes {key!r}, which is none of its out_keys")


def check_missing(subject: Subject) -> None:
    """Take away one entry after the other: a strict one is asked for by its name, an optional one is not missed."""
    module, td = subject.make(), entries_of(subject)
    for key in module.contract.inputs:
        left = td.clone()
        if left.get(key, None) is None:
            continue
        del left[key]
        before = set(left.keys(True, True))
        if key in module.contract.optional:
            with failing(f"{module.label} cannot do without {key!r}, which it declares as optional", Exception):
                answer(module, left, "deterministic")
            continue
        message = _refusal(module, left)
        expect(message is not None, f"{module.label} runs without {key!r}, which it declares as read")
        expect(repr(key) in str(message), f"{module.label} does not name the missing {key!r}; it says: {message}")
        expect(set(left.keys(True, True)) == before, f"{module.label} wrote something before it missed {key!r}")


def td_keys(td: Any) -> str:
    """The keys of a TensorDict, for a message."""
    return listed(td.keys(include_nested=True, leaves_only=True))


def _refusal(module: TensorDictModuleBase, td: TensorDict) -> str | None:
    try:
        answer(module, td, "deterministic")
    except KeyError as error:
        return str(error)
    return None


def _strict_first(module: TensorDictModuleBase, optional: tuple[Key, ...]) -> tuple[Key, ...]:
    keys = unique(module.in_keys)
    return tuple(key for key in keys if key not in optional) + tuple(key for key in optional if key in keys)


def _within(key: Key, other: Key) -> bool:
    return key == other or is_parent(key, other) or is_parent(other, key)


def _items(td: Any) -> list[tuple[Key, Any]]:
    return [(as_key(key), value) for key, value in td.items(include_nested=True, leaves_only=True)]


def _with_known_entries(td: TensorDict) -> TensorDict:
    """The same with an entry under every well-known name that it does not hold, at the root and for the next step."""
    names = [name for word, name in vars(_keys).items() if word.isupper() and isinstance(name, str)]
    full = td.clone()
    for name in names:
        for key in (name, next_key(name)):
            if name not in (_keys.NEXT, _keys.SINK) and full.get(key, None) is None:
                full.set(key, torch.full((*td.batch_size, 1), 0.5))
    return full


def _noticing(td: TensorDict, asked: list[Key]) -> TensorDict:
    """The same, of a class of its own that notes the keys which it, or a copy of it, is asked for."""

    class Noticing(TensorDict):  # type: ignore[no-untyped-call]
        def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append(as_key(key))
            return super().get(key, *args, **kwargs)

        def __getitem__(self, index: Any) -> Any:
            if isinstance(index, str) or (isinstance(index, tuple) and index and isinstance(index[0], str)):
                asked.append(as_key(index))
            return super().__getitem__(index)

    noticing = Noticing(dict(td.items()), batch_size=td.batch_size)
    asked.clear()
    return noticing
