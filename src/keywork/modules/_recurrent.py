"""What GRUModule and LSTMModule have in common: keys, steps and sequences, layers and directions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keywork._errors import ContractError, Finding, SpecError, UsageError, shape_of
from keywork._keys import IS_INIT, Key, as_key, as_keys, listed, next_key
from keywork.modules._refusal import refusal
from keywork.nn import TensorDictModuleBase, recurrent_mode
from keywork.specs import Composite, Unbounded


class RecurrentKeys(TypedDict, total=False):
    """Under which keys a recurrent module reads and writes: one of the first two, and one of the last two.

    Attributes:
        in_key: what goes in at each step; the states and ``"is_init"`` are then under their default keys.
        in_keys: what goes in, the states, and the flag of an episode's first step (``"is_init"`` if left out).
        out_key: what comes out; the states of the following step are under ``("next", key)``.
        out_keys: what comes out, and those states, spelt out.
    """

    in_key: Key
    in_keys: Sequence[Key]
    out_key: Key
    out_keys: Sequence[Key]


class Weights(NamedTuple):
    """The parameters of one layer in one direction, as torch names them."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_hr: Tensor | None


class RecurrentModule(TensorDictModuleBase):
    """The abstract base of recurrent modules.

    Args:
        network: torch's module, whose parameters are used; a child under the name of :attr:`child`.
        keys: see :class:`RecurrentKeys`.

    Raises:
        ContractError: the keys cannot be.
    """

    child: ClassVar[str]
    state_keys: ClassVar[tuple[Key, ...]]

    def __init__(self, network: nn.RNNBase, keys: RecurrentKeys) -> None:
        in_keys, out_keys = _resolved(type(self).__name__, keys, self.state_keys)
        states = in_keys[1:-1]
        # What a backward direction carries comes from later steps: nothing that could be handed on.
        roles: dict[str, Any] = {"optional_keys" if network.bidirectional else "carries": list(states)}
        super().__init__(in_keys, out_keys, **roles)
        self.add_module(self.child, network)
        self.is_init_key = in_keys[-1]
        self._names = [
            [f"{name}_l{layer}{suffix}" for name in Weights._fields]
            for layer in range(network.num_layers)
            for suffix in ("", "_reverse")[: 1 + network.bidirectional]
        ]
        self._shapes = tuple((len(self._names), width) for width in self._widths(network))

    @abstractmethod
    def _widths(self, network: nn.RNNBase) -> tuple[int, ...]:
        """The width of each state; the first one is what comes out."""

    @abstractmethod
    def _cell(self, weights: Weights, x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The states ``[N, H]`` after one step with the input ``[N, F]``."""

    @abstractmethod
    def _scan(self, weights: Weights, xs: Tensor, states: Sequence[Tensor], resets: Tensor) -> tuple[Tensor, ...]:
        """The states ``[T, N, H]`` after every step of ``[T, N, F]``, zero before those that ``resets [T, N, 1]`` names."""

    @property
    def network(self) -> Any:
        """Torch's module."""
        return self._modules[self.child]

    @property
    def carried_specs(self) -> Composite:
        """What each carried state holds, zeros to begin with: ``[layers, H]``; nothing if bidirectional."""
        weight = self.network.weight_hh_l0
        specs = [Unbounded(shape, dtype=weight.dtype, device=weight.device) for shape in self._shapes]
        return Composite(dict(zip(self._carries, specs, strict=False)))

    @property
    def label(self) -> str:
        """``GRUModule (4 -> 64)``."""
        return f"{type(self).__name__} ({self.network.input_size} -> {self._shapes[0][1]})"

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """What comes out, and the states, of one step or (see :func:`~keywork.nn.set_recurrent_mode`) of a sequence."""
        value, *given, is_init = inputs
        states = [
            value.new_zeros((*value.shape[:-1], *shape)) if state is None else state
            for state, shape in zip(given, self._shapes, strict=True)
        ]
        batch = value.shape[:-1]
        if (
            value.shape[-1] != self.network.input_size
            or is_init.dtype is not torch.bool
            or (is_init.shape != batch and is_init.shape != (*batch, 1))
            or any(state.shape != (*batch, *shape) for state, shape in zip(states, self._shapes, strict=True))
        ):
            raise self._misfit(batch, inputs)
        return self._sequence(value, states, is_init) if recurrent_mode() else self._step(value, states, is_init)

    def _step(self, value: Tensor, states: list[Tensor], is_init: Tensor) -> tuple[Tensor, ...]:
        batch = value.shape[:-1]
        if self.network.bidirectional:
            raise self._backward_step()
        reset = is_init.reshape(-1, 1, 1)
        if len(batch) != 1:
            value, states = value.reshape(-1, value.shape[-1]), [s.reshape(-1, *s.shape[-2:]) for s in states]
        before = zip(*[torch.where(reset, 0.0, state).unbind(1) for state in states], strict=True)
        after: list[tuple[Tensor, ...]] = []
        for index, layer in enumerate(before):
            after.append(self._cell(self._weights(index), self._dropped(value, index), layer))
            value = after[-1][0]
        # Stacked, so that no state shares its memory with what comes out, which others may change in place.
        outputs = (value, *[torch.stack(layers, 1) for layers in zip(*after, strict=True)])
        return outputs if len(batch) == 1 else tuple([x.reshape(*batch, *x.shape[1:]) for x in outputs])

    def _sequence(self, value: Tensor, states: list[Tensor], is_init: Tensor) -> tuple[Tensor, ...]:
        batch, (*rows, length) = value.shape[:-1], value.shape[:-1]
        if not rows:
            raise self._no_rows(batch)
        xs = value.reshape(-1, length, value.shape[-1]).transpose(0, 1)
        resets = is_init.reshape(-1, length, 1).transpose(0, 1)
        first = [state[..., 0, :, :].reshape(-1, *state.shape[-2:]).unbind(1) for state in states]
        directions = 1 + self.network.bidirectional
        after: list[tuple[Tensor, ...]] = []
        for index, initial in enumerate(zip(*first, strict=True)):
            if index % directions == 0:
                xs = self._dropped(xs, index)
                after.append(self._scan(self._weights(index), xs, initial, resets))
                outputs = after[-1][0]
            else:
                # Backwards, a piece begins where the following one would, and the row's last piece from what is stored.
                ends = resets.roll(-1, 0).flip(0)
                reverse = self._scan(self._weights(index), xs.flip(0), initial, ends)
                after.append(tuple([state.flip(0) for state in reverse]))
                outputs = torch.cat([outputs, after[-1][0]], -1)
            if index % directions == directions - 1:
                xs = outputs
        following = [torch.stack(layers, 2) for layers in zip(*after, strict=True)]
        return tuple([x.transpose(0, 1).reshape(*batch, *x.shape[2:]) for x in (xs, *following)])

    def _unrolled(self, weights: Weights, xs: Tensor, states: Sequence[Tensor], resets: Tensor) -> tuple[Tensor, ...]:
        """:meth:`_scan`, cell by cell."""
        history = []
        for x_t, reset in zip(xs.unbind(), resets.unbind(), strict=True):
            states = self._cell(weights, x_t, [torch.where(reset, 0.0, state) for state in states])
            history.append(states)
        return tuple([torch.stack(steps) for steps in zip(*history, strict=True)])

    def _weights(self, index: int) -> Weights:
        network = self.network
        return Weights(*[getattr(network, name, None) for name in self._names[index]])  # type: ignore[arg-type]

    def _dropped(self, x: Tensor, index: int) -> Tensor:
        if index == 0 or not self.network.dropout:
            return x
        return F.dropout(x, self.network.dropout, training=self.training)
