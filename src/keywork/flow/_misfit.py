"""From the failure of a step to the finding that says it, if it is one of shapes, types, devices or outputs."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from keywork._errors import Finding, OutputError, SpecError, describe
from keywork._keys import LOC, SCALE, Key, leaf, listed
from keywork.flow._misfit_layers import READ_IMAGES, Misfit, misfit_of_layer, misfit_of_text
from keywork.flow._misfit_texts import batch_free, is_of_shapes, kind_of_refusal, parts_of
from keywork.flow._trace import Trial
from keywork.flow._trial import Failure
from keywork.nn import ProbabilisticTensorDictModule, TensorDictModule


def misfit_of(trial: Trial) -> Finding | None:
    """What is wrong, where the step fails on every kind of batch, and each time for a reason of this sort.

    A step that looks at values may fail for reasons of theirs, which is no finding: what real data hold is not known.
    """
    failures = trial.failures
    if trial.step.part.kind in ("estimator", "loss"):  # they get rows of steps, and may refuse anything else
        failures = tuple(failure for failure in failures if len(failure.batch) > 1) or failures
    found = [_of(trial, failure) for failure in failures]
    if all(found):
        return found[0]
    # How many outputs there are depends on no value: where it ran once, it would be wrong wherever it runs.
    counted = [
        finding for failure, finding in zip(failures, found, strict=True) if isinstance(failure.error, OutputError)
    ]
    return counted[0] if counted else None


def _of(trial: Trial, failure: Failure) -> Finding | None:
    error = failure.error
    if isinstance(error, OutputError):
        return _outputs(trial, failure)
    if isinstance(error, SpecError):
        # Without values none can be refused: what is refused there too is refused for its shape or type.
        at_once = trial.on_fakes is not None and issubclass(trial.on_fakes, SpecError)
        return _refused(trial, failure) if at_once and is_of_shapes(str(error)) else None
    if isinstance(error, TypeError):
        return _arguments(trial)
    misfit = misfit_of_layer(failure) or misfit_of_text(failure)
    if misfit is None or (trial.on_fakes is None and misfit.kind != "wrong-dtype"):
        return None
    return _layer(trial, failure, misfit)


def _layer(trial: Trial, failure: Failure, misfit: Misfit) -> Finding:
    whole = _network_of(trial, failure.layer)
    network = "" if failure.layer is None else describe(failure.layer)
    inside = "" if type(failure.layer).__name__ == whole else f" of {whole}"
    keys = _brought_by(trial, failure, misfit)
    source = f", from {keys[0]!r}" if len(keys) == 1 and network else ""
    problem = f"{trial.place} cannot run: {f'{network}{inside} ' if network else 'it '}{misfit.problem}{source}."
    if (
        isinstance(trial.step.module, ProbabilisticTensorDictModule)
        and failure.layer is None
        and misfit.kind == "wrong-shape"
    ):
        fix = "end the network in parameters of one shape: NormalParamExtractor splits an output in equal halves."
        return Finding("distribution-parameters", problem, trial.provided, fix)
    return Finding(misfit.kind, problem, trial.provided, _fix(trial, whole, misfit, keys))


def _network_of(trial: Trial, layer: Any = None) -> str:
    """What the step wraps, as its messages call it; of several networks that with the layer."""
    module = trial.step.module
    for part in module.modules() if layer is not None and isinstance(module, nn.Module) else ():
        if isinstance(part, TensorDictModule) and describe(layer) in map(describe, part.modules()):
            module = part
    return type(module.module).__name__ if isinstance(module, TensorDictModule) else type(module).__name__


def _brought_by(trial: Trial, failure: Failure, misfit: Misfit) -> list[Key]:
    """The entries that the layer was given as they are; or those that have the size that it does not take."""
    given = [key for key, value in failure.inputs.items() if any(value is argument for argument in failure.arguments)]
    if given or len(trial.given) == 1:
        return given
    wrong = [key for key in trial.given if trial.given[key].shape[-1:] == (misfit.got,)]
    return wrong if len(wrong) == 1 else []


def _fix(trial: Trial, whole: str, misfit: Misfit, keys: list[Key]) -> str:
    read = keys or list(trial.given)
    fix = misfit.fix.format(who=whole, key=listed(read[:1]))
    if misfit.takes is None:
        return fix
    alike = [
        key
        for key, there in trial.seen.items()
        if there.shape[-1:] == (misfit.takes,) and key not in trial.given and there.holds.batched
    ]
    return f"{fix}, or read {alike[0]!r}, which has {misfit.takes}." if alike and keys else f"{fix}."


def _outputs(trial: Trial, failure: Failure) -> Finding:
    first, _, fix = str(failure.error).partition("\n")
    _, _, returned = first.partition("it returned ")
    problem = f"{trial.place} cannot store what it computes: it returned {batch_free(returned, failure.batch)}"
    if returned.startswith("1 ") and {leaf(key) for key in trial.step.part.writes} == {LOC, SCALE}:
        fix = "end the network in NormalParamExtractor(), which makes both of one output of twice the width."
    return Finding("output-count", problem, trial.provided, fix.strip()[:1].lower() + fix.strip()[1:])


def _refused(trial: Trial, failure: Failure) -> Finding:
    problem, asked, fix = parts_of(str(failure.error), failure.batch)
    kind = kind_of_refusal(trial.step, str(failure.error))
    if "images" in problem and all(len(given.shape) < len("CHW") for given in trial.given.values()):
        kind, fix = "wrong-rank", READ_IMAGES
    elif kind == "value-shape":
        fix = "values, rewards and advantages are [*B, 1]: end the critic in one output, nn.Linear(n, 1), and keep it."
    elif "its inputs do not fit together" in problem:
        size = next(iter(trial.given.values())).shape[-1:]
        fix = (
            f"build {_network_of(trial)} with input_size={', '.join(map(str, size))}, or read another key: in_key=...."
        )
    return Finding(kind, f"{trial.place} cannot run: {problem}{asked}.", trial.provided, fix)


def _arguments(trial: Trial) -> Finding | None:
    """The wrapped network takes another number of arguments than there are keys."""
    module = trial.step.module
    if not isinstance(module, TensorDictModule):
        return None
    function = module.module if module.method is None else getattr(module.module, module.method)
    try:
        taken = inspect.signature(getattr(function, "forward", function))
    except (TypeError, ValueError):
        return None
    names = module._arguments
    args = () if names is not None else tuple(module.in_keys)
    try:
        taken.bind(*args, **(dict.fromkeys(names) if names is not None else {}), **module.method_kwargs)
    except TypeError as error:
        asked = ", ".join(taken.parameters)
        problem = f"{trial.place} cannot be called with {listed(module.in_keys)}: {error}."
        fix = (
            f"it takes ({asked}): give as many in_keys, or a dict of them {{argument: key}}; "
            "a network of one input joins several with MLP, or with torch.cat in a step before."
        )
        return Finding("input-count", problem, trial.provided, fix)
    return None
