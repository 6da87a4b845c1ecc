"""How much memory is free, to say that something will not fit before it is allocated."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from keywork._errors import UsageError, refusal

_LOG = logging.getLogger("keywork")
_MEMINFO = Path("/proc/meminfo")
# The limit of a container, and what it uses: of the second and of the first version of control groups.
_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def require_memory(count: int, row_bytes: int, device: torch.device, what: str = "rows") -> None:
    """Say how much memory is about to be allocated.

    Raises:
        UsageError: there is not enough.
    """
    size = f"{count:,} {what} of {row_bytes:,} bytes, {count * row_bytes:,} bytes in all, on {device}"
    free = free_memory(device)
    if free is not None and count * row_bytes > free:
        raise refusal(
            UsageError,
            "ReplayBuffer cannot be allocated: there is not enough memory.",
            where=f"capacity={count}",
            expected=size,
            got=f"{free:,} bytes are free",
            fix=f"capacity={int(0.8 * free) // row_bytes} or less, or store less with keys=[...]",
        )
    _LOG.info("ReplayBuffer: %s.", size)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on a device; None where there is no way to know."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    known = [limit for limit in (_available(), *map(_left, *zip(*_LIMITS, strict=True))) if limit is not None]
    return min(known, default=None)


def _available() -> int | None:
    if not _MEMINFO.is_file():
        return None
    lines = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines() if ":" in line)
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None


def _left(limit: Path, used: Path) -> int | None:
    if not (limit.is_file() and used.is_file()):
        return None
    most = limit.read_text(encoding="ascii").strip()
    return int(most) - int(used.read_text(encoding="ascii")) if most.isdigit() else None
