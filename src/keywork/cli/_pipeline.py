"""What `keywork graph` and `keywork check` are asked about: an algorithm on an environment, or the user's own code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, make_dataclass
from typing import Any

from torch import nn

from keywork._errors import UsageError
from keywork.cli._asked import parse_algorithm
from keywork.cli._options import parse
from keywork.cli._place import Place
from keywork.cli._user_code import UserCode
from keywork.flow import Flow
from keywork.train import RECIPES, RunSettings, Trainer, flow_of


@dataclass(frozen=True)
class CodeOptions:
    """How the user's own code is run."""

    traceback: bool = False
    """Show the whole traceback of what it raises."""


class BuiltIn:
    """An algorithm of the library on an environment.

    Args:
        algorithm: its name.
        settings: of the run that would train it.
        config: its own settings.
    """

    def __init__(self, algorithm: str, settings: RunSettings, config: Any) -> None:
        self._asked = algorithm, settings, config
        self.name = f"{algorithm} on {settings.env}"

    def flow(self, *, check: bool) -> Flow:
        """Its pipeline, which is always checked."""
        return flow_of(*self._asked)

    def place_of(self, error: BaseException) -> Place | None:
        """No line of the user's has to do with it."""
        return None


class Own:
    """A pipeline that a function of the user's builds.

    Args:
        code: where it is.
    """

    def __init__(self, code: UserCode) -> None:
        self._code = code
        self.name = code.name
        self.place_of = code.place_of

    def flow(self, *, check: bool) -> Flow:
        """The flow of whatever it gives; with ``check=False`` one with findings is returned too.

        What the code prints goes to stderr, so that a picture or JSON on stdout stays whole.

        Raises:
            ContractError: it has findings.
            UsageError: it cannot be called, or gives no pipeline.
        """
        with redirect_stdout(sys.stderr):
            return self._flow_of(self._code.get(), check=check)

    def _flow_of(self, thing: Any, *, check: bool) -> Flow:
        if isinstance(thing, Trainer):
            thing = thing.algorithm
        flow = getattr(thing, "flow", thing)
        if isinstance(flow, Flow):
            return flow
        if isinstance(thing, list | tuple):
            return Flow(*thing, check=check)
        if isinstance(thing, nn.Module) and hasattr(thing, "in_keys") and hasattr(thing, "out_keys"):
            return Flow(thing, check=check)
        raise UsageError(
            f"{self.name} gives {type(thing).__name__}, which is no pipeline. Return its parts, such as "
            "return env, actor, loss; or a Flow, a key module, or something that has a flow, such as PPO(env)."
        )


def asked_for(command: str, kind: type[Any], target: str, words: Sequence[str]) -> tuple[BuiltIn | Own, Any] | None:
    """The pipeline that a command names, and the command's own options; None if its help was asked for.

    Args:
        command: its name.
        kind: its own options, a dataclass. Those of `keywork train` are added for an algorithm.
        target: an algorithm, or code such as ``my_file.py:build``.
        words: those of the command line after it.

    Raises:
        UsageError: there are no such options.
    """
    description, prog = (kind.__doc__ or "").partition("\n")[0], f"keywork {command} {target}"
    if target in RECIPES:
        options = parse_algorithm(target, words, prog, description, **{command: kind})
    else:
        both = make_dataclass("Options", [(command, kind), ("code", CodeOptions)], frozen=True)
        options = parse(both, words, prog, description)
    if options is None:
        return None
    if target in RECIPES:
        source: BuiltIn | Own = BuiltIn(target, options.run, getattr(options, target))
    else:
        source = Own(UserCode(target, whole=options.code.traceback))
    return source, getattr(options, command)
