"""Prioritised replay: rows with large errors come more often, and count for less each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from keywork._errors import NonFiniteError, UsageError, refusal
from keywork._keys import INDEX, PRIORITY_WEIGHT, Key
from keywork.buffers._ring import Ring
from keywork.buffers._sampler import Draw, Sampler
from keywork.buffers._storage import Storage
from keywork.buffers._sum_tree import SumTree
from keywork.specs import Bounded, TensorSpec, Unbounded

_MOST = 1e100  # the sum of all weights stays a finite number


@final
class PrioritizedSampler(Sampler):
    """P(i) = (pᵢ + ε)ᵅ / Σⱼ (pⱼ + ε)ᵅ,  wᵢ = (P(i) / minⱼ P(j))⁻ᵝ   (Schaul et al. 2016, arXiv 1511.05952).

    A new row gets the largest priority that there has been, so that it is learnt from soon. Draws are independent of
    one another. The largest weight of a batch is one (the minimum goes over the batch), so that weights only scale
    steps down.

    Every batch holds ``"index"`` [B], which rows they are, for ``update_priority``, and ``"priority_weight"`` [B], by
    which each row's loss is to be multiplied.

    Args:
        alpha: α in [0, 1], how much priorities count; with 0 all rows are alike.
        beta: β in [0, 1], how much of that the weights undo; or two such numbers, between which it goes in a straight
            line while the buffer is given ``beta_frames`` steps.
        beta_frames: over how many steps, if beta is two numbers.
        eps: ε > 0, what keeps rows of priority zero from never coming again.

    Attributes:
        beta: the β of the next batch.

    Raises:
        UsageError: a number is out of range, or only one of two betas and beta_frames is given.

    >>> from keywork.buffers import ReplayBuffer
    >>> from tensordict import TensorDict
    >>> buffer = ReplayBuffer(100, sampler=PrioritizedSampler(alpha=1.0), seed=0)
    >>> buffer.extend(TensorDict(reward=torch.zeros(4, 1), batch_size=[4]))
    >>> buffer.update_priority(torch.arange(4), torch.tensor([0.0, 0.0, 1.0, 3.0]))
    >>> buffer.sample(1000)["index"].unique().tolist()
    [2, 3]
    >>> sampler = PrioritizedSampler(beta=(0.4, 1.0), beta_frames=60)
    >>> ReplayBuffer(100, sampler=sampler).extend(TensorDict(reward=torch.zeros(20, 1), batch_size=[20]))
    >>> round(sampler.beta, 3)
    0.6
    """

    writes: tuple[Key, ...] = (INDEX, PRIORITY_WEIGHT)

    def __init__(
        self,
        *,
        alpha: float = 0.6,
        beta: float | tuple[float, float] = 0.4,
        beta_frames: int | None = None,
        eps: float = 1e-8,
    ) -> None:
        first, last = beta if isinstance(beta, tuple) else (beta, beta)
        for name, value, low, high in (
            ("alpha", alpha, 0.0, 1.0),
            ("beta", first, 0.0, 1.0),
            ("beta", last, 0.0, 1.0),
            ("eps", eps, 1e-12, 1.0),
        ):
            if not low <= value <= high:
                raise refusal(
                    UsageError,
                    f"PrioritizedSampler cannot be built: {name} is out of range.",
                    where=name,
                    expected=f"a number from {low:g} to {high:g}",
                    got=repr(value),
                    fix=f"{name}={min(max(value, low), high):g}" if value == value else f"{name}=...",
                )
        if isinstance(beta, tuple) != (beta_frames is not None) or (beta_frames is not None and beta_frames < 1):
            raise refusal(
                UsageError,
                "PrioritizedSampler cannot tell over how many steps beta goes from one number to another.",
                where="beta_frames",
                expected="two numbers and a number of steps of at least 1, or one number",
                got=f"beta={beta!r}, beta_frames={beta_frames!r}",
                fix="PrioritizedSampler(beta=(0.4, 1.0), beta_frames=1_000_000), or beta=0.4 for one that stays",
            )
        self.alpha, self.beta, self.eps = float(alpha), float(first), float(eps)
        self._first, self._last, self._beta_frames = float(first), float(last), beta_frames
        self._seen, self._largest = 0, 1.0

    @property
    def write_specs(self) -> dict[Key, TensorSpec]:
        """Of both, without batch dimensions."""
        return {INDEX: Unbounded((), torch.int64), PRIORITY_WEIGHT: Bounded(0.0, 1.0, ())}

    def begin(self, ring: Ring, storage: Storage) -> None:
        super().begin(ring, storage)
        self._tree = SumTree(ring.steps * ring.num_envs)  # there is one as soon as there is a ring

    def added(self, pieces: Sequence[tuple[int, int, int]]) -> None:
        """New rows get the largest priority."""
        weight, num_envs = (self._largest + self.eps) ** self.alpha, self.ring.num_envs
        for start, stop, _ in pieces:
            self._tree.fill(start * num_envs, stop * num_envs, weight)
            self._seen += (stop - start) * num_envs
            if self._valid is not None:
                none = (~self.valid(torch.arange(start * num_envs, stop * num_envs))).nonzero().view(-1)
                self._tree.set(none + start * num_envs, torch.zeros(none.numel(), dtype=torch.float64))
        if self._beta_frames is not None:
            self.beta = self._first + (self._last - self._first) * min(1.0, self._seen / self._beta_frames)

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        if self._valid is not None and not self._tree.total:
            self.valid_rows()  # says that there is none
        index, mass = self._tree.find(torch.rand(size, generator=generator, dtype=torch.float64))
        weight = mass.div_(mass.min()).pow_(-self.beta).float()
        return Draw(index, {INDEX: index, PRIORITY_WEIGHT: weight})

    def update_priority(self, index: Tensor, priority: Tensor) -> None:
        """Set the priorities of rows, usually the absolute errors of the batch that was just learnt from.

        Args:
            index: ``batch["index"]``, [B].
            priority: one finite number >= 0 each, [B] or [B, 1].

        Raises:
            NonFiniteError: a priority is no finite number.
            UsageError: a priority is negative or above 1e100; there is another number of them than of rows; or the
                buffer holds no such row.
        """
        index = index.detach().to("cpu").reshape(-1)
        priority = priority.detach().to("cpu", torch.float64).reshape(-1)
        self._largest = max(self._largest, self._check(index, priority))
        weight = (priority + self.eps).pow_(self.alpha)
        self._tree.set(index, weight if self._valid is None else weight.mul_(self.valid(index)))

    def _check(self, index: Tensor, priority: Tensor) -> float:
        """The largest of these priorities."""
        if index.dtype != torch.int64 or index.shape != priority.shape:
            raise UsageError(
                f"update_priority got {priority.numel()} priorities for {index.numel()} rows of {index.dtype}: type "
                'update_priority(batch["index"], error.abs()), one number for each row of the batch.'
            )
        if not index.numel():
            return 0.0
        (low, high), rows = _range(index), self.ring.rows
        if low < 0 or high >= rows:
            raise UsageError(
                f"update_priority got the index {low if low < 0 else high}, and the buffer holds the rows 0 to "
                f'{rows - 1}: type update_priority(batch["index"], ...) with a batch of this buffer.'
            )
        low, high = _range(priority)
        if not (low >= 0 and high <= _MOST):  # of NaN neither is true
            bad = int((~((priority >= 0) & (priority <= _MOST))).nonzero()[0])
            value = float(priority[bad])
            kind: type[NonFiniteError | UsageError] = UsageError if abs(value) < torch.inf else NonFiniteError
            raise refusal(
                kind,
                "update_priority cannot store a priority: it would ruin all later draws.",
                where=f"priority[{bad}], of row {int(index[bad])}",
                expected="a finite number from 0 to 1e+100",
                got=repr(value),
                fix="error.abs()" if value < 0 else "find out why the loss is not finite before it is learnt from",
            )
        return float(high)

    def state_dict(self) -> dict[str, Any]:
        """The weights of all rows, the largest priority so far, β, and the steps given."""
        weights = self._tree.weights[: self.ring.rows].clone()
        return {"weights": weights, "largest": self._largest, "beta": self.beta, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        weights = state["weights"]
        self._tree.set(torch.arange(weights.numel()), weights)
        self._largest, self.beta, self._seen = float(state["largest"]), float(state["beta"]), int(state["seen"])


def _range(values: Tensor) -> tuple[Any, Any]:
    low, high = values.aminmax()
    return low.item(), high.item()
