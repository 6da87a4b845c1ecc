"""Where networks are and learn: from the name of a device to the device, if there is one."""

from __future__ import annotations

import re

import torch

from keywork._errors import UsageError, refusal

AUTO = "auto"


def device_of(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: ``"cpu"``; ``"cuda"`` or ``"cuda:1"``; or ``"auto"`` for the first GPU, and the CPU where there is none.

    Raises:
        UsageError: there is no such device here.

    >>> device_of("cpu")
    device(type='cpu')
    """
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    there = ["cpu", *(["cuda"] if gpus else []), *gpus]
    if name == AUTO:
        return torch.device(there[-1 if not gpus else 2])
    if name in there:
        return torch.device(name)
    known = re.fullmatch(r"cuda(:\d+)?", name) is not None
    raise refusal(
        UsageError,
        f"Nothing can be computed on {name!r}: {'it is not here' if known else 'that is no device'}.",
        where="--device",
        expected="auto, cpu, cuda, or cuda:N for the GPU of number N",
        got=f"{', '.join(there)} on this machine{'' if gpus else ', where torch finds no GPU'}",
        fix="--device auto, which takes a GPU where there is one",
    )
