"""From environments, key modules and optimisers to the steps of a pipeline, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn
from torch.optim import Optimizer

from keywork._errors import ContractError, Finding
from keywork._keys import ACTION, NEXT, Key, as_keys, leaf, path_of
from keywork.flow._describe import description_of, kind_of, name_of, unique_names
from keywork.flow._graph import Part
from keywork.nn import Contract, TensorDictModuleBase, TensorDictSequential
from keywork.specs import Composite, TensorSpec


@dataclass(frozen=True, slots=True)
class Step:
    """A part, and what is behind it.

    Attributes:
        module: the key module that computes what the part writes, if there is one.
        specs: what is known of entries without computing anything: what the part writes, and what it accepts.
        origin: which of the things that the flow was given it comes from; an environment's own step is from -1.
        env: the environment that takes its step here, if one does.
    """

    part: Part
    module: Any = None
    specs: Mapping[Key, TensorSpec] = field(default_factory=dict)
    origin: int = -1
    env: Any = None


def steps_of(parts: Sequence[Any]) -> list[Step]:
    """The steps of a pipeline, with unique names.

    An environment makes two: what it shows first, and, as soon as the action is there, what the action leads to.

    Raises:
        ContractError: something is no part of a pipeline, or there are two environments.
    """
    envs = [thing for thing in parts if is_env(thing)]
    action = envs[0].action_key if envs else ACTION
    findings = [_no_part(position, thing) for position, thing in enumerate(parts) if not _is_part(thing)]
    if len(envs) > 1:
        findings.append(_second_env(envs))
    if findings:
        raise ContractError("Flow", findings)
    groups: list[list[Step]] = []
    for origin, thing in enumerate(parts):
        group = _group(thing, action, [step for group in groups for step in group])
        groups.append([replace(step, origin=origin) for step in group])
    if envs:
        place = _place_of_the_step(groups, action)
        groups.insert(place, [_env_step(envs[0], acts=_nobody_acts(groups))])
    steps = [step for group in groups for step in group]
    names = unique_names(step.part.name for step in steps)
    return [replace(step, part=replace(step.part, name=name)) for step, name in zip(steps, names, strict=True)]


def is_env(thing: Any) -> bool:
    """Whether something is an environment: it has specs and takes an action."""
    return not isinstance(thing, nn.Module) and hasattr(thing, "specs") and hasattr(thing, "action_key")


def _is_module(thing: Any) -> bool:
    return isinstance(thing, nn.Module) and hasattr(thing, "in_keys") and hasattr(thing, "out_keys")


def _is_part(thing: Any) -> bool:
    known = isinstance(thing, Part | Optimizer | Composite | Mapping)
    return known or is_env(thing) or _is_buffer(thing) or _is_module(thing)


def _is_buffer(thing: Any) -> bool:
    """Whether something is a replay buffer: it says what it keeps, and what it adds to a batch."""
    return not isinstance(thing, nn.Module | Part) and hasattr(thing, "keeps") and hasattr(thing, "writes")


def _draws_slices(sampler: Any) -> bool | None:
    """Whether a buffer's sampler draws slices: it has a ``slice_len`` then. The library's others draw single steps."""
    if hasattr(sampler, "slice_len"):
        return True
    ours = type(sampler).__module__.partition(".")[0] == __name__.partition(".")[0]
    return False if ours else None


def _group(thing: Any, action: Key, before: Sequence[Step]) -> list[Step]:
    if isinstance(thing, Part):
        return [Step(thing)]
    if _is_buffer(thing):
        name, slices = type(thing).__name__, _draws_slices(getattr(thing, "sampler", None))
        part = Part(name, "buffer", writes=tuple(thing.writes), keeps=thing.keeps, slices=slices)
        return [Step(part, specs=dict(getattr(thing, "write_specs", {})))]
    if isinstance(thing, Optimizer):
        losses = [key for step in before if step.part.kind == "loss" for key in step.part.writes if _is_loss(key)]
        trains = tuple(parameter for group in thing.param_groups for parameter in group["params"])
        part = Part(type(thing).__name__, "optimiser", tuple(losses), description=_rate_of(thing), trains=trains)
        return [Step(part)]
    if isinstance(thing, Composite | Mapping):
        specs = dict(Composite(dict(thing.items())).items())
        return [Step(Part("inputs", "input", writes=tuple(specs)), specs=specs)]
    if is_env(thing):
        return [_env_root(thing)]
    return list(_module_steps(thing, action))


def _env_root(env: Any) -> Step:
    specs = {key: spec for key, spec in env.specs.items() if path_of(key)[0] != NEXT and key != env.action_key}
    count = getattr(env, "num_envs", 1)
    description = f"{count} environments" if count > 1 else ""
    return Step(Part(_env_name(env), "env", writes=tuple(specs), description=description), specs=specs)


def _env_step(env: Any, acts: bool) -> Step:
    """What an action leads to; the environment ``acts`` itself, at random, where no part is there to do it."""
    specs = {key: spec for key, spec in env.specs.items() if path_of(key)[0] == NEXT}
    part = Part(f"{_env_name(env)} step", "env", reads=(env.action_key,), writes=tuple(specs))
    if acts:
        part = replace(part, reads=(), writes=(env.action_key, *specs), description="random actions")
    return Step(part, specs={**specs, env.action_key: env.action_spec}, env=env)


def _nobody_acts(groups: Sequence[Sequence[Step]]) -> bool:
    """Whether a pipeline has nothing that acts or seems meant to, such as one that only looks at values."""
    quiet = ("env", "input", "value", "estimator", "collector", "buffer", "loss", "optimiser")
    return all(step.part.kind in quiet for group in groups for step in group)


def _env_name(env: Any) -> str:
    return str(getattr(env, "name", type(env).__name__))


def _place_of_the_step(groups: Sequence[Sequence[Step]], action: Key) -> int:
    """Where the environment takes its step: after all that writes the action, or before the first look ahead.

    What comes after a collector or a buffer acts no more: it computes actions to learn from.
    """
    stored = (i for i, group in enumerate(groups) if group and group[0].part.kind in ("collector", "buffer"))
    end = next(stored, len(groups))
    acting = [i for i, group in enumerate(groups[:end]) if any(action in step.part.writes for step in group)]
    if acting:
        return acting[-1] + 1
    looking = [
        i for i, group in enumerate(groups) if any(path_of(k)[0] == NEXT for step in group for k in step.part.inputs)
    ]
    return min([end, *looking])


def _module_steps(module: Any, action: Key, name: str = "") -> Iterator[Step]:
    """The step of a key module, or those of a sequential; a name that a sequential's step was given is kept."""
    if isinstance(module, TensorDictSequential) and _shows_everything(module):
        named = isinstance(module.module, nn.ModuleDict)
        for child_name, child in module.module.named_children():
            yield from _module_steps(child, action, child_name if named else "")
        return
    contract = module.contract if isinstance(module, TensorDictModuleBase) else _contract_of(module)
    yield Step(
        Part(
            name or name_of(module),
            kind_of(contract, action),
            reads=contract.reads,
            writes=contract.writes,
            optional=contract.optional,
            carries=contract.carries,
            description=description_of(module),
        ),
        module,
    )


