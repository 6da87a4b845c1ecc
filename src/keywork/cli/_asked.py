"""What the words of a command ask of an algorithm: the run's settings and its own, on top of a preset or of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, make_dataclass
from functools import partial
from typing import Annotated, Any, TypeAlias

import tyro

from keywork.cli._elsewhere import told_elsewhere
from keywork.cli._options import parse
from keywork.train import RECIPES, RunSettings, preset_of

Preset: TypeAlias = Annotated[
    bool,
    tyro.conf.arg(
        help="Begin with settings that are known to work there, mostly published ones; what else is given here counts."
    ),
]


def options_of(algorithm: str, **more: type[Any]) -> type[Any]:
    """The options of an algorithm: those of the command, if it has any, of every run, its own, and --preset."""
    groups: list[tuple[str, type[Any]]] = [*more.items(), ("run", RunSettings), (algorithm, RECIPES[algorithm].config)]
    fields = [(name, kind, field(default_factory=kind)) for name, kind in groups]
    return make_dataclass("Options", [*fields, ("preset", Preset, field(default=False))], frozen=True)


def parse_algorithm(algorithm: str, words: Sequence[str], prog: str, description: str, **more: type[Any]) -> Any | None:
    """The options that the words ask for: what they do not give comes from the preset, if they ask for that.

    Args:
        algorithm: its name.
        words: those of the command line after it.
        prog: the command.
        description: the first lines of its help.
        more: the command's own options, by the name of their group.

    Returns:
        The options, with a group each; None if the words asked for help, which has been given.

    Raises:
        UsageError: there are no such options, or there is no such preset.
    """
    kind = options_of(algorithm, **more)
    told = partial(told_elsewhere, algorithm)
    asked = parse(kind, [word for word in words if word not in ("-h", "--help")], prog, description, told=told)
    default = None
    if asked is not None and asked.preset:
        run, own = preset_of(algorithm, asked.run.env)
        default = kind(**{"run": run, algorithm: own, "preset": True})
    return parse(kind, words, prog, description, default=default)
