"""Whether the forms of a call agree: on a TensorDict, on tensors, with fewer outputs, under other keys and shapes."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict

from keywork._keys import argument_name, listed
from keywork.nn import TensorDictModuleBase, TensorDictSequential, set_exploration_type
from keywork.testing._contracts import td_keys
from keywork.testing._expect import all_same, close, expect, same, skip
from keywork.testing._subject import Subject, answer, call, detached, entries_of, tensors_of


def check_dispatch(subject: Subject) -> None:
    """Call on a TensorDict, on tensors by position, and on tensors by name: all three give the same."""
    module, td = subject.make(), entries_of(subject)
    tensors = tensors_of(module, td)
    expected = call(module, td)
    named = {argument_name(key): value for key, value in zip(module.in_keys, tensors, strict=True)}
    with set_exploration_type("deterministic"):
        answers = {"by position": module(*tensors)} | ({"by name": module(**named)} if named else {})
    for how, outputs in answers.items():
        outputs = outputs if isinstance(outputs, tuple) and len(expected) != 1 else (outputs,)
        for number, key in enumerate(module.out_keys):
            expect(
                len(outputs) == len(expected) and same(outputs[number], expected[number]),
                f"{module.label} called on tensors {how} gives another result for {key!r} than on a TensorDict",
            )


def check_select_out_keys(subject: Subject) -> None:
    """Keep one output after the other: only that one is written, with the value that it had."""
    module, td = subject.make(), entries_of(subject)
    expected = call(module, td)
    keys = module.out_keys
    for number, key in enumerate(keys):
        expect(module.select_out_keys(key) is module, f"{module.label}.select_out_keys does not return the module")
        expect(
            module.out_keys == [key], f"{module.label}: after select_out_keys({key!r}) out_keys is {module.out_keys}"
        )
        result = answer(module, td.copy(), "deterministic")
        others = [other for other in keys if other != key and other in result.keys(True) and other not in td.keys(True)]
        expect(not others, f"{module.label} still writes {listed(others)} after select_out_keys({key!r})")
        expect(same(result[key], expected[number]), f"{module.label} writes something else under the selected {key!r}")
        module.reset_out_keys()
    expect(module.out_keys == keys, f"{module.label}: after reset_out_keys out_keys is {module.out_keys}, not {keys}")
    expect(all_same(call(module, td), expected), f"{module.label} computes something else after reset_out_keys")
    expect(_refuses(module), f"{module.label}.select_out_keys accepts a key that the module does not write")


def check_nested(subject: Any) -> None:
    """Do the same under nested keys: the outputs are those of the plain keys, position by position."""
    plain, td = subject.make(), entries_of(subject)
    nested = subject.make_nested()
    if nested is None:
        nested = _under_nested_keys(subject.make())
    keys = (*nested.in_keys, *nested.out_keys)
    expect(any(isinstance(key, tuple) for key in keys), f"make_nested() gives no nested key: {listed(keys)}")
    expect(
        len(nested.in_keys) == len(plain.in_keys) and len(nested.out_keys) == len(plain.out_keys),
        f"make_nested() has to read and write as many entries as make(): {nested.contract}, and {plain.contract}",
    )
    nested.load_state_dict(plain.state_dict())
    moved = td.empty()
    for new, old in zip(nested.in_keys, plain.in_keys, strict=True):
        if td.get(old, None) is not None:
            moved.set(new, td[old])
    result = answer(nested, moved.copy(), "deterministic")
    absent = [key for key in nested.out_keys if key not in result.keys(True)]
    expect(not absent, f"{nested.label} does not write the nested {listed(absent)}; there are: {td_keys(result)}")
    for new, old, value in zip(nested.out_keys, plain.out_keys, call(plain, td), strict=True):
        expect(same(result[new], value), f"{plain.label} gives {old!r} another value where the key is {new!r}")
    for key in nested.contract.reads:
        less = moved.clone()
        del less[key]
        expect(
            repr(key) in _error_without(nested, less),
            f"{nested.label} does not name the nested {key!r} when it is missing",
        )


def check_batch_shapes(subject: Subject) -> None:
    """Call on a single element, on the batch, and on copies of the batch along one more dimension."""
    module, td = subject.make(), entries_of(subject)
    expected = detached(call(module, td))
    index = (0,) * len(td.batch_size)
    single = detached(call(module, td[index] if index else td))
    repeated = detached(call(module, torch.stack([td] * 3, len(td.batch_size))))  # type: ignore[arg-type]
    for number, whole in enumerate(expected):
        problem = f"{module.label}: output {number} of a batch of shape"
        close(single[number], whole[index], f"{problem} [] is not that of the first of {list(td.batch_size)}")
        copies = torch.stack([whole] * 3, len(td.batch_size))
        close(repeated[number], copies, f"{problem} [{_inner(td)}, 3] is not that of [{_inner(td)}], three times")


def _inner(td: TensorDict) -> str:
    return ", ".join(map(str, td.batch_size))


def _refuses(module: TensorDictModuleBase) -> bool:
    try:
        module.select_out_keys("__no such key")
    except KeyError:
        return True
    return False


def _error_without(module: TensorDictModuleBase, td: TensorDict) -> str:
    try:
        answer(module, td, "deterministic")
    except KeyError as error:
        return str(error)
    return ""


def _under_nested_keys(module: TensorDictModuleBase) -> TensorDictModuleBase:
    if isinstance(module, TensorDictSequential) or module.contract.carries or module.contract.optional:
        skip(f"{module.label} takes its keys when it is built: write make_nested()")
    module.in_keys, module.out_keys = (
        [("nested", "deep", *([key] if isinstance(key, str) else key)) for key in keys]
        for keys in (module.in_keys, module.out_keys)
    )
    return module
