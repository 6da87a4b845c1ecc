"""The replay buffer: experience in, batches out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from tensordict import TensorDict

from keywork._errors import SpecError, UsageError, refusal
from keywork._keys import DISCOUNT, NEXT, Key, as_keys, listed, next_key
from keywork.buffers._layout import fields_of
from keywork.buffers._n_step import NStep
from keywork.buffers._reader import Reader, kept, leaves
from keywork.buffers._ring import Ring
from keywork.buffers._sampler import RandomSampler, Sampler
from keywork.buffers._slices import SliceSampler
from keywork.buffers._storage import Plan, Storage
from keywork.specs import Bounded, Composite, TensorSpec


class ReplayBuffer:
    """The last ``capacity`` steps of experience, from which a sampler draws batches.

    Memory is allocated once, with the first :meth:`extend` (or :meth:`allocate`): a row for each step, with all its
    entries side by side. The new overwrites the oldest. A sampled batch has memory of its own, but its entries are
    columns of the same rows: call ``contiguous()`` on one before ``view()``.

    Args:
        capacity: how many steps are kept, of all environments together; rounded down to a multiple of their number.
        sampler: what draws; by default every step with the same probability.
        batch_size: how many steps (or slices) :meth:`sample` draws if it is not told.
        keys: what is kept of a batch, such as ``["observation", "action", "next"]`` (a group with all that is in it);
            None for everything.
        seed: of the buffer's own generator, from which all its draws come; None for an arbitrary one.
        device: where the steps are kept, and the batches come from.
        n_step: if given, a sampled step's ``("next", "reward")`` is the discounted sum of up to so many rewards from
            it on, all else of ``"next"`` is that of the last of these m steps, and ``"discount"`` [B, 1] is γᵐ, by
            which the value after it counts. Sums end with the episode, and at the newest step of a stream.
        gamma: γ of these sums, in [0, 1].

    Steps that are none of an episode, where ``("collector", "valid")`` is False, are stored and never drawn.

    Raises:
        UsageError: a number is out of range; the sampler is none; only one of n_step and gamma is given; or n-step
            samples are asked of slices, which hold all steps as they are.

    >>> buffer = ReplayBuffer(1_000, batch_size=32, keys=["observation", "next"], seed=0)
    >>> buffer.extend(TensorDict({"observation": torch.randn(8, 3), ("next", "reward"): torch.ones(8, 1)}, [8]))
    >>> buffer
    ReplayBuffer(8 of 1000 steps, 16,000 bytes, RandomSampler)
    >>> buffer.sample()["next", "reward"].shape
    torch.Size([32, 1])
    """

    def __init__(
        self,
        capacity: int,
        *,
        sampler: Sampler | None = None,
        batch_size: int | None = None,
        keys: Sequence[Any] | None = None,
        seed: int | None = None,
        device: Any = None,
        n_step: int | None = None,
        gamma: float | None = None,
    ) -> None:
        for name, value in (("capacity", capacity), ("batch_size", 1 if batch_size is None else batch_size)):
            _check_count(name, value)
        self.capacity, self.batch_size = capacity, batch_size
        self.sampler = RandomSampler() if sampler is None else sampler
        if not isinstance(self.sampler, Sampler):
            raise UsageError(
                f"ReplayBuffer cannot draw by {sampler!r}, which is no sampler: type sampler=PrioritizedSampler(), "
                "RandomSampler(), SamplerWithoutReplacement() or SliceSampler(32)."
            )
        self.device = torch.device("cpu" if device is None else device)
        self._keys = None if keys is None else as_keys(list(keys))
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)
        self._n_step = None if n_step is None and gamma is None else NStep(n_step, gamma)
        if self._n_step is not None and isinstance(self.sampler, SliceSampler):
            raise UsageError(
                "ReplayBuffer cannot make n-step samples of slices: a slice holds each of its steps as it was stored. "
                "Leave out n_step and gamma, and compute n_step_return of the slice; or type sampler=RandomSampler()."
            )
        self._share = False
        self._storage: Storage | None = None
        self._known: Any = None  # a batch size that was found to be right

    def share_next(self) -> ReplayBuffer:
        """Do not store twice what follows a step: ``("next", x)`` is x of the step after it, where that is the same.

        What is drawn is the same to the last bit. With images it halves the memory; where ends of episodes are kept,
        they take memory that is allocated when they come. A batch with ``"next"`` costs one more jump in memory a row.

        Returns:
            This buffer.

        Raises:
            UsageError: memory is allocated already.

        >>> frames = TensorDict({"pixels": torch.zeros(9, 84, 84), ("next", "pixels"): torch.zeros(9, 84, 84)}, [9])
        >>> plain, shared = ReplayBuffer(1_000), ReplayBuffer(1_000).share_next()
        >>> plain.extend(frames), shared.extend(frames)
        (None, None)
        >>> round(shared.nbytes / plain.nbytes, 2)
        0.53
        """
        if self._storage is not None:
            raise UsageError(
                "ReplayBuffer is allocated already: type ReplayBuffer(capacity, ...).share_next() before the first "
                "extend(td)."
            )
        self._share = True
        return self

    def extend(self, td: Any) -> None:
        """Store a batch: one step after the other of one stream ``[T]``, or of several ``[num_envs, T]``.

        Do not flatten one of several environments: n-step sums and slices follow the streams.

        Nothing of it is stored if it is refused.

        Raises:
            MissingKeyError: an entry is not there.
            SpecError: an entry was not there in the first batch, has another shape or dtype than in it, or the number
                of streams is another one.
            UsageError: the first batch is what there is not enough memory for.
        """
        if self._storage is None:
            self._allocate_for(td)
        storage, batch_size = self._storage, td.batch_size
        assert storage is not None
        if batch_size != self._known:
            if batch_size[:-1] != storage.lead[1:] or not batch_size:
                self._refuse_batch_size(batch_size)
            self._known = batch_size
        values = self._reader.read(td)
        pieces = self._ring.advance(batch_size[-1])
        storage.write(values, batch_size, pieces)
        self.sampler.added(pieces)
        if self._n_step is not None:
            self._n_step.added(pieces)

    def sample(self, batch_size: int | None = None) -> TensorDict:
        """Draw a batch ``[B]`` (of slices: ``[B, T]``).

        Raises:
            UsageError: the buffer is empty; no batch size is known; or the sampler cannot draw so many.
        """
        size = self.batch_size if batch_size is None else batch_size
        if size is None:
            raise UsageError(
                "ReplayBuffer.sample needs a batch size: type sample(256), or ReplayBuffer(batch_size=256)."
            )
        _check_count("batch_size", size)
        if not len(self):
            raise UsageError("ReplayBuffer.sample has nothing to draw from: extend(td) the buffer first.")
        rows, entries = self.sampler.draw(size, self._generator)
        if self._n_step is None:
            return self.storage.read(rows, entries)
        last, more = self._n_step.of(rows)
        return self.storage.read(rows, {**entries, **more}, last)

    def update_priority(self, index: Any, priority: Any) -> None:
        """Say how much rows matter: ``batch["index"]``, and one number >= 0 each, such as the absolute error.

        Raises:
            NonFiniteError: a priority is no finite number.
            UsageError: a priority is negative, an index is not of this buffer, or its sampler has no priorities.
        """
        self.sampler.update_priority(index, priority)

    def allocate(self, specs: Composite, num_envs: int | None = None) -> None:
        """Allocate the memory now, for entries as specs describe them.

        Args:
            specs: of the entries.
            num_envs: the number of streams, for batches ``[num_envs, T]``; None for batches ``[T]``.

        Raises:
            UsageError: there is not enough memory, or it is allocated already.

        >>> from keywork.specs import Unbounded
        >>> buffer = ReplayBuffer(1_000)
        >>> buffer.allocate(Composite({"observation": Unbounded((3,))}), num_envs=4)
        >>> buffer.nbytes, len(buffer)
        (16000, 0)
        """
        if self._storage is not None:
            raise UsageError("ReplayBuffer is allocated already: call allocate(specs) before the first extend(td).")
        example = specs.zero([1] if num_envs is None else [num_envs, 1])
        self._allocate(example, kept(example, self._keys), num_envs)

    def __len__(self) -> int:
        return 0 if self._storage is None else self._ring.rows

    def __repr__(self) -> str:
        size = "nothing allocated" if self._storage is None else f"{self.nbytes:,} bytes"
        return f"ReplayBuffer({len(self)} of {self.capacity} steps, {size}, {type(self.sampler).__name__})"

    @property
    def nbytes(self) -> int:
        """Bytes of the allocated rows; 0 before they are."""
        return 0 if self._storage is None else self._storage.nbytes

    @property
    def keeps(self) -> tuple[Key, ...] | None:
        """The keys that are still there after the buffer, as ``flow.Part(keeps=...)`` takes them; None if unknown yet.

        What is chosen with ``keys`` is known from the beginning; otherwise it is what the first batch holds.
        """
        if self._keys is not None or self._storage is None:
            return self._keys
        return self._storage.keys

    @property
    def writes(self) -> tuple[Key, ...]:
        """The keys that a batch holds besides those that were stored, as ``flow.Part(writes=...)`` takes them."""
        return self.sampler.writes if self._n_step is None else (*self.sampler.writes, DISCOUNT)

    @property
    def write_specs(self) -> dict[Key, TensorSpec]:
        """What is known of the values of :attr:`writes`, for the flow: by key, without batch dimensions."""
        specs = self.sampler.write_specs
        return specs if self._n_step is None else {**specs, DISCOUNT: Bounded(0.0, 1.0, (1,))}

    @property
    def storage(self) -> Storage:
        """The rows.

        Raises:
            UsageError: they are not allocated yet.
        """
        if self._storage is None:
            raise UsageError("ReplayBuffer is empty: extend(td) it first, or allocate(specs).")
        return self._storage

    def state_dict(self) -> dict[str, Any]:
        """All steps, where the next one goes, the sampler's and the generator's state: tensors and plain numbers.

        The steps are copied: there have to be as many bytes free as they take.
        """
        state: dict[str, Any] = {"capacity": self.capacity, "generator": self._generator.get_state()}
        if self._storage is not None:
            storage, ring = self._storage, self._ring
            state |= storage.state_dict(ring.filled)
            state["filled"], state["head"] = ring.filled, ring.head
            state["num_envs"] = ring.num_envs if len(storage.lead) == 2 else 0
            state["sampler"] = self.sampler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another buffer was: what is drawn from now on is what that one would have drawn.

        Raises:
            UsageError: the other buffer had another capacity or another kind of sampler, one of them shares what
                follows a step, or this one holds steps.
            MissingKeyError: the steps lack what this buffer keeps.
        """
        shares = "beside" in state if "steps" in state else self._share
        if len(self) or state["capacity"] != self.capacity or shares != self._share:
            like = f"ReplayBuffer({state['capacity']}){'.share_next()' * shares}"
            raise refusal(
                UsageError,
                "ReplayBuffer.load_state_dict cannot go on from this state.",
                where="the buffer" if len(self) else "share_next" if shares != self._share else "capacity",
                expected=f"an empty {like}",
                got=f"{self!r}{'.share_next()' * self._share}",
                fix=f"{like.replace(')', ', ...)', 1)} with the arguments of the one that was saved",
            )
        if "steps" in state:
            num_envs = state["num_envs"]
            steps = TensorDict(state["steps"], [state["filled"], *[num_envs] * (num_envs > 0)])
            self._restore(steps, state["head"], num_envs or None, state.get("beside"))
            _check_sampler(self.sampler, state["sampler"])
            self.sampler.load_state_dict(state["sampler"])
        self._generator.set_state(state["generator"])

    def _restore(self, steps: TensorDict, head: int, num_envs: int | None, beside: dict[str, Any] | None) -> None:
        for key in leaves(TensorDict({} if beside is None else beside[NEXT])):
            steps = steps.set(next_key(key), steps[key])  # only their shapes count: the values follow from the steps
        if self._storage is None:
            self._allocate(steps, kept(steps, self._keys), num_envs)
        ring, filled = self._ring, steps.batch_size[0]
        stream = steps if num_envs is None else steps.permute(1, 0)
        self.storage.restore(self._reader.read(stream), stream.batch_size, beside)
        ring.head, ring.filled = head, filled
        if self._n_step is not None:
            pieces = [(ring.oldest, filled, 0), (0, ring.oldest, 0)]
            self._n_step.added([piece for piece in pieces if piece[1] > piece[0]])

    def _allocate_for(self, td: Any) -> None:
        if len(td.batch_size) not in (1, 2):
            self._refuse_batch_size(td.batch_size)
        self._allocate(td, kept(td, self._keys), td.batch_size[0] if len(td.batch_size) == 2 else None)

    def _refuse_batch_size(self, batch_size: Sequence[int]) -> NoReturn:
        known = "" if self._storage is None else "".join(f"{n}, " for n in self._storage.lead[1:]) + "T"
        raise refusal(
            SpecError,
            "ReplayBuffer.extend cannot tell the streams of this batch apart.",
            where="td.batch_size",
            expected=f"[{known}], as before" if known else "[num_envs, T], or [T] for the steps of one stream",
            got=str([*batch_size]),
            fix="extend(td) with batches of a collector, one ReplayBuffer for each number of environments",
        )

    def _allocate(self, example: Any, keys: Sequence[Key], num_envs: int | None) -> None:
        """Allocate rows for entries like those of an example, in ``num_envs`` streams (None for batches ``[T]``)."""
        fields = fields_of(example, keys)
        streams = 1 if num_envs is None else num_envs
        if not fields or self.capacity < streams:
            raise refusal(
                UsageError,
                "ReplayBuffer cannot be allocated: "
                + ("there is no entry to store." if not fields else "it is too small for one step of each stream."),
                where="the first batch",
                expected=f"one entry or more, and at most capacity={self.capacity} streams",
                got=f"{listed(keys)} in {streams} streams",
                fix="keys=[...] that the batch holds" if not fields else f"capacity={streams} or more",
            )
        ring = Ring(self.capacity // streams, streams)
        plan = Plan(num_envs, self.device, ahead=self._n_step is not None, share=self._share)
        storage = Storage(fields, ring, plan)
        if self._n_step is not None:
            self._n_step.begin(ring, storage)
        self.sampler.begin(ring, storage)
        self._reader = Reader(storage.fields, self.device, strict=self._keys is None)
        self._ring, self._storage = ring, storage


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"ReplayBuffer got {name}={value!r}: give a whole number of at least 1, such as {name}=256.")


def _check_sampler(sampler: Sampler, state: dict[str, Any]) -> None:
    known = sampler.state_dict().keys()
    if state.keys() != known:
        raise UsageError(
            f"{type(sampler).__name__} cannot go on from a sampler's state of {listed(state)}, its own is of "
            f"{listed(known)}: give ReplayBuffer the kind of sampler that was saved."
        )
