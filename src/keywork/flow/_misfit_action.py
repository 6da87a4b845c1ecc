"""Whether an environment takes the actions that a pipeline gives it: their shape, their type, and their range."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import constraints

from keywork._errors import Finding
from keywork.flow._trace import Given, Trial
from keywork.specs import Bounded, Categorical, MultiDiscrete, OneHot, TensorSpec


class Found(NamedTuple):
    """The kind of a finding, what is wrong, and what to type."""

    kind: str
    problem: str
    fix: str


def misfits_of_action(trial: Trial, rehearsed: Iterable[tuple[int, Tensor]]) -> list[Finding]:
    """What is wrong with the action of an environment's step.

    Args:
        trial: of that step.
        rehearsed: how many rows a batch has, and such a batch of actions, which is how collectors run a policy; asked
            for only where there is a doubt.
    """
    env, action = trial.step.env, trial.given.get(trial.step.env.action_key)
    if action is None or not isinstance(env.action_spec, TensorSpec):
        return []
    spec = env.action_spec
    wrong = [] if action.holds.batched and action.shape == tuple(spec.shape) else _misshapen(spec, rehearsed)
    found: Found | None
    if action.dtype.is_floating_point < spec.dtype.is_floating_point:
        found = _type(spec, action)
    elif wrong:
        rows, shape = wrong[0]
        found = _encoding(spec, action, shape[1:]) if shape[:1] == (rows,) else _lost_batch(action, shape, rows)
    elif not spec._takes(action.dtype):
        found = _type(spec, action)
    else:
        found = _range(spec, action, clips=getattr(env, "clip_actions", True))
    if found is None:
        return []
    kind, problem, fix = found
    return [Finding(kind, f"{trial.place} cannot take {env.action_key!r}: {problem}.", trial.provided, fix)]


def _misshapen(spec: TensorSpec, rehearsed: Iterable[tuple[int, Tensor]]) -> list[tuple[int, tuple[int, ...]]]:
    """The shapes of batches of actions, if none is that of the environment's."""
    shapes = [(rows, tuple(value.shape)) for rows, value in rehearsed]
    return [] if any(shape == (rows, *spec.shape) for rows, shape in shapes) else shapes


def _lost_batch(action: Given, shape: tuple[int, ...], rows: int) -> Found:
    got = f"for {rows} environments it has the shape {list(shape)}"
    fix = f"let {action.writer} keep the first dimensions: x.mean(-1), not x.mean(); x.flatten(1), not x.flatten()."
    return Found("lost-batch", f"{got}, not a row for each", fix)


def _encoding(spec: TensorSpec, action: Given, shape: tuple[int, ...]) -> Found:
    takes = f"it takes {spec.domain} of shape {list(spec.shape)}, and gets {action.holds.dtype}{list(shape)}"
    floating = action.dtype.is_floating_point
    if isinstance(spec, Categorical) and len(shape) == 1 and (floating or shape != (1,)):
        if floating:
            return Found("action-encoding", f"{takes}: scores or a vector, not an index", _DISCRETE)
        fix = "build the environment with one_hot=True, or end the policy in Categorical instead of one-hot vectors."
        return Found("action-encoding", f"{takes}: a vector, not an index", fix)
    if isinstance(spec, OneHot) and not floating and shape in ((), (1,)):
        fix = "build the environment without one_hot=True, or end the policy in OneHotCategorical."
        return Found("action-encoding", f"{takes}: an index, not a vector", fix)
    if shape == (*spec.shape, 1):
        fix = f"take off the last dimension: a.squeeze(-1) in a step after {action.writer}, or in its network."
        return Found("action-shape", f"{takes}: a dimension of one too many", fix)
    if (*shape, 1) == tuple(spec.shape):
        fix = f"add the last dimension: a.unsqueeze(-1) after {action.writer}, or a network that ends in one output."
        return Found("action-shape", f"{takes}: the last dimension is missing", fix)
    number = spec.shape[-1] if spec.shape else 1
    if isinstance(action.reach, TensorSpec) and tuple(action.reach.shape) != tuple(spec.shape):
        said = f", which is the shape of the spec of {action.writer}"
        fix = f"build {action.writer} with spec=env.action_spec, on a network of as many outputs as actions, {number}."
        return Found("action-shape", f"{takes}{said}", fix)
    fix = f"end the network before {action.writer} in as many outputs as there are actions, {number}"
    halves = " (twice that before a NormalParamExtractor)" if isinstance(spec, Bounded) else ""
    return Found("action-shape", takes, f"{fix}{halves}.")


