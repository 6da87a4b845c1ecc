"""What a flow calls a part, and the few words that it says of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from keywork._keys import ADVANTAGE, NEXT, STATE_ACTION_VALUE, STATE_VALUE, VALUE_TARGET, Key, leaf, path_of
from keywork.flow._graph import Kind
from keywork.nets import Chain
from keywork.nn import Contract, ProbabilisticTensorDictModule, TensorDictModule


def name_of(module: Any) -> str:
    """The name of what a key module wraps, or of its own class if it is more than a wrapper.

    >>> name_of(TensorDictModule(nn.Linear(4, 2), "observation", "logits"))
    'Linear'
    """
    thing = named_after(module)
    if isinstance(thing, nn.Module):
        return type(thing).__name__
    name = str(getattr(thing, "__name__", type(thing).__name__))
    return "function" if name == "<lambda>" else name


def named_after(module: Any) -> Any:
    """What a key module is named after: the network, function or distribution in it, or itself.

    >>> named_after(TensorDictModule(Chain(nn.Linear(4, 2), nn.Tanh()), "observation", "logits"))
    Linear(in_features=4, out_features=2, bias=True)
    """
    if isinstance(module, ProbabilisticTensorDictModule):
        return module.distribution_class
    held = vars(module)
    if "__wrapped__" in held or "func" in held:  # a function made a key module
        return held.get("__wrapped__", held.get("func"))
    thing = module.module if type(module) is TensorDictModule else module
    while isinstance(thing, Chain) and len(thing):
        thing = max(thing, key=_count)  # that it is a chain says nothing
    return thing


def kind_of(contract: Contract, action: Key) -> Kind:
    """What a key module is there for, judged by its keys.

    >>> kind_of(Contract(["observation"], ["state_value"]), "action")
    'value'
    >>> kind_of(Contract(["action", "advantage"], ["loss_objective"]), "action")
    'loss'
    """
    names = {leaf(key) for key in contract.writes}
    if any(name == "loss" or name.startswith("loss_") for name in names):
        return "loss"
    reads_next = any(path_of(key)[0] == NEXT for key in contract.inputs)
    if reads_next or names & {ADVANTAGE, VALUE_TARGET}:
        return "estimator"
    if action in contract.reads and action in contract.writes:
        return "exploration"
    if names and names <= {STATE_VALUE, STATE_ACTION_VALUE}:
        return "value"
    return "policy"


def description_of(module: Any) -> str:
    """The widths of a chain of linear layers, and the number of parameters.

    >>> description_of(nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2)))
    '4 → 64 → 2, 450 parameters'
    """
    if not isinstance(module, nn.Module):
        return ""
    count = _count(module)
    facts = [_widths(module.modules()), f"{_short(count)} parameters" if count else ""]
    return ", ".join(fact for fact in facts if fact)


def passed_on(module: Any) -> tuple[Key, ...]:
    """What a key module writes just as it has read it: the values of which it chooses the best."""
    key = getattr(module, "action_value_key", None)
    return (key,) if key is not None and key in module.in_keys and key in module.out_keys else ()


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if not is_lazy(parameter))


def _widths(modules: Iterable[nn.Module]) -> str:
    widths: list[int] = []
    for layer in modules:
        if isinstance(layer, nn.Linear):
            if is_lazy(layer.weight) or (widths and widths[-1] != layer.in_features):
                return ""  # not known yet, or not one chain
            widths += [layer.out_features] if widths else [layer.in_features, layer.out_features]
    return " → ".join(map(str, widths))


def _short(count: int) -> str:
    for size, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{suffix}"
    return str(count)


def unique_names(names: Iterable[str]) -> list[str]:
    """The names, numbered where one occurs again.

    >>> unique_names(["MLP", "MLP", "GAE", "MLP"])
    ['MLP', 'MLP 2', 'GAE', 'MLP 3']
    """
    taken: set[str] = set()
    result = []
    for name in names:
        number, candidate = 1, name
        while candidate in taken:
            number += 1
            candidate = f"{name} {number}"
        taken.add(candidate)
        result.append(candidate)
    return result
