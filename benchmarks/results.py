"""Train the rows of docs/results.md again, and write the page: ``make results``.

Each row is one command of the command line, run for several seeds in a process of its own, two at a time, with one
thread each. What every run gave is kept in docs/results.json, from which the page is written: ``--only TEXT`` trains
the rows whose names contain it, and leaves the others as they are. ``--quick`` tries all out without touching either.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from _entries import ENTRIES, Entry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
KEPT = ROOT / "docs" / "results.json"
VERSIONS = ("torch", "tensordict", "gymnasium", "numpy", "mujoco")


@dataclass(frozen=True)
class Result:
    """How one seed did."""

    seed: int
    steps: int
    episodes: int
    mean: float
    std: float
    seconds: float


def run(entry: Entry, seed: int, extra: list[str]) -> Result:
    """One seed of one entry, by the command line."""
    with tempfile.TemporaryDirectory() as folder:
        words = shlex.split(entry.command.removeprefix("PYTHONPATH=benchmarks "))[1:]
        options = ["--seed", str(seed), "--name", "run", "--runs", folder, *extra]
        command = [str(Path(sys.executable).with_name("keywork")), *words, *options]
        path = os.pathsep.join([str(ROOT / "benchmarks"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        quiet = {"stdout": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path}, **quiet)
        rows = [json.loads(line) for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()]
    last = rows[-1]
    seconds = max(row.get("time", 0.0) for row in rows)
    episodes = int(last.get("eval/episodes", 0))
    return Result(seed, int(last["step"]), episodes, last["eval/return_mean"], last["eval/return_std"], seconds)


def line(entry: Entry, kept: dict[str, object]) -> str:
    """The entry's line of the table at the top."""
    means = np.array([result["mean"] for result in kept["seeds"]])
    seconds = np.median([result["seconds"] for result in kept["seeds"]])
    steps = kept["seeds"][0]["steps"]
    verdict = "yes" if means.mean() >= entry.goal else f"no, {entry.missed}" if entry.missed else "**no**"
    ours = f"{means.mean():.1f} ± {means.std():.1f}" if len(means) > 1 else f"{means.mean():.1f}"
    return f"| {entry.name} | {steps:,} | {len(means)} | {ours} | {entry.theirs} | {verdict} | {seconds:.0f} |"


def section(entry: Entry, kept: dict[str, object]) -> str:
    """One entry of the page."""
    rows = "\n".join(
        f"| {r['seed']} | {r['steps']:,} | {r['mean']:.1f} | {r['std']:.1f} | {r['seconds']:.0f} |"
        for r in kept["seeds"]
    )
    note = f"\n{entry.note}\n" if entry.note else ""
    return f"""## {entry.name}

<!-- test: skip: trains for minutes; make results runs it -->
```sh
{kept["command"]} --seed N
```

Published: {entry.theirs} ({entry.source}).
Trained {kept["date"]} with {kept["versions"]}.
{note}
| seed | steps | mean return | standard deviation over episodes | seconds of training |
| --- | --- | --- | --- | --- |
{rows}
"""


def page(kept: dict[str, dict[str, object]]) -> str:
    """The whole page."""
    there = [entry for entry in ENTRIES if entry.name in kept]
    missing = [entry.name for entry in ENTRIES if entry.name not in kept]
    head = """# Results

Made by `make results`: every run is one command, and its figure the mean return of the episodes after training (100,
or 20 of the long ones), played without exploration. On a 2-core x86-64 machine without a GPU, one thread each; the
seconds of training are of a machine with other work, up to ten times those of a quiet one. "±" is the standard
deviation over the seeds; of the published figures it is the one over episodes (RL Zoo, which has one run) or over
seeds (CleanRL). A row is met where the mean reaches the published mean less one deviation.

| algorithm and environment | steps | seeds | mean return | published | met | seconds |
| --- | --- | --- | --- | --- | --- | --- |
"""
    lines = "\n".join(line(entry, kept[entry.name]) for entry in there)
    absent = f"\n\nNot trained yet: {', '.join(missing)}." if missing else ""
    return "\n".join([head + lines + absent + "\n", *(section(entry, kept[entry.name]) for entry in there)])


def train(entry: Entry, quick: bool, jobs: int) -> dict[str, object]:
    """All seeds of an entry."""
    extra = ["--total-steps", "8192", "--eval-episodes", "10"] if quick else []
    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda seed: run(entry, seed, extra), range(2 if quick else entry.seeds)))
    used = ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS)
    return {
        "command": entry.command,
        "date": time.strftime("%Y-%m-%d"),
        "versions": used,
        "seeds": [asdict(result) for result in results],
    }


def main() -> None:
    """Run the entries and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny runs of two seeds; prints the page instead")
    parser.add_argument("--only", nargs="*", default=[""], help="train the rows whose names contain one of these")
    parser.add_argument("--missing", action="store_true", help="train the rows that are not there yet")
    parser.add_argument("--page", action="store_true", help="train nothing: write the page anew")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    options = parser.parse_args()
    kept = {} if options.quick or not KEPT.exists() else json.loads(KEPT.read_text(encoding="utf-8"))
    for entry in [] if options.page else ENTRIES:
        asked = any(text in entry.name for text in options.only)
        if not asked or (options.missing and entry.name in kept):
            continue
        trained = train(entry, options.quick, options.jobs)
        if not options.quick:  # another process may have added rows meanwhile
            kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
        kept[entry.name] = trained
        print(line(entry, trained), flush=True)
        if not options.quick:
            KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if options.quick:
        print(page(kept))
    else:
        PAGE.write_text(page(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