_DISCRETE = (
    "draw an index: ProbabilisticActor(net, in_keys=['logits'], distribution_class=Categorical), "
    "or take the best: QValueActor(net, spec=env.action_spec)."
)


def _type(spec: TensorSpec, action: Given) -> Found:
    problem = f"it takes {spec.domain} of {_name(spec)}, and gets {action.holds.dtype}"
    if spec.dtype.is_floating_point:
        fix = (
            "end the policy in numbers: ProbabilisticActor(net, in_keys=['loc', 'scale'], "
            "distribution_class=TanhNormal, spec=env.action_spec)."
        )
        return Found("action-dtype", problem, fix)
    return Found("action-dtype", problem, _DISCRETE)


def _range(spec: TensorSpec, action: Given, *, clips: bool) -> Found | None:
    takes = f"it takes {spec.domain}, and gets {action.holds.domain}"
    choices = choices_of(action.reach)
    if isinstance(spec, Categorical) and choices is not None and choices != spec.n:
        lost = "" if choices > spec.n else f": the last {spec.n - choices} are never taken"
        fix = (
            f"end the network before {action.writer} in {spec.n} outputs; build what takes a spec with env.action_spec."
        )
        return Found("action-range", takes + lost, fix)
    if isinstance(spec, MultiDiscrete) and _other_counts(spec, action.reach):
        return Found("action-range", takes, f"build {action.writer} with spec=env.action_spec.")
    if isinstance(spec, Bounded) and spec.dtype.is_floating_point and not clips:
        low, high = bounds_of(action.reach)
        # Rounding aside: bounds are often written in another type than the environment's.
        slack = 1e-6 * (spec.high.double() - spec.low.double())
        if low is None or high is None or not _fit(low, high, spec):
            return None
        if bool((low.double() < spec.low - slack).any() | (high.double() > spec.high + slack).any()):
            bounds = f"give {action.writer} the environment's bounds: spec=env.action_spec, or low=..., high=..."
            bounded = "draw from a distribution with bounds, such as TanhNormal with spec=env.action_spec"
            fix = f"{bounded if low.isinf().all() else bounds}; or let the environment clip: clip_actions=True."
            return Found("action-range", takes, fix)
    return None


def _other_counts(spec: MultiDiscrete, reach: Any) -> bool:
    return isinstance(reach, MultiDiscrete) and spec.nvec.tolist() != reach.nvec.tolist()


def choices_of(reach: Any) -> int | None:
    """How many choices there are, where that is known."""
    if isinstance(reach, Categorical):
        return reach.n
    lower, upper = getattr(reach, "lower_bound", None), getattr(reach, "upper_bound", None)
    return upper + 1 if isinstance(upper, int) and lower == 0 and reach.is_discrete else None


def bounds_of(reach: Any) -> tuple[Tensor | None, Tensor | None]:
    """Between which numbers the values are, where that is known."""
    if isinstance(reach, Bounded):
        return reach.low, reach.high
    while isinstance(reach, constraints.independent):
        reach = reach.base_constraint
    if reach is constraints.real:
        return torch.tensor(-torch.inf), torch.tensor(torch.inf)
    low, high = getattr(reach, "lower_bound", None), getattr(reach, "upper_bound", None)
    if isinstance(low, float | int) and isinstance(high, float | int):
        return torch.tensor(float(low)), torch.tensor(float(high))
    return None, None


def _fit(low: Tensor, high: Tensor, spec: Bounded) -> bool:
    return all(bound.device == spec.low.device and bound.ndim <= len(spec.shape) for bound in (low, high))


def _name(spec: TensorSpec) -> str:
    return str(spec.dtype).removeprefix("torch.")