def _shows_everything(sequential: TensorDictSequential) -> bool:
    """Whether all that its steps write is seen from outside; otherwise it is one part."""
    return all(key in sequential.out_keys for step in sequential for key in step.out_keys)


def _contract_of(module: Any) -> Contract:
    return Contract(as_keys(list(module.in_keys)), as_keys(list(module.out_keys)))


def _is_loss(key: Key) -> bool:
    return leaf(key) == "loss" or leaf(key).startswith("loss_")


def _rate_of(optimiser: Optimizer) -> str:
    rates = dict.fromkeys(group["lr"] for group in optimiser.param_groups if "lr" in group)
    return f"learning rate {', '.join(f'{float(rate):g}' for rate in rates)}" if rates else ""


def _no_part(position: int, thing: Any) -> Finding:
    return Finding(
        "no-part",
        f"part {position} is {type(thing).__name__}, which says nothing of what it reads and writes.",
        "parts are environments, key modules (with in_keys and out_keys), optimisers, dicts of specs, and Part",
        "wrap a network: TensorDictModule(net, in_keys=[...], out_keys=[...]), an environment: GymEnv(env); describe "
        "anything else: "
        "Part(name, kind, reads=..., writes=...).",
    )


def _second_env(envs: Sequence[Any]) -> Finding:
    return Finding(
        "two-envs",
        f"there are {len(envs)} environments.",
        ", ".join(_env_name(env) for env in envs),
        "a flow has one: give the others flows of their own.",
    )
