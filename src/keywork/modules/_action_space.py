"""From a spec, or the field's name of an action space, to the form of its actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keywork._errors import SpecError, UsageError
from keywork._keys import ACTION_VALUE as ACTION_VALUE
from keywork._keys import Key, nearest
from keywork.modules._choices import Bits, Choices, OneHotOf, OneOf
from keywork.modules._exploration import leaf_spec
from keywork.modules._refusal import refusal
from keywork.modules._several_of import SeveralOf
from keywork.specs import Categorical, MultiBinary, MultiDiscrete, OneHot, Spec

CHOSEN_ACTION_VALUE = "chosen_action_value"
NAMES = ("categorical", "one-hot", "multi-categorical", "mult-one-hot", "binary")


def choices_of(owner: str, spec: Spec) -> Choices:
    """The form of a spec's actions.

    Raises:
        SpecError: its actions are not discrete.
    """
    if isinstance(spec, Categorical):
        return OneOf(owner, spec.n, spec.shape)
    if isinstance(spec, OneHot):
        return OneHotOf(owner, spec.n)
    if isinstance(spec, MultiDiscrete) and spec.shape.numel():
        return SeveralOf(owner, spec.nvec.flatten().tolist(), spec.shape)
    if isinstance(spec, MultiBinary):
        return Bits(owner, spec.shape)
    raise refusal(
        SpecError,
        f"{owner} cannot choose among these actions: there are not just a few.",
        where="spec",
        expected="Categorical, OneHot, MultiDiscrete or MultiBinary",
        got=repr(spec),
        fix="AdditiveGaussianModule or OrnsteinUhlenbeckProcessModule explore numbers",
    )


def choices_named(owner: str, name: str, var_nums: int | Sequence[int] | None = None) -> Choices:
    """The form of the actions of an action space that is given by its name.

    Args:
        owner: whose actions these are.
        name: ``"categorical"``, ``"one-hot"``, ``"multi-categorical"``, ``"mult-one-hot"`` or ``"binary"``; an
            underscore does for a hyphen.
        var_nums: of those that have several choices, how many each has; one number if all have as many.

    Raises:
        UsageError: there is no such name, or var_nums is missing, or of no use.
    """
    known = str(name).lower().replace("_", "-")
    if known not in NAMES:
        near = nearest(known, NAMES)
        raise refusal(
            UsageError,
            f"{owner} cannot be built: there is no such action space.",
            where="action_space",
            expected=f"a spec, or one of {', '.join(NAMES)}",
            got=repr(name),
            fix=f"action_space={near!r}, or spec=env.action_spec" if near else "spec=env.action_spec",
        )
    if known.startswith("mult") != (var_nums is not None):
        several = known.startswith("mult")
        raise refusal(
            UsageError,
            f"{owner} cannot be built: var_nums {'is missing' if several else f'means nothing for {known!r}'}.",
            where="var_nums",
            expected="how many choices each component has" if several else "None",
            got=repr(var_nums),
            fix="var_nums=[2, 5], or spec=env.action_spec" if several else "leave var_nums out",
        )
    if var_nums is not None:
        return SeveralOf(owner, var_nums, one_hot=known == "mult-one-hot")
    if known == "one-hot":
        return OneHotOf(owner, None)
    return Bits(owner) if known == "binary" else OneOf(owner, None)


def form_of(owner: str, given: Mapping[str, Any], key: Key, var_nums: Any = None) -> tuple[Spec | None, Choices]:
    """The spec of the actions, if there is one, and their form.

    Args:
        owner: whose actions these are.
        given: under each of its names the spec that was given, or None; ``"action_space"`` may be that of a space.
        key: of the action.
        var_nums: see :func:`choices_named`.

    Raises:
        UsageError: not exactly one was given, or a name that is none.
        SpecError: the actions are not discrete.
    """
    there = [name for name, value in given.items() if value is not None]
    if len(there) != 1:
        problem = "its actions are given more than once" if there else "nobody has said what its actions are"
        raise refusal(
            UsageError,
            f"{owner} cannot be built: {problem}.",
            where=", ".join(given),
            expected="one of them",
            got=", ".join(there) or "none",
            fix="spec=env.action_spec, or action_space='categorical'",
        )
    described = given[there[0]]
    if there == ["action_space"] and isinstance(described, str):
        return None, choices_named(owner, described, var_nums)
    spec = leaf_spec(owner, described, key)
    return spec, choices_of(owner, spec)
