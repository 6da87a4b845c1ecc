"""What the modules that add noise to an action have in common: when they do, and whose action it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import torch
from torch import Tensor

from keywork._errors import SpecError, UsageError
from keywork._keys import Key, listed
from keywork.modules._annealing import Annealing
from keywork.modules._refusal import refusal
from keywork.nn import ExplorationType, TensorDictModuleBase, exploration_type
from keywork.specs import Composite, Spec, as_spec


class SpecAliases(TypedDict, total=False):
    """The other names of a noise module's first argument.

    Attributes:
        action_space: the spec of the action.
        action_spec: likewise.
        device: of the module's buffers.
    """

    action_space: Any
    action_spec: Any
    device: torch.device | str | None


def exploring() -> bool:
    """Whether noise is added here: under RANDOM, and outside of any :func:`~keywork.nn.set_exploration_type`.

    >>> from keywork.nn import set_exploration_type
    >>> with set_exploration_type("mode"):
    ...     exploring()
    False
    """
    kind = exploration_type()
    return kind is None or kind is ExplorationType.RANDOM


class ExplorationModule(TensorDictModuleBase):
    """The abstract base of modules that change an action to explore.

    They are active under ``RANDOM``, and outside of any :func:`~keywork.nn.set_exploration_type`. Under
    ``DETERMINISTIC``, ``MODE`` and ``MEAN`` the action passes through, bit for bit, and nothing is drawn. ``train()``
    and ``eval()`` change nothing.

    What other modules have written about the action (its log-probability, say) is of the action before the noise.

    A subclass writes :meth:`explore`, and :meth:`accept` if it looks at the spec.

    Args:
        in_keys: the action's key first.
        out_keys: likewise.
        annealing: how strong the noise is.
        spec: what an action is: a spec, a Gymnasium space, or a ``Composite`` that has it under the action's key.
            None leaves it to a collector, which takes the environment's.
        options: ``optional_keys`` and ``carries`` of :class:`~keywork.nn.TensorDictModuleBase`.

    Raises:
        SpecError: the spec is of a kind that this module cannot explore.
    """

    _keyed = ("action_key",)

    def __init__(self, in_keys: Any, out_keys: Any, annealing: Annealing, spec: Any, **options: Any) -> None:
        super().__init__(in_keys, out_keys, **options)
        self.action_key = self._in_keys[0]
        self.annealing = annealing
        self._spec: Spec | None = None
        if spec is not None:
            self.spec = spec

    @property
    def spec(self) -> Spec | None:
        """What an action is; None until it is given, here or in the constructor."""
        return self._spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        found = leaf_spec(self.label, spec, self.action_key)
        self.accept(found)
        self._spec = found

    def without_spec(self) -> SpecError:
        """The error of a call that needs the spec, and nobody has given it."""
        return refusal(
            SpecError,
            f"{self.label} cannot explore: nobody has said what an action is.",
            where="spec",
            expected="a spec or a Gymnasium space",
            got="None",
            fix=f"{self.label}(spec=env.action_spec), or module.spec = env.action_spec",
        )

    def accept(self, spec: Spec) -> None:
        """Take note of the spec, or raise a SpecError if its actions cannot be explored."""

    def step(self, frames: int = 1) -> None:
        """Count frames, of all environments together; the noise fades accordingly. Any number costs the same.

        A collector counts what it collects: a loop with one does not call this (or says ``anneal=False`` to it).
        """
        self.annealing.step(frames)

    def compute(self, action: Any, *others: Any) -> tuple[Any, ...]:
        """Explore, or leave everything as it is, as the exploration type says."""
        return self.explore(action, *others) if exploring() else self.rest(action, *others)

    def explore(self, action: Any, *others: Any) -> tuple[Any, ...]:
        """From the tensors of ``in_keys`` to those of ``out_keys``, with noise: what a subclass writes."""
        raise NotImplementedError(f"{type(self).__name__} has to define explore(self, action, *others).")

    def rest(self, action: Any, *others: Any) -> tuple[Any, ...]:
        """The same without noise."""
        return (action,)

    @property
    def _strength(self) -> Tensor:
        # nn.Module finds children and buffers by a slow path; these are the same objects, fast.
        annealing: Any = self._modules["annealing"]
        strength: Tensor = annealing._buffers["value"]
        return strength


def leaf_spec(owner: str, spec: Any, key: Key) -> Spec:
    """The spec of one entry, out of all that is accepted for it.

    Raises:
        SpecError: it is no spec, or a Composite without that entry.
    """
    found = as_spec(spec)
    leaf = found.get(key) if isinstance(found, Composite) else found
    if leaf is not None and not isinstance(leaf, Composite):
        return leaf
    raise refusal(
        SpecError,
        f"{owner} cannot find the spec of its action.",
        where="spec",
        expected=f"one that has {key!r}",
        got=f"a Composite of {listed(found) if isinstance(found, Composite) else 'nothing'}",
        fix=f"Composite({{{key!r}: env.action_spec}}), or env.action_spec itself",
    )


def one_spec(owner: str, spec: Any, options: Mapping[str, Any]) -> Any:
    """The spec, under whichever of its names it is given; None if it is not.

    Raises:
        UsageError: it is given twice.
    """
    names = {"spec": spec, "action_space": options.get("action_space"), "action_spec": options.get("action_spec")}
    given = [name for name, value in names.items() if value is not None]
    if len(given) < 2:
        return names[given[0]] if given else None
    raise refusal(
        UsageError,
        f"{owner} cannot be built: its spec is given more than once.",
        where=", ".join(given),
        expected="one of them",
        got=f"{len(given)}",
        fix=f"{owner}(spec=env.action_spec)",
    )
