"""Which parameters are trained: those that losses reach, and those that optimisers update."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from torch import nn

from keywork._errors import Finding
from keywork.flow._describe import name_of
from keywork.flow._graph import Part
from keywork.flow._parts import Step
from keywork.flow._upstream import upstream
from keywork.nn import TensorDictModuleBase

_MOST = 4  # parameters that a message lists


def training_findings(steps: Sequence[Step]) -> list[Finding]:
    """What is wrong with who learns: frozen parameters (``requires_grad=False``) and target networks need not.

    Nothing is said of a pipeline without losses, or with one of whose parameters nothing is known.
    """
    losses = [step for step in steps if step.part.kind == "loss"]
    optimisers = [step.part for step in steps if step.part.kind == "optimiser"]
    findings = [found for pair in combinations(optimisers, 2) if (found := _twice(steps, *pair))]
    if not losses or not all(any(True for _ in _learning(step.module)) for step in losses):
        return findings
    reached = {id(parameter) for step in losses for _, parameter in _learning(step.module)}
    findings += (others := list(_other_parameters(steps, losses, reached)))
    findings += (dangling := list(_dangling(steps, losses, reached)) if not others else [])
    if optimisers and all(part.trains for part in optimisers):
        findings += _untrained(losses, optimisers)
        findings += _strangers(steps, losses, optimisers, reached) if not (others or dangling) else []
    return findings


def _learning(module: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a module that want to be trained, with their names."""
    if isinstance(module, nn.Module):
        yield from ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)


def _twice(steps: Sequence[Step], first: Part, second: Part) -> Finding | None:
    both = {id(parameter) for parameter in first.trains} & {id(parameter) for parameter in second.trains}
    if not both:
        return None
    return Finding(
        "trained-twice",
        f"{first.name} and {second.name} (optimiser) both update {_named(steps, both)}.",
        "",
        "give each parameter to one of them; what actor and critic share belongs to one optimiser of both losses.",
    )


def _other_parameters(steps: Sequence[Step], losses: Sequence[Step], reached: set[int]) -> Iterator[Finding]:
    """A network that is like one in a loss, with the same keys and shapes, but learns nothing from that loss."""
    for step in steps:
        if step.part.kind in ("loss", "optimiser") or not isinstance(step.module, nn.Module):
            continue
        for module in step.module.modules():
            own = {id(parameter) for _, parameter in _learning(module)}
            twin = _twin(module, losses) if own and not own & reached else ""
            if twin:
                yield Finding(
                    "other-parameters",
                    f"{step.part.name} ({step.part.kind}) has a network like one of {twin}, with parameters of its "
                    "own, which no loss reaches: what acts or judges there is not what is trained.",
                    f"{name_of(module)}, {len(own)} parameter tensors",
                    "pass one and the same object to both; a copy on purpose is frozen: .requires_grad_(False).",
                )
                break


def _twin(module: nn.Module, losses: Sequence[Step]) -> str:
    if not isinstance(module, TensorDictModuleBase):
        return ""
    face = _face(module)
    alike = (
        loss.part.name
        for loss in losses
        for part in loss.module.modules()
        if isinstance(part, TensorDictModuleBase) and _face(part) == face
    )
    return next(alike, "")


def _face(module: TensorDictModuleBase) -> list[Any]:
    """What two networks have in common that do the same: keys, and the names and shapes of parameters."""
    shapes = [(name, getattr(parameter, "shape", None)) for name, parameter in _learning(module)]
    return [module.in_keys, module.out_keys, shapes]


def _dangling(steps: Sequence[Step], losses: Sequence[Step], reached: set[int]) -> Iterator[Finding]:
    """A network whose outputs lead to no loss, and that is in none."""
    parts = [step.part for step in steps]
    leading = {i for i, step in enumerate(steps) if step.part.kind == "loss" for i in upstream(parts, i)}
    for index, step in enumerate(steps):
        own = {id(parameter) for _, parameter in _learning(step.module)}
        if own and not own & reached and index not in leading:
            yield Finding(
                "unreached-parameters",
                f"{step.part.name} ({step.part.kind}) has {len(own)} parameter tensors that no loss reaches.",
                f"losses: {', '.join(loss.part.name for loss in losses)}",
                f"pass {step.part.name} to a loss, leave it out, or freeze it: .requires_grad_(False).",
            )


def _untrained(losses: Sequence[Step], optimisers: Sequence[Part]) -> Iterator[Finding]:
    """Parameters of a loss that no optimiser updates."""
    held = {id(parameter) for part in optimisers for parameter in part.trains}
    names = ", ".join(part.name for part in optimisers)
    for step in losses:
        missed = [n for n, p in _learning(step.module) if id(p) not in held and "target" not in n]
        if missed:
            yield Finding(
                "untrained-parameters",
                f"{step.part.name} (loss) has parameters that {names} (optimiser) does not update: {_some(missed)}.",
                "",
                "give the optimiser all of them, such as Adam(loss.parameters()), or freeze what is not to learn: "
                ".requires_grad_(False).",
            )


def _strangers(
    steps: Sequence[Step], losses: Sequence[Step], optimisers: Sequence[Part], reached: set[int]
) -> Iterator[Finding]:
    """Parameters of an optimiser that no loss reaches, neither as its own nor through what it reads."""
    parts = [step.part for step in steps]
    leading = {i for i, step in enumerate(steps) if step.part.kind == "loss" for i in upstream(parts, i)}
    reached = reached | {id(parameter) for i in leading for _, parameter in _learning(steps[i].module)}
    for part in optimisers:
        strange = {id(p) for p in part.trains if p.requires_grad} - reached
        if strange:
            yield Finding(
                "unreached-parameters",
                f"{part.name} (optimiser) updates {_named(steps, strange)}, which no loss reaches.",
                f"losses: {', '.join(loss.part.name for loss in losses)}",
                "give it the parameters of the losses: Adam(loss.parameters()).",
            )


def _named(steps: Sequence[Step], wanted: set[int]) -> str:
    """The names of parameters, in the first part that has them."""
    names = dict[int, str]()
    for step in steps:
        for name, parameter in _learning(step.module):
            if id(parameter) in wanted:
                names.setdefault(id(parameter), f"{step.part.name}'s {name}")
    count = len(wanted - names.keys())
    return _some([*names.values(), *([f"{count} parameter tensors of no part"] if count else [])])


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST} more" if len(listed) > _MOST else ""
    return ", ".join(listed[:_MOST]) + more
