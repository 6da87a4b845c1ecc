"""What the policies have in common that act greedily on a network: its step, its action, and what can be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keywork._errors import Finding
from keywork._keys import OBSERVATION, Key, listed
from keywork.modules._action_space import form_of
from keywork.nn import TensorDictModule, TensorDictModuleBase


def described(owner: str, given: Mapping[str, Any], key: Key, var_nums: Any) -> tuple[Any, Any, Any]:
    """The action space, var_nums and spec for the last step; or an error in the actor's name."""
    spec, _ = form_of(owner, given, key, var_nums)
    return (given["action_space"] if spec is None else None), var_nums, spec


def network_step(module: Any, in_keys: Any, values: Any) -> Any:
    """A plain network as a step that writes the values; a key module as it is."""
    if hasattr(module, "in_keys") and hasattr(module, "out_keys"):
        return module
    return TensorDictModule(module, OBSERVATION if in_keys is None else in_keys, [values])


def unfed(steps: Mapping[str, TensorDictModuleBase], asked: list[Any] | None) -> list[Finding]:
    """What keeps the last step from its values, and in_keys that are not those of the network's."""
    network, *_, head = steps.values()
    found, key = [], head.in_keys[0]
    if key not in network.out_keys:
        fix = f"out_keys=[{key!r}] for the module, or action_value_key={next(iter(network.out_keys), '...')!r}."
        problem = f"the action values are read from {key!r}, which the module does not write."
        found.append(Finding("no-values", problem, f"the module writes {listed(network.out_keys)}", fix))
    if asked is not None and network.in_keys != asked:
        problem = f"in_keys is {asked}, and the module is a key module that reads {network.in_keys}."
        found.append(Finding("in-keys-twice", problem, "", "leave in_keys out, or pass the plain network."))
    return found
