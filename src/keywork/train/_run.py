"""A run's folder: what is in it, and how it is made and read."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from itertools import chain, count
from math import isfinite
from pathlib import Path
from typing import Any

from torch import Tensor

from keywork._errors import RunError
from keywork.train._algorithm import Metrics
from keywork.train._files import Lines, read_json, read_tensors, save_json, save_tensors, save_text, unreadable
from keywork.train._settings import RunSettings

_FORMAT = 1


class Run:
    """The folder of one run.

    ============================  ====================================================================
    ``config.json``               what was asked for, and the versions that did it
    ``metrics.jsonl``             one row of numbers for each update, and one for the final evaluation
    ``policy.safetensors``        the policy's weights
    ``evaluation.json``           the returns and lengths of the final evaluation's episodes
    ``flow.svg``, ``curves.svg``  the pipeline, and how training went
    ``report.html``               all of it on one page
    ============================  ====================================================================

    Args:
        path: the folder, which exists.

    Raises:
        RunError: there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if not os.path.isdir(path):  # Path.is_dir raises where a name is too long or a folder closed to us
            raise RunError(f"There is no run {str(path)!r}. Name the folder of a run: keywork eval runs/<name>.")
        self.path = path
        self._metrics: Lines | None = None

    @classmethod
    def create(cls, settings: RunSettings, algorithm: str, config: Mapping[str, Any]) -> Run:
        """Make the folder, and write down what was asked for.

        Raises:
            RunError: there is one of this name already, or it cannot be made.
        """
        path = settings.runs / (settings.name or _free_name(settings, algorithm))
        try:
            path.mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            fix = "None is overwritten: give another --name."
            raise RunError(f"There is a run {str(path)!r} already. {fix}") from None
        except OSError as error:
            fix = "Give another --name, or name another place: --runs DIR."
            raise RunError(f"The folder {str(path)!r} cannot be made: {error.strerror}. {fix}") from error
        run = cls(path)
        save_json(path / "config.json", {"format": _FORMAT, "algorithm": algorithm, **config, "versions": versions()})
        run._metrics = Lines(path / "metrics.jsonl")
        return run

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def on_metrics(self, metrics: Metrics) -> None:
        """Append a row to ``metrics.jsonl``."""
        if self._metrics is None:
            raise RunError(f"The run {str(self.path)!r} is finished: its metrics are not added to.")
        # JSON has no NaN: what is undefined, as the variance explained of returns that are all the same, is left out.
        self._metrics.add(json.dumps({name: value for name, value in metrics.items() if isfinite(value)}))

    def rows(self) -> list[Metrics]:
        """The rows of ``metrics.jsonl``, less a last one that was cut off.

        Raises:
            RunError: it is missing, or damaged elsewhere.
        """
        path = self.path / "metrics.jsonl"
        try:
            *lines, _ = path.read_bytes().split(b"\n")
        except OSError as error:
            raise unreadable(path, error) from error
        rows = []
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"no object but {row!r}")
            except (ValueError, RecursionError) as error:
                raise RunError(f"{path} is damaged in line {number}: {error}. Train anew, or mend the line.") from error
            rows.append(row)
        return rows

    def config(self) -> dict[str, Any]:
        """What ``config.json`` holds.

        Raises:
            RunError: it is missing, damaged, or of another format.
        """
        config = read_json(self.path / "config.json")
        if config.get("format") != _FORMAT:
            has = f"has the format {config.get('format')!r}, and this version of keywork reads {_FORMAT}"
            raise RunError(f"{self.path / 'config.json'} {has}: use the version that wrote it.")
        return config

    def save_policy(self, tensors: Mapping[str, Tensor]) -> None:
        """Write ``policy.safetensors``."""
        save_tensors(self.path / "policy.safetensors", tensors)

    def policy(self) -> dict[str, Tensor]:
        """What ``policy.safetensors`` holds."""
        return read_tensors(self.path / "policy.safetensors")

    def write(self, name: str, content: str | Mapping[str, Any]) -> None:
        """Write a text or JSON file of the folder, whole or not at all."""
        if isinstance(content, str):
            save_text(self.path / name, content)
        else:
            save_json(self.path / name, content)

    def close(self) -> None:
        """Close ``metrics.jsonl``; a second call does nothing."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    packages = {name: metadata.version(name) for name in ("keywork", "torch", "tensordict", "gymnasium", "numpy")}
    return {"python": platform.python_version(), **packages}


def _free_name(settings: RunSettings, algorithm: str) -> str:
    """A name of what is run and when; with a number where a second run began in the same second."""
    env = settings.env.replace("/", "-").replace(":", "-")
    name = f"{algorithm}-{env}-seed{settings.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(name for name in names if not os.path.exists(settings.runs / name))
