"""What an import brings with it: nothing optional, nothing heavy, and no change to anyone else's settings."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterable

import keywork

ROOMS = ["keywork", *(m.name for m in pkgutil.iter_modules(keywork.__path__, "keywork."))]
# What is only mathematics and contracts; specs, and what is built on them, know Gymnasium's spaces.
WITHOUT_GYMNASIUM = ["keywork", *(f"keywork.{room}" for room in ("functional", "distributions", "nets", "nn"))]
OPTIONAL = {"matplotlib", "mpmath", "onnx", "pandas", "ray", "scipy", "stable_baselines3", "tensorboard", "torchrl"}

# Prints what the imports added to sys.modules, and the settings that they changed.
PROBE = """
import json, logging, os, signal, sys, warnings
import numpy, rich, tensordict, torch, torch.distributions

def settings():
    return {
        "validation of distributions": torch.distributions.Distribution._validate_args,
        "dtype": str(torch.get_default_dtype()),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "gradients": torch.is_grad_enabled(),
        "determinism": [torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark],
        "precision": torch.get_float32_matmul_precision(),
        "random state": [torch.get_rng_state().sum().item(), str(numpy.random.get_state())],
        "numpy errors": numpy.geterr(),
        "warnings": [str(entry) for entry in warnings.filters],
        "logging": [logging.root.level, len(logging.root.handlers)],
        "environment": dict(os.environ),
        "signals": [str(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM)],
        "hooks": [sys.excepthook.__module__, sys.displayhook.__module__],
    }

others, rooms = (names.split() for names in sys.argv[1:])
for name in others:
    __import__(name)
modules, before = set(sys.modules), settings()
for name in rooms:
    __import__(name)
after = settings()
changed = [name for name in before if before[name] != after[name]]
print(json.dumps([sorted(set(sys.modules) - modules), changed]))
"""


def probe(rooms: Iterable[str], after: str = "") -> tuple[set[str], list[str]]:
    """The modules that the rooms add, and the settings that they change, after the imports of others."""
    command = [sys.executable, "-c", PROBE, after, " ".join(rooms)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    added, changed = json.loads(done.stdout)
    return set(added), changed


def test_all_rooms_together_bring_nothing_optional_and_change_nothing() -> None:
    added, changed = probe(ROOMS, after="gymnasium")
    tops = {name.partition(".")[0] for name in added}
    assert "keywork" in tops
    assert not tops & OPTIONAL
    assert not {name for name in added if name.startswith(("torch._dynamo", "torch._inductor"))}
    assert changed == []


def test_mathematics_and_contracts_do_not_bring_gymnasium() -> None:
    added, _ = probe(room for room in WITHOUT_GYMNASIUM if room in ROOMS)
    assert "keywork" in added
    assert "gymnasium" not in added


def test_a_changed_setting_is_seen(tmp_path, monkeypatch) -> None:
    rude = "import torch\ntorch.set_default_dtype(torch.float64)\ntorch.manual_seed(1)\n"
    (tmp_path / "rude.py").write_text(rude, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert probe(["rude"]) == ({"rude"}, ["dtype", "random state"])
