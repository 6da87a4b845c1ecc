"""Train every entry of docs/results.md again, and write the page: ``make results``.

Each row is one command of the command line, run for several seeds in a process of its own, two at a time, with one
thread each. ``python benchmarks/results.py --quick`` tries it out without touching the page.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"


@dataclass(frozen=True)
class Entry:
    """One row of results: a command, how many seeds, and what it is to reach."""

    title: str
    command: str
    seeds: int
    goal: float
    published: str


ENTRIES = [
    Entry(
        "PPO on CartPole-v1",
        "keywork train ppo --env CartPole-v1",
        seeds=10,
        goal=475.0,
        published="500.0 +/- 0.0, one seed (RL Zoo, PPO, 100,000 steps)",
    ),
    Entry(
        "PPO on Pendulum-v1",
        "keywork train ppo --env Pendulum-v1 --num-envs 4 --num-steps 1024 --num-epochs 10 --minibatch-size 64 "
        "--gamma 0.9 --gae-lambda 0.95 --total-steps 200000",
        seeds=5,
        goal=-300.0,
        published="-172.2 +/- 104.2, one seed (RL Zoo, PPO with gSDE, 100,000 steps)",
    ),
]


@dataclass(frozen=True)
class Result:
    """How one seed did."""

    seed: int
    steps: int
    mean: float
    std: float
    seconds: float


def run(entry: Entry, seed: int, extra: list[str]) -> Result:
    """One seed of one entry, by the command line."""
    with tempfile.TemporaryDirectory() as folder:
        words = shlex.split(entry.command)[1:]
        options = ["--seed", str(seed), "--name", "run", "--runs", folder, *extra]
        command = [str(Path(sys.executable).with_name("keywork")), *words, *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        rows = [json.loads(line) for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()]
    last = rows[-1]
    seconds = max(row.get("time", 0.0) for row in rows)
    return Result(seed, int(last["step"]), last["eval/return_mean"], last["eval/return_std"], seconds)


def section(entry: Entry, results: list[Result]) -> str:
    """One entry of the page."""
    means = np.array([result.mean for result in results])
    reached = int((means >= entry.goal).sum())
    rows = "\n".join(f"| {r.seed} | {r.steps:,} | {r.mean:.1f} | {r.std:.1f} | {r.seconds:.0f} |" for r in results)
    return f"""## {entry.title}

<!-- test: skip: trains for minutes; make results runs it -->
```sh
{entry.command} --seed N
```

{reached} of {len(results)} seeds reach {entry.goal:g}. Over the seeds: mean {means.mean():.1f}, standard deviation
{means.std():.1f}, from {means.min():.1f} to {means.max():.1f}. Published: {entry.published}.

| seed | steps | mean return of 100 episodes | standard deviation | seconds of training |
| --- | --- | --- | --- | --- |
{rows}
"""


def main() -> None:
    """Run all entries and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny runs of two seeds; prints the page instead")
    options = parser.parse_args()
    extra = ["--total-steps", "8192", "--eval-episodes", "10"] if options.quick else []
    sections = []
    for entry in ENTRIES:
        with ThreadPoolExecutor(2) as pool:
            seeds = range(2 if options.quick else entry.seeds)
            sections.append(section(entry, list(pool.map(lambda seed, entry=entry: run(entry, seed, extra), seeds))))
        print(sections[-1])
    used = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "tensordict", "gymnasium", "numpy"))
    head = (
        "# Results\n\nMade by `make results`: every row is the final evaluation of one run, 100 episodes without "
        "exploration. Two runs at a time on a 2-core x86-64 machine without a GPU, one thread each.\n"
        f"Versions: {used}.\n"
    )
    if not options.quick:
        PAGE.write_text("\n".join([head, *sections]), encoding="utf-8")


if __name__ == "__main__":
    main()
