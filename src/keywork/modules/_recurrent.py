"""What GRUModule and LSTMModule have in common: steps and sequences, layers and directions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keywork._errors import ContractError, SpecError, UsageError, shape_of
from keywork._keys import Key
from keywork.modules._recurrent_setup import KeyChoice, network_of
from keywork.modules._refusal import refusal
from keywork.nn import TensorDictModuleBase, recurrent_mode
from keywork.specs import Composite, Unbounded

States = tuple[Tensor, ...]
"""h of a GRU, h and c of an LSTM: of one layer ``[N, H]``, over a sequence ``[T, N, H]``."""


class Weights(NamedTuple):
    """The parameters of one layer in one direction, as torch names them."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_hr: Tensor | None


def transformed() -> bool:
    """Whether only plain differentiable operations will do: in torch.compile, and inside of vmap and its kin."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


class RecurrentModule(TensorDictModuleBase):
    """The abstract base of recurrent modules.

    Args:
        choice: the keys.
        given: torch's module, whose parameters are used; or None.
        sizes: else those of a new one: input, state, number of layers.
        options: else what else it takes.

    Raises:
        ContractError: the keys or the sizes cannot be.
    """

    kind: ClassVar[type[nn.RNNBase]]
    state_keys: ClassVar[tuple[Key, ...]]

    def __init__(
        self, choice: KeyChoice, given: Any, sizes: tuple[int | None, int | None, int], options: Mapping[str, Any]
    ) -> None:
        in_keys, out_keys, findings = choice.resolve(self.state_keys)
        network, wrong = network_of(self.kind, given, sizes, options)
        if findings or wrong:
            raise ContractError(type(self).__name__, [*findings, *wrong])
        # What a backward direction knows comes from later steps, so it has nothing that could be carried to them.
        states, none = in_keys[1:-1], list[Key]()
        optional, carried = (states, none) if network.bidirectional else (none, states)
        super().__init__(in_keys, out_keys, optional_keys=optional, carries=carried)
        self._child = self.kind.__name__.lower()
        self.add_module(self._child, network)
        self._directions = 1 + network.bidirectional
        names = [
            [f"{name}_l{layer}{suffix}" for name in Weights._fields]
            for layer in range(network.num_layers)
            for suffix in ("", "_reverse")[: self._directions]
        ]
        self._names = [[name if hasattr(network, name) else None for name in of_layer] for of_layer in names]
        self._shapes = [(len(names), width) for width in self._widths()]

    @abstractmethod
    def _widths(self) -> tuple[int, ...]:
        """The width of each state; the first one is what comes out."""

    @abstractmethod
    def _cell(self, weights: Weights, x: Tensor, states: States) -> States:
        """One step of one layer: inputs ``[N, F]``, states ``[N, H]``."""

    @abstractmethod
    def _scan(self, weights: Weights, xs: Tensor, states: States, resets: Tensor) -> States:
        """One layer over a sequence ``[T, N, F]``; before the steps in ``resets [T, N, 1]`` the states are zero."""

    @property
    def network(self) -> Any:
        """Torch's module."""
        return self._modules[self._child]

    @property
    def is_init_key(self) -> Key:
        """The flag of an episode's first step, at which what is stored as a state is ignored."""
        return self._in_keys[-1]

    @property
    def carried_specs(self) -> Composite:
        """What each carried state holds, zeros to begin with: ``[layers, H]``. Nothing, if bidirectional."""
        weight = self.network.weight_hh_l0
        specs = [Unbounded(shape, dtype=weight.dtype, device=weight.device) for shape in self._shapes]
        return Composite(dict(zip(self._carries, specs, strict=False)))

    @property
    def label(self) -> str:
        """``GRUModule (4 -> 64)``."""
        return f"{type(self).__name__} ({self.network.input_size} -> {self._shapes[0][1]})"

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """What comes out and the states: of a step, or of a sequence under :func:`~keywork.nn.set_recurrent_mode`."""
        value, *states, is_init = inputs
        batch = value.shape[:-1]
        if self._optional:
            pairs = zip(states, self._shapes, strict=True)
            states = [value.new_zeros(*batch, *shape) if state is None else state for state, shape in pairs]
        self._check(batch, value, states, is_init)
        return self._sequence(value, states, is_init) if recurrent_mode() else self._step(value, states, is_init)

    def _step(self, value: Tensor, states: list[Tensor], is_init: Tensor) -> tuple[Tensor, ...]:
        batch = value.shape[:-1]
        if self._directions == 2:
            raise self._no_step()
        if len(batch) != 1:
            value, states = value.reshape(-1, value.shape[-1]), [s.reshape(-1, *s.shape[-2:]) for s in states]
        reset = is_init.reshape(-1, 1, 1)
        before = zip(*[torch.where(reset, 0.0, state).unbind(1) for state in states], strict=True)
        after = []
        for layer, states_of_layer in enumerate(before):
            after.append(self._cell(self._weights(layer), self._dropped(value, layer), states_of_layer))
            value = after[-1][0]
        # Stacked, no state shares memory with what comes out, which the next module may change in place.
        outputs = (value, *[torch.stack(layers, 1) for layers in zip(*after, strict=True)])
        return outputs if len(batch) == 1 else tuple([x.reshape(*batch, *x.shape[1:]) for x in outputs])

    def _sequence(self, value: Tensor, states: list[Tensor], is_init: Tensor) -> tuple[Tensor, ...]:
        batch = value.shape[:-1]
        if len(batch) < 2:
            raise self._no_rows(batch)
        xs = value.reshape(-1, *value.shape[-2:]).transpose(0, 1)
        resets = is_init.reshape(-1, batch[-1], 1).transpose(0, 1)
        first = [state[..., 0, :, :].reshape(-1, *state.shape[-2:]).unbind(1) for state in states]
        initial = list(zip(*first, strict=True))
        after: list[States] = []
        for layer in range(self.network.num_layers):
            xs = self._dropped(xs, layer)
            for index in range(layer * self._directions, (layer + 1) * self._directions):
                scan = self._scan if index % self._directions == 0 else self._reversed_scan
                after.append(scan(self._weights(index), xs, initial[index], resets))
            xs = torch.cat([states[0] for states in after[-2:]], -1) if self._directions == 2 else after[-1][0]
        following = [torch.stack(layers, 2) for layers in zip(*after, strict=True)]
        return tuple([x.transpose(0, 1).reshape(*batch, *x.shape[2:]) for x in (xs, *following)])

    def _reversed_scan(self, weights: Weights, xs: Tensor, states: States, resets: Tensor) -> States:
        # Backwards, a piece begins where forwards the following one does; the last piece, with what the row stores.
        resets = resets.roll(-1, 0).flip(0)
        return tuple([state.flip(0) for state in self._scan(weights, xs.flip(0), states, resets)])

    def _unrolled(self, weights: Weights, xs: Tensor, states: States, resets: Tensor) -> States:
        """:meth:`_scan`, cell by cell."""
        history = []
        for x, reset in zip(xs.unbind(), resets.unbind(), strict=True):
            states = self._cell(weights, x, tuple([torch.where(reset, 0.0, state) for state in states]))
            history.append(states)
        return tuple([torch.stack(steps) for steps in zip(*history, strict=True)])

    def _weights(self, index: int) -> Weights:
        network = self.network
        found: list[Any] = [None if name is None else getattr(network, name) for name in self._names[index]]
        return Weights(*found)

    def _dropped(self, x: Tensor, layer: int) -> Tensor:
        rate = self.network.dropout
        return F.dropout(x, rate, self.training) if layer and rate else x

    def _check(self, batch: torch.Size, value: Tensor, states: Sequence[Tensor], is_init: Tensor) -> None:
        fits = value.shape[-1] == self.network.input_size and is_init.dtype is torch.bool
        fits = fits and (is_init.shape == (*batch, 1) or is_init.shape == batch)
        if fits and all(state.shape == (*batch, *shape) for state, shape in zip(states, self._shapes, strict=True)):
            return
        lead = ", ".join(map(str, batch))
        trails = [(self.network.input_size,), *self._shapes, (1,)]
        wanted = [f"{key!r} [{', '.join([lead, *map(str, t)])}]" for key, t in zip(self._in_keys, trails, strict=True)]
        given = zip(self._in_keys, (value, *states, is_init), strict=True)
        raise refusal(
            SpecError,
            f"{self.label} cannot run: its inputs do not fit together.",
            where="a sequence [*B, T]" if recurrent_mode() else "a step [*B]",
            expected=f"{', '.join(wanted)} of dtype bool",
            got=", ".join(f"{key!r} {shape_of(x)}" for key, x in given),
            fix="feed what a collector stores: it carries the states, and writes the flag",
        )

    def _no_step(self) -> UsageError:
        return refusal(
            UsageError,
            f"{self.label} cannot take a single step: one of its directions begins at the end.",
            where="step mode",
            expected="a whole sequence",
            got="bidirectional=True",
            fix="call it inside set_recurrent_mode(True), or leave bidirectional out of what acts",
        )

    def _no_rows(self, batch: torch.Size) -> SpecError:
        return refusal(
            SpecError,
            f"{self.label} cannot run: single steps in one dimension are no sequences.",
            where="sequence mode",
            expected="a batch [*B, T] of rows, whose last dimension is time",
            got=f"a batch {list(batch)}",
            fix="draw minibatches of whole rows: batch[rows]; or, if this is one row, batch.unsqueeze(0)",
        )
