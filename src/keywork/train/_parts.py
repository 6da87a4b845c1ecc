"""What the assemblies of several algorithms need: settings looked at, networks put in place, what a flow is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._errors import UsageError, describe, refusal
from keywork._keys import leaf
from keywork.flow import Part
from keywork.nn import TensorDictModuleBase
from keywork.train._algorithm import Metrics


def require_env(owner: str, env: Any) -> None:
    """Refuse what is no environment of this package, such as one of Gymnasium's.

    Raises:
        UsageError: it is none.
    """
    if isinstance(env, type) or not hasattr(env, "num_envs") or not hasattr(env, "action_key"):
        made = repr(env) if isinstance(env, str) else "lambda: gymnasium.make(...)"
        raise refusal(
            UsageError,
            f"{owner} cannot act in {describe(env)}.",
            where="env",
            expected="an environment of keywork.envs, which steps several together",
            got=repr(env),
            fix=f"GymEnv({made}, num_envs=1)",
        )


def require_config(owner: str, env: Any, config: Any, kind: type[Any]) -> None:
    """Refuse an environment that is none, settings of something else, and widths of layers that are none.

    Args:
        owner: the algorithm.
        env: where it is to learn.
        config: what it was given.
        kind: what it takes, a dataclass with ``num_cells``.

    Raises:
        UsageError: the environment is none of this package, the settings are not of this kind, or ``num_cells`` is no
            row of widths.
    """
    require_env(owner, env)
    if not isinstance(config, kind):
        raise refusal(
            UsageError,
            f"{owner} cannot be built: its settings are no {kind.__name__}.",
            where="config",
            expected=kind.__name__,
            got=f"the class {config.__name__}" if isinstance(config, type) else type(config).__name__,
            fix=f"{owner}(env, {kind.__name__}(...))",
        )
    cells = config.num_cells
    if not isinstance(cells, Sequence) or not all(isinstance(width, int) and width > 0 for width in cells):
        width = cells if isinstance(cells, int) and cells > 0 else 64
        raise refusal(
            UsageError,
            f"{owner} cannot be built: num_cells is no row of widths.",
            where="num_cells",
            expected="a whole number above 0 for each hidden layer, such as (64, 64)",
            got=repr(cells),
            fix=f"num_cells=({width},); --num-cells {width} on the command line",
        )


def require_settings(
    config: Any, *, above_zero: Sequence[str] = (), from_zero: Sequence[str] = (), fractions: Sequence[str] = ()
) -> None:
    """Refuse settings that cannot be; NaN cannot.

    Args:
        config: a dataclass whose fields have defaults.
        above_zero: fields that are to be above zero.
        from_zero: fields that are to be 0 or above.
        fractions: fields that are to be from 0 to 1.

    Raises:
        UsageError: one is not.
    """
    usual = type(config)()
    named = [*above_zero, *from_zero]
    wrong = [
        (name, "a whole number", getattr(usual, name))
        for name in named
        if isinstance(getattr(usual, name), int) and not isinstance(getattr(config, name), int)
    ]
    wrong += [(name, "above 0", getattr(usual, name)) for name in above_zero if not getattr(config, name) > 0]
    wrong += [(name, "0 or above", getattr(usual, name)) for name in from_zero if not getattr(config, name) >= 0]
    wrong += [(name, "in [0, 1]", 0.95) for name in fractions if not 0.0 <= getattr(config, name) <= 1.0]
    for name, rule, example in wrong:
        option = f"--{name.replace('_', '-')} {example}"
        raise UsageError(f"{name} is {getattr(config, name)}: it has to be {rule}, such as {option}.")


def device_of_parts(*modules: TensorDictModuleBase, device: torch.device | str | None) -> torch.device:
    """The device where modules are, to which they are moved first if one is given."""
    for module in modules if device is not None else ():
        module.to(device)
    parameter = next((parameter for module in modules for parameter in module.parameters()), None)
    return torch.device("cpu") if parameter is None else parameter.device


def on_device(batch: TensorDict, device: torch.device) -> TensorDict:
    """A batch where the networks are; itself, if it is there."""
    return batch if device.type == "cpu" else batch.to(device)


def optimiser_part(name: str, loss: TensorDictModuleBase, description: str) -> Part:
    """What a flow shows of an optimiser: it reads every loss, and moves every parameter."""
    losses = tuple(key for key in loss.out_keys if leaf(key) == "loss" or leaf(key).startswith("loss_"))
    trained = tuple(parameter for parameter in loss.parameters() if parameter.requires_grad)
    return Part(name, "optimiser", reads=losses, description=description, trains=trained)


def means(names: Sequence[str], rows: Sequence[Sequence[Tensor]]) -> Metrics:
    """The means over rows of numbers, as plain numbers by name: one look at the device for all of them.

    >>> means(["a", "b"], [[torch.tensor(1.0), torch.tensor(2.0)], [torch.tensor(3.0), torch.tensor(2.0)]])
    {'a': 2.0, 'b': 2.0}
    """
    numbers = torch.stack([number for row in rows for number in row]).detach().view(-1, len(names)).mean(0).tolist()
    return dict(zip(names, numbers, strict=True))
