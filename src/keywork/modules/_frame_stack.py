"""The last frames of an episode, together."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from keywork._errors import SpecError, UsageError, shape_of
from keywork._keys import IS_INIT, OBSERVATION, Key, as_key, next_key, with_suffix
from keywork.modules._from_spec_leaves import leaves_of
from keywork.modules._refusal import refusal
from keywork.nn import TensorDictModuleBase, recurrent_mode
from keywork.specs import Bounded, Composite, Spec, Unbounded


class FrameStack(TensorDictModuleBase):
    """Stack each observation on the k - 1 before it, oldest first: what moves can be seen.

    It carries the last k - 1 frames itself, as a recurrent module carries its state: a collector hands them on, and in
    the step where ``"is_init"`` is set they count for nothing. Under :func:`~keywork.nn.set_recurrent_mode` it takes
    sequences ``[*B, T]``, each of which begins with the frames that are stored at its first step. Both give the same,
    bit for bit. Before its first observation an episode has copies of it, as Gymnasium's ``FrameStackObservation``.

    One module serves a policy and its critic, as the first step of both. The frames keep their type.

    Args:
        num_frames: k, two at least.
        observation_spec: of what there is: a Composite by key, or one spec for ``in_key``.
        in_key: what is stacked.
        out_key: ``"<in_key>_stack"`` if left out.
        dim: a dimension of the observation, in which frames are joined, such as that of the colours of an image; a
            new one in front of all if left out.
        padding: ``"reset"`` for copies of an episode's first observation, ``"zero"`` for zeros.
        frames_key: where the frames are carried: ``"<in_key>_frames"`` if left out.
        is_init_key: of the flag of an episode's first step.

    Raises:
        SpecError: there is no such observation, or it is no numbers.
        UsageError: k is no whole number from two on, there is no such dimension, or no such padding.

    Observations ``[*B, *shape]`` become ``[*B, k, *shape]``.

    >>> from keywork.specs import Unbounded
    >>> stack = FrameStack(3, Unbounded((1,)))
    >>> stack.in_keys, stack.out_keys
    (['observation', 'observation_frames', 'is_init'], ['observation_stack', ('next', 'observation_frames')])
    >>> first, second, frames = torch.tensor([[1.0]]), torch.tensor([[2.0]]), torch.zeros(1, 2, 1)
    >>> stacked, frames = stack(first, frames, torch.tensor([[True]]))
    >>> stack(second, frames, torch.tensor([[False]]))[0].flatten()
    tensor([1., 1., 2.])
    """

    _keyed = ("_seen",)
    _like: Tensor

    def __init__(
        self,
        num_frames: int,
        observation_spec: Any,
        in_key: Any = OBSERVATION,
        out_key: Any = None,
        *,
        dim: int | None = None,
        padding: Literal["reset", "zero"] = "reset",
        frames_key: Any = None,
        is_init_key: Any = IS_INIT,
    ) -> None:
        key = as_key(in_key)
        self._check(num_frames, padding)
        seen = leaves_of(type(self).__name__, "observation_spec", observation_spec, key)
        spec = seen.get(key)
        if not isinstance(spec, Bounded | Unbounded):
            raise self._no_numbers(key, seen)
        frames = with_suffix(key, "_frames") if frames_key is None else as_key(frames_key)
        out = with_suffix(key, "_stack") if out_key is None else as_key(out_key)
        super().__init__([key, frames, as_key(is_init_key)], [out, next_key(frames)], carries=[frames])
        self.num_frames, self.padding = num_frames, padding
        self._seen, self._spec, self._shape = seen, spec, tuple(spec.shape)
        self.dim = None if dim is None else self._from_behind(dim)
        # An empty tensor, which goes where the module goes.
        self.register_buffer("_like", torch.empty(0), persistent=False)

    @property
    def is_init_key(self) -> Key:
        """The flag of an episode's first step, at which what is stored as frames is ignored."""
        return self._in_keys[-1]

    @property
    def carried_specs(self) -> Composite:
        """What is carried: the frames before, ``[k - 1, *shape]``, zeros to begin with."""
        spec = self._spec_of(self.num_frames - 1, zeros=True).to(self._like.device)
        return Composite({self._carries[0]: spec})

    @property
    def out_specs(self) -> Composite:
        """What a network behind this step is shown: all observations, the stacked one under its new key.

        >>> FrameStack(4, Bounded(0, 255, (84, 84), torch.uint8)).out_specs["observation_stack"].shape
        torch.Size([4, 84, 84])
        """
        key, new = self._in_keys[0], self._out_keys[0]
        stacked = self._spec_of(self.num_frames, zeros=self.padding == "zero", dim=self.dim)
        return Composite({new if k == key else k: stacked if k == key else spec for k, spec in self._seen.items()})

    def compute(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The stack and the last k - 1 frames: of a step, or of a sequence."""
        value, frames, is_init = inputs
        batch = value.shape[: value.ndim - len(self._shape)]
        if (
            (*batch, *self._shape) != value.shape
            or frames.shape != (*batch, self.num_frames - 1, *self._shape)
            or frames.dtype is not value.dtype
            or is_init.dtype is not torch.bool
            or (is_init.shape != (*batch, 1) and is_init.shape != batch)  # "not in" is no good to torch.compile
            or (recurrent_mode() and len(batch) < 2)
        ):
            raise self._misfit(inputs)
        stack = (self._sequence if recurrent_mode() else self._step)(value, frames, is_init, len(batch))
        # Not a part of the stack, which the next module may change in place.
        following = stack.narrow(len(batch), 1, self.num_frames - 1).clone()
        return self._joined(stack), following

    def _step(self, value: Tensor, frames: Tensor, is_init: Tensor, dims: int) -> Tensor:
        first = is_init.reshape(*value.shape[:dims], 1, *[1] * len(self._shape))
        value = value.unsqueeze(dims)
        before = torch.where(first, value if self.padding == "reset" else torch.zeros_like(value), frames)
        return torch.cat([before, value], dims)

    def _sequence(self, value: Tensor, frames: Tensor, is_init: Tensor, dims: int) -> Tensor:
        *rows, length = value.shape[:dims]
        more = self.num_frames - 1
        values, before = value.reshape(-1, length, *self._shape), frames.select(dims - 1, 0)
        history = torch.cat([before.reshape(-1, more, *self._shape), values], 1)  # the frame of time t is at t + more
        t = torch.arange(length, device=value.device)
        since = torch.where(is_init.reshape(-1, length), t, -more).cummax(1).values.unsqueeze(-1)
        wanted = t.unsqueeze(-1) + torch.arange(-more, 1, device=value.device)
        row = torch.arange(len(values), device=value.device).view(-1, 1, 1)
        stack = history[row, torch.maximum(wanted, since) + more]
        if self.padding == "zero":
            absent = (wanted < since).view(*stack.shape[:3], *[1] * len(self._shape))
            stack = torch.where(absent, torch.zeros_like(stack), stack)
        return stack.reshape(*rows, length, *stack.shape[2:])

    def _joined(self, stack: Tensor) -> Tensor:
        if self.dim is None:
            return stack
        return stack.movedim(-len(self._shape) - 1, self.dim - 1).flatten(self.dim - 1, self.dim)

    def _spec_of(self, count: int, *, zeros: bool, dim: int | None = None) -> Spec:
        """Of ``count`` frames; with zeros, these are members."""
        shape = torch.Size((count, *self._shape))
        if dim is not None:
            shape = torch.empty(shape, device="meta").movedim(0, dim - 1).flatten(dim - 1, dim).shape
        spec = self._spec
        if isinstance(spec, Unbounded):
            return Unbounded(shape, spec.dtype)
        low, high = (spec.low.clamp(max=0), spec.high.clamp(min=0)) if zeros else (spec.low, spec.high)
        if dim is None:
            return Bounded(low, high, shape, spec.dtype)
        repeats = [1] * len(self._shape)
        repeats[dim] = count
        return Bounded(low.repeat(repeats), high.repeat(repeats), shape, spec.dtype)

    def _check(self, num_frames: int, padding: str) -> None:
        known = padding in ("reset", "zero")
        if not isinstance(num_frames, int) or num_frames < 2 or not known:
            name = "num_frames" if known else "padding"
            raise refusal(
                UsageError,
                f"{type(self).__name__} cannot be built: {name} is out of range.",
                where=name,
                expected="a whole number from two on: one is the observation" if known else "'reset' or 'zero'",
                got=repr(num_frames if known else padding),
                fix=f"{name}={4 if known else 'reset'!r}",
            )

    def _from_behind(self, dim: int) -> int:
        count = len(self._shape)
        if not -count <= dim < count:
            raise refusal(
                UsageError,
                f"{type(self).__name__} cannot be built: its observation has no such dimension.",
                where="dim",
                expected=f"a dimension of {list(self._shape)}" if count else "None: it is a single number",
                got=repr(dim),
                fix="leave dim out for a new dimension in front",
            )
        return dim if dim < 0 else dim - count

    def _no_numbers(self, key: Key, seen: dict[Key, Spec]) -> SpecError:
        return refusal(
            SpecError,
            f"{type(self).__name__} cannot be built: {key!r} is {'no numbers' if key in seen else 'not observed'}.",
            where="observation_spec",
            expected="numbers, Bounded or Unbounded: frames of images or measurements",
            got=", ".join(f"{k!r} {spec}" for k, spec in seen.items()),
            fix="in_key=... of these, or a recurrent module for other observations",
        )

    def _misfit(self, inputs: tuple[Tensor, ...]) -> SpecError:
        names = ["*B, T"] * 3 if recurrent_mode() else ["*B"] * 3
        shapes = [self._shape, (self.num_frames - 1, *self._shape), (1,)]
        wanted = [
            f"{key!r} [{', '.join([name, *map(str, shape)])}]"
            for key, name, shape in zip(self._in_keys, names, shapes, strict=True)
        ]
        return refusal(
            SpecError,
            f"{self.label} cannot run: its inputs do not fit together.",
            where="a sequence [*B, T]" if recurrent_mode() else "a step [*B]",
            expected=f"{', '.join(wanted)} of dtype bool, and frames of one dtype",
            got=", ".join(f"{key!r} {shape_of(x)}" for key, x in zip(self._in_keys, inputs, strict=True)),
            fix="feed what a collector stores: it carries the frames, and writes the flag; whole rows to a sequence",
        )
