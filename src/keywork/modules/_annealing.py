"""A number that goes down in a straight line while frames are collected."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from keywork._errors import UsageError
from keywork.modules._refusal import refusal


class Annealing(nn.Module):
    """v(t) = max(end, init − t · (init − end) / N) after t frames.

    Any number of frames costs the same, and rounding does not pile up: v is computed from t, not from the v before.
    Both are buffers, so that they are saved with the module, go to its device, and a resumed run goes on where it was.

    Args:
        owner: whose number it is, for the messages.
        name: what the number is called: ``"eps"`` is given as ``eps_init`` and ``eps_end``.
        init: the number at the start.
        end: the number from frame N on; not above ``init``.
        num_steps: N.
        most: the greatest value that ``init`` may have.

    Raises:
        UsageError: a number is negative, not finite or above ``most``, ``end`` is above ``init``, or N is not positive.

    >>> eps = Annealing("EGreedyModule", "eps", 1.0, 0.5, 10)
    >>> eps.step(4)
    >>> eps.value, eps.frames
    (tensor(0.8000), tensor(4))
    """

    value: Tensor
    frames: Tensor

    def __init__(
        self, owner: str, name: str, init: float, end: float, num_steps: float, *, most: float = math.inf
    ) -> None:
        super().__init__()
        span = "a finite number, not below 0" if most == math.inf else f"a number from 0 to {most:g}"
        for argument, number in ((f"{name}_init", init), (f"{name}_end", end)):
            if not (0.0 <= number <= most and math.isfinite(number)):
                raise _refused(owner, f"{argument} is out of range", argument, span, number, f"{argument}=1.0")
        if end > init:
            problem = f"{name} goes down, and {name}_end lies above {name}_init"
            fix = f"{name}_end={init}, which keeps {name} as it is, or less"
            raise _refused(owner, problem, f"{name}_end", f"at most {name}_init, {init}", end, fix)
        if not num_steps > 0:
            where, fix = "annealing_num_steps", f"annealing_num_steps=1; {name}_init={end} for no annealing"
            raise _refused(
                owner, f"{name} needs frames to go down", where, "a positive number of frames", num_steps, fix
            )
        self.init, self.end, self.num_steps = float(init), float(end), num_steps
        self.register_buffer("value", torch.tensor(self.init))
        self.register_buffer("frames", torch.tensor(0))

    @torch.no_grad()
    def step(self, frames: int = 1) -> None:
        """Count frames.

        Raises:
            UsageError: a negative number of frames.
        """
        if frames < 0:
            raise refusal(
                UsageError,
                "Exploration cannot be annealed: frames are not taken back.",
                where="step(frames)",
                expected="a number of frames, not below 0",
                got=repr(frames),
                fix="step(frames_per_batch) after each batch; load_state_dict goes back to a saved state",
            )
        self.frames += frames
        # From the end, which is met exactly. On the device: asking for the number of frames would make a GPU wait.
        left = (1.0 - self.frames / self.num_steps).clamp_min(0.0)
        self.value.copy_(self.end + (self.init - self.end) * left)

    def extra_repr(self) -> str:
        """The line, for the repr."""
        return f"{self.init} -> {self.end} in {self.num_steps} frames"


def _refused(owner: str, problem: str, where: str, expected: str, got: object, fix: str) -> UsageError:
    what = f"{owner} cannot be built: {problem}."
    return refusal(UsageError, what, where=where, expected=expected, got=repr(got), fix=fix)
