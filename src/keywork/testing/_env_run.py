"""What an environment did in a number of steps: kept as it was handed out, and as copies of that moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from keywork._errors import refusal
from keywork._keys import ACTION_MASK, Key, listed
from keywork.envs import Env, Transition
from keywork.specs import Categorical, MultiDiscrete, OneHot, Spec

Data = dict[Key, Tensor]


class EnvSubject(Protocol):
    """What the checks ask of a conformance class; see ``EnvConformance``."""

    steps: ClassVar[int]
    seed: ClassVar[int]

    def make(self) -> Env:
        """A new environment."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of all environments.

    Attributes:
        root: what was acted on, copied.
        action: what was done, copied.
        observation: what is to be acted on next, copied.
        reached: the entries of ``"next"``, copied.
        valid: bool ``[N]``: which rows are steps of an episode.
        taken: the root and the action as they were handed out.
        transition: what came of it, likewise.
    """

    root: Data
    action: Tensor
    observation: Data
    reached: Data
    valid: Tensor
    taken: tuple[dict[Key, Any], Any]
    transition: Transition[Any]

    def entries(self) -> Data:
        """All that a batch would hold of it."""
        return {**self.root, **self.reached}

    def handed_out(self) -> dict[str, tuple[Any, Tensor]]:
        """What was handed out, as it is now and as it was then, by what a message calls it."""
        (root, action), reached = self.taken, self.transition.reached
        pairs = {f"the observation {key!r}": (value, self.root[key]) for key, value in root.items()}
        return (
            pairs | {"the action": (action, self.action)} | {repr(k): (v, self.reached[k]) for k, v in reached.items()}
        )


def tensor(value: Any) -> Tensor:
    """A copy of an array or a tensor, on the CPU."""
    return torch.as_tensor(value).detach().to("cpu", copy=True)


def copied(entries: dict[Key, Any]) -> Data:
    """Copies of all entries."""
    return {key: tensor(value) for key, value in entries.items()}


def run(env: Env, steps: int, root: dict[Key, Any], actions: Sequence[Tensor] | None = None) -> list[Step]:
    """Take some steps from a root; the actions are random, or those that are given."""
    taken = []
    for number in range(steps):
        action = env.random_action() if actions is None else actions[number].to(env.action_spec.device or "cpu")
        before, done = copied(root), tensor(action)
        reached = env.advance(action)
        valid = torch.ones(env.num_envs, dtype=torch.bool) if reached.valid is None else tensor(reached.valid)[:, 0]
        entries = copied(reached.observation), copied(reached.reached)
        taken.append(Step(before, done, *entries, valid, (root, action), reached))
        root = reached.observation
    return taken


def first_run(subject: EnvSubject) -> tuple[Env, list[Step]]:
    """A new environment and its run from the subject's seed; it is closed."""
    with closing(subject.make()) as env:
        return env, run(env, subject.steps, env.begin(subject.seed))


def history(entries: Iterable[Data]) -> Data:
    """The entries of all steps: ``[T, N, *shape]`` each."""
    every = list(entries)
    return {key: torch.stack([one[key] for one in every]) for key in every[0]}


def first(flags: Tensor) -> tuple[int, int] | None:
    """The first step and row in which a flag ``[T, N, ...]`` is set."""
    found = flags.flatten(2).any(2).nonzero() if flags.ndim > 2 else flags.nonzero()
    return (int(found[0, 0]), int(found[0, 1])) if len(found) else None


def differ(one: Tensor, other: Tensor) -> Tensor:
    """Where two tensors of one shape differ; a NaN equals itself."""
    return (one != other) & ~((one != one) & (other != other))


def counts_of(spec: Spec) -> list[int] | None:
    """How many choices each part of an action has, None where it is no choice."""
    if isinstance(spec, Categorical | OneHot):
        return [spec.n]
    return spec.nvec.flatten().tolist() if isinstance(spec, MultiDiscrete) else None


def masked(env: Env) -> bool:
    """Whether the environment says which actions are allowed."""
    return ACTION_MASK in env.observation_spec and counts_of(env.action_spec) is not None


def broken(
    env: Env, problem: str, where: str | tuple[int, int], *, expected: str, got: str, fix: str
) -> AssertionError:
    """The failed check in its five parts; where it is may be a step and a row."""
    place = where if isinstance(where, str) else f"step {where[0]}, env {where[1]} of {env.num_envs}"
    return refusal(AssertionError, f"{env.name!r} {problem}.", where=place, expected=expected, got=got, fix=fix)


def shortened(value: Tensor) -> str:
    """A value for a message, its first numbers if there are many."""
    numbers = value.flatten().tolist()
    text = ", ".join(f"{number:g}" if isinstance(number, float) else str(number) for number in numbers[:8])
    return f"[{text}{', ...' * (len(numbers) > 8)}]" if value.ndim else text


def require_keys(env: Env, held: Data, wanted: Sequence[Key], where: str) -> None:
    """Expect the entries to be those that are wanted."""
    missing = [key for key in wanted if key not in held]
    extra = [key for key in held if key not in wanted]
    if missing or extra:
        problem = f"leaves {listed(missing)} out" if missing else f"has {listed(extra)} too many"
        fix = "give specs and data the same entries"
        raise broken(env, problem, where, expected=listed(wanted), got=listed(held), fix=fix)
