"""What a training run is asked to do, apart from its algorithm's own settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from keywork._errors import RunError, UsageError

T = TypeVar("T")

_MOST_THREADS = 512  # torch crashes where the system has no more to give


@dataclass(frozen=True)
class RunSettings:
    """Where to learn, for how long, and where the results go."""

    env: str = "CartPole-v1"
    """A Gymnasium id."""
    total_steps: int = 100_000
    """Environment steps to learn from, of all environments together; rounded up to whole updates."""
    num_envs: int = 8
    """Environments that are stepped together."""
    workers: Literal["sync", "process", "vector"] = "sync"
    """Where they run: in this process, in processes of their own, or in the environment's own vectorised form."""
    seed: int = 0
    """The one number that everything random follows from."""
    eval_episodes: int = 100
    """Episodes of the evaluation at the end, played without exploration; 0 for none."""
    name: str = ""
    """The run's name, the folder below --runs; made up from algorithm, environment, seed and time if left out."""
    runs: Path = Path("runs")
    """Where the folders of runs are."""
    threads: int = 1
    """Threads of one operation; small networks are fastest with one."""
    device: str = "cpu"
    """Where networks are and learn: cpu, cuda, cuda:N, or auto for a GPU if there is one."""
    compile: bool = False
    """Compile the loss, which takes up to a minute at the beginning; what comes after it is faster."""

    def __post_init__(self) -> None:
        for name, least in (("total_steps", 1), ("num_envs", 1), ("seed", 0), ("eval_episodes", 0), ("threads", 1)):
            if getattr(self, name) < least:
                option = f"--{name.replace('_', '-')} {getattr(RunSettings, name)}"
                raise UsageError(f"{name} is {getattr(self, name)}: it has to be {least} or more, such as {option}.")
        if self.threads > _MOST_THREADS:
            raise UsageError(f"threads is {self.threads}: it has to be {_MOST_THREADS} or less, such as --threads 1.")
        plain = Path(self.name).name == self.name and not self.name.startswith(".") and self.name.isprintable()
        if not plain:
            raise UsageError(f"--name {self.name!r} is no name of a folder: use letters, digits, '-' and '_'.")


def to_plain(config: Any) -> dict[str, Any]:
    """A config dataclass as what JSON can hold."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()}


def from_plain(kind: type[T], plain: Any, where: str) -> T:
    """A config dataclass from what JSON held.

    Raises:
        RunError: fields are missing or unknown, or have values of another type than the defaults.
    """
    known = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(plain, dict) or set(plain) != set(known):
        differing = sorted(set(plain) ^ set(known)) if isinstance(plain, dict) else [type(plain).__name__]
        raise RunError(f"{where} was written by another version, or by hand: it differs in {', '.join(differing)}.")
    values = {}
    for name, value in plain.items():
        default: Any = known[name]
        made = tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value
        made = Path(made) if isinstance(default, Path) and isinstance(made, str) else made
        made = float(made) if isinstance(default, float) and type(made) is int else made
        if not _alike(made, default):
            raise RunError(f"{where} says {name}={value!r}, which is no {type(default).__name__} such as {default!r}.")
        values[name] = made
    try:
        return kind(**values)
    except UsageError as error:
        raise RunError(f"{where} asks for what cannot be: {error}") from error


def _alike(value: Any, default: Any) -> bool:
    """Whether a value has the type of the default, and its elements that of the default's first."""
    if isinstance(default, Path):
        return isinstance(value, Path)
    elements = isinstance(default, tuple) and isinstance(value, tuple) and default
    return type(value) is type(default) and (not elements or all(_alike(each, default[0]) for each in value))
