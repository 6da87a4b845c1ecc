"""The entries of specs that networks are built for."""

from __future__ import annotations

from typing import Any

from keywork._errors import SpecError
from keywork._keys import Key, as_key
from keywork.modules._refusal import refusal
from keywork.specs import Composite, Spec, as_spec


def leaves_of(owner: str, name: str, spec: Any, key: Key) -> dict[Key, Spec]:
    """The specs of single tensors by their keys; of a spec without keys, ``key``.

    Raises:
        SpecError: there is none.
    """
    known = as_spec(spec)
    leaves: dict[Key, Spec] = dict(known.items()) if isinstance(known, Composite) else {as_key(key): known}
    if not leaves:
        raise refusal(
            SpecError,
            f"{owner} cannot be built: a spec has no entry.",
            where=name,
            expected="at least one entry",
            got=repr(known),
            fix=f"{name}=env.{name}",
        )
    return leaves
