"""Keywork modules as genuine modules of tensordict.nn and TorchRL."""

from __future__ import annotations

from typing import Any

from keywork._errors import ContractError, Finding, describe
from keywork._keys import Key, unique
from keywork.interop._from_torchrl import TorchRLModule
from keywork.interop._head import HeadStep
from keywork.interop._inlets import attach_inlets
from keywork.interop._specs import spec_to_torchrl
from keywork.interop._steps import TensorDictStep, TensorStep
from keywork.interop._torchrl import torchrl
from keywork.modules import ActorCriticOperator, ActorCriticWrapper, ActorValueOperator
from keywork.nn import TensorDictModuleBase, TensorDictSequential
from keywork.specs import Composite

OPERATORS = (ActorCriticOperator, ActorCriticWrapper, ActorValueOperator)


def to_torchrl(module: Any) -> Any:
    """A genuine module of TorchRL that computes what a keywork module computes, with the very same parameters.

    ======================================  =============================================================
    here                                    there (in ``torchrl.modules``)
    ======================================  =============================================================
    ProbabilisticActor, and what ends in a  ``SafeProbabilisticTensorDictSequential``, of which
    distribution                            ``ProbabilisticActor`` is one; the last of its steps is a
                                            ``tensordict.nn.ProbabilisticTensorDictModule``
    ActorValueOperator, -CriticOperator,    the operator of the same name
    ActorCriticWrapper
    QValueActor, other sequentials          ``SafeSequential``, with the ``spec`` that ``DQNLoss`` asks for
    anything else                           ``SafeModule``; ``TensorDictModuleBase`` where it is called on
                                            TensorDicts only
    ======================================  =============================================================

    *TorchRL's* exploration type and recurrent mode, which its collectors and losses set, hold in all of it. (Where none
    is set a policy samples, as it does here.) A recurrent module, and any other that carries entries from step to step,
    brings the primer that ``get_env_transforms_from_module(policy)`` finds. (Of keys that begin with an underscore a
    collector of theirs hands out nothing: where a loss reads what is carried, give it another name.) An exploration
    module without a spec takes that of the collector's environment.

    The names of the keys stay: where a loss is to find the log-probability under ``"sample_log_prob"``, say so with
    ``loss.set_keys(sample_log_prob="sample_log_prob")``, or give the actor ``log_prob_key="action_log_prob"``, which is
    TorchRL's name for it. The keys are those of this moment: select keys first.

    Args:
        module: a keywork module. Of a network without a size, run it once first.

    Raises:
        MissingExtraError: TorchRL is not installed.
        ContractError: it is no keywork module.
    """
    modules = torchrl("modules", "to_torchrl")
    if not isinstance(module, TensorDictModuleBase):
        problem = f"module is {describe(module)}, which is no key module of keywork."
        fix = "wrap it: keywork.nn.TensorDictModule(module, in_keys=[...], out_keys=[...])."
        raise ContractError("to_torchrl", [Finding("no-keys", problem, "", fix)])
    theirs = _converted(module, modules)
    if module.inplace is not True and hasattr(theirs, "inplace"):
        theirs.inplace = module.inplace
    return theirs


def _converted(module: Any, modules: Any) -> Any:
    if isinstance(module, TorchRLModule):
        return module.module
    if not isinstance(module, TensorDictSequential) or _overridden(module):
        return _leaf(module, modules)
    _refuse_hooks(module)
    steps = [_converted(step, modules) for step in module]
    operator = next((kind.__name__ for kind in OPERATORS if isinstance(module, kind)), None)
    if operator is not None:
        whole = getattr(modules, operator)(*steps)
    else:
        if steps and isinstance(steps[-1], modules.SafeProbabilisticTensorDictSequential):
            steps = [*steps[:-1], *steps[-1].module]  # theirs cannot end in another one
        draws = bool(steps) and isinstance(steps[-1], HeadStep)
        whole = (modules.SafeProbabilisticTensorDictSequential if draws else modules.SafeSequential)(*steps)
        if draws and getattr(module, "spec", None) is not None:
            whole.spec = _specs_of(module, whole.out_keys)
    if set(module.out_keys) < set(whole.out_keys):
        whole.select_out_keys(*module.out_keys)
    return whole


def _overridden(module: TensorDictSequential) -> bool:
    """Whether it does something else than to run its steps."""
    own, plain = type(module), TensorDictSequential
    return own.forward is not plain.forward or own.compute is not plain.compute


def _leaf(module: Any, modules: Any) -> Any:
    if hasattr(module, "dist_params_keys"):
        theirs: Any = HeadStep(module)
    elif module.opaque:
        theirs = TensorDictStep(module)
    else:
        _refuse_hooks(module)
        keys = {"in_keys": list(unique(module.in_keys)), "out_keys": module.out_keys}
        theirs = modules.SafeModule(TensorStep(module), **keys, spec=_specs_of(module, module.out_keys))
    attach_inlets(theirs, module)
    return theirs


def _specs_of(module: Any, out_keys: list[Key]) -> Any:
    """A spec of theirs for each of the keys: None for most, and for an action what the module says it is."""
    described = getattr(module, "spec", None)
    actions = [module.action_key] if hasattr(module, "action_key") else getattr(module, "dist_sample_keys", out_keys)
    specs = torchrl("data", "to_torchrl").Composite()
    for key in out_keys:
        known = described.get(key) if isinstance(described, Composite) else described if key in actions else None
        specs[key] = None if known is None else spec_to_torchrl(known)
    return specs


def _refuse_hooks(module: TensorDictModuleBase) -> None:
    if module._forward_hooks or module._forward_pre_hooks:
        problem = f"{module.label} has hooks, which would not run: TorchRL calls its steps and networks one by one."
        fix = "remove them, and register them on what to_torchrl returns, or on the networks inside."
        raise ContractError("to_torchrl", [Finding("hooks", problem, "", fix)])
