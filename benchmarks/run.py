"""Measure keywork's speed beside code written by hand and beside its peers, and print Markdown tables."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib import import_module, metadata

import torch

# name -> the module beside this file and the function in it; a peer that is not installed is left out of the tables.
BENCHMARKS = {
    "heart": "heart",
    "compiled": "heart",
    "distributions": "distributions",
    "operators": "operators",
    "recurrent": "recurrent",
    "flow": "flow",
    "collect": "collect",
    "buffers": "buffers",
    "ppo": "ppo",
    "updates": "updates",
    "native": "native",
}
PACKAGES = ("keywork", "torch", "tensordict", "torchrl", "stable_baselines3", "gymnasium", "numpy", "pandas")


def main() -> None:
    """Run all benchmarks, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, help="run this one alone")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: rough numbers, to try a change")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{_versions()}.\nOne torch thread, {os.cpu_count()} {platform.machine()} cores.\n")
    for name, module in BENCHMARKS.items():
        if arguments.only in (None, name):
            began = time.perf_counter()
            benchmark: Callable[..., Iterator[str]] = getattr(import_module(module), name)
            print(f"## {name}\n")
            for text in benchmark(quick=arguments.quick):
                print(text, flush=True)
            print(f"({time.perf_counter() - began:.0f} s)\n")


def _versions() -> str:
    found = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


if __name__ == "__main__":
    main()
