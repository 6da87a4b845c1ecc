"""What GRUModule and LSTMModule have in common: steps and sequences, layers and directions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keywork._errors import ContractError, SpecError, UsageError, shape_of
from keywork._keys import Key
from keywork.modules._recurrent_layers import Layers, Weights
from keywork.modules._recurrent_setup import KeyChoice, network_of
from keywork.modules._refusal import refusal
from keywork.nn import TensorDictModuleBase, recurrent_mode
from keywork.specs import Composite, Unbounded

States = Sequence[Tensor]
"""h of a GRU, h and c of an LSTM: of one layer ``[N, H]``, over a sequence ``[T, N, H]``."""


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
        self.add_module(self._child, Layers(network))
        self._input_size, self._shapes = network.input_size, [(len(self.layers), width) for width in self._widths()]

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
    def layers(self) -> Layers:
        """The parameters, which are torch's."""
        return self._modules[self._child]  # type: ignore[return-value]

    @property
    def is_init_key(self) -> Key:
        """The flag of an episode's first step, at which what is stored as a state is ignored."""
        return self._in_keys[-1]

    @property
    def carried_specs(self) -> Composite:
        """What each carried state holds, zeros to begin with: ``[layers, H]``. Nothing, if bidirectional."""
        weight = self.layers[0].weight_hh
        specs = [Unbounded(shape, dtype=weight.dtype, device=weight.device) for shape in self._shapes]
        return Composite(dict(zip(self._carries, specs, strict=False)))

    @property
    def label(self) -> str:
        """``GRUModule (4 -> 64)``."""
        return f"{type(self).__name__} ({self.layers.input_size} -> {self._shapes[0][1]})"

    def compute(self, *inputs: Any) -> tuple[Tensor, ...]:
        """What comes out and the states: of a step, or of a sequence under :func:`~keywork.nn.set_recurrent_mode`."""
        value, *states, is_init = inputs
        *batch, width = value.shape
        shapes = [(*batch, *shape) for shape in self._shapes]
        if self._optional:
            pairs = zip(states, shapes, strict=True)
            states = [value.new_zeros(shape) if state is None else state for state, shape in pairs]
        if (
            width != self._input_size
            or is_init.dtype is not torch.bool
            # "!=" of each: with sizes that torch.compile keeps open, "not in" and lists of shapes compare wrongly.
            or (is_init.shape != (*batch, 1) and is_init.shape != (*batch,))
            or any(state.shape != shape for state, shape in zip(states, shapes, strict=True))
        ):
            raise self._misfit(value, states, is_init)
        if recurrent_mode():
            return self._sequence(value, states, is_init)
        layers = self.layers
        if layers.directions == 2:
            raise self._no_step()
        if layers.num_layers == len(batch) == 1:  # the common case, at two thirds of the price
            reset = is_init if is_init.ndim == 2 else is_init.unsqueeze(1)
            single = self._cell(layers[0], value, [torch.where(reset, 0.0, s.squeeze(1)) for s in states])
            return single[0], *[torch.stack([state], 1) for state in single]
        return self._step(value, states, is_init)

    def _step(self, value: Tensor, states: Sequence[Tensor], is_init: Tensor) -> tuple[Tensor, ...]:
        layers, batch = self.layers, value.shape[:-1]
        x = value.reshape(-1, value.shape[-1])
        reset = is_init.reshape(-1, 1, 1)
        before = [torch.where(reset, 0.0, s.reshape(-1, *s.shape[-2:])).unbind(1) for s in states]
        after: list[States] = []
        for index, states_of_layer in enumerate(zip(*before, strict=True)):
            x = F.dropout(x, layers.dropout, self.training) if index else x
            after.append(self._cell(layers[index], x, states_of_layer))
            x = after[-1][0]
        # Stacked, no state shares memory with what comes out, which the next module may change in place.
        outputs = (x, *[torch.stack(of_layers, 1) for of_layers in zip(*after, strict=True)])
        return tuple([x.reshape(*batch, *x.shape[1:]) for x in outputs])

    def _sequence(self, value: Tensor, states: Sequence[Tensor], is_init: Tensor) -> tuple[Tensor, ...]:
        layers, batch = self.layers, value.shape[:-1]
        if len(batch) < 2:
            raise self._no_rows(batch)
        xs = value.reshape(-1, *value.shape[-2:]).transpose(0, 1)
        resets = is_init.reshape(-1, batch[-1], 1).transpose(0, 1)
        first = [state[..., 0, :, :].reshape(-1, *state.shape[-2:]).unbind(1) for state in states]
        after: list[States] = []
        for index, initial in enumerate(zip(*first, strict=True)):
            layer, backwards = divmod(index, layers.directions)
            if layer and not backwards:
                xs = torch.cat([states[0] for states in after[-layers.directions :]], -1)
                xs = F.dropout(xs, layers.dropout, self.training)
            after.append((self._reversed_scan if backwards else self._scan)(layers[index], xs, initial, resets))
        xs = torch.cat([states[0] for states in after[-layers.directions :]], -1)
        following = [torch.stack(of_layers, 2) for of_layers in zip(*after, strict=True)]
        return tuple([x.transpose(0, 1).reshape(*batch, *x.shape[2:]) for x in (xs, *following)])

    def _reversed_scan(self, weights: Weights, xs: Tensor, states: States, resets: Tensor) -> States:
        # Backwards, a piece begins where forwards the following one does; the last piece, with what the row stores.
        resets = resets.roll(-1, 0).flip(0)
        return [state.flip(0) for state in self._scan(weights, xs.flip(0), states, resets)]

    def _unrolled(self, weights: Weights, xs: Tensor, states: States, resets: Tensor) -> States:
        """:meth:`_scan`, cell by cell."""
        history = []
        for x, reset in zip(xs.unbind(), resets.unbind(), strict=True):
            states = self._cell(weights, x, [torch.where(reset, 0.0, state) for state in states])
            history.append(states)
        return [torch.stack(steps) for steps in zip(*history, strict=True)]

    def _misfit(self, value: Tensor, states: Sequence[Tensor], is_init: Tensor) -> SpecError:
        lead = ", ".join(map(str, value.shape[:-1]))
        trails = [(self.layers.input_size,), *self._shapes, (1,)]
        wanted = [f"{key!r} [{', '.join([lead, *map(str, t)])}]" for key, t in zip(self._in_keys, trails, strict=True)]
        given = zip(self._in_keys, (value, *states, is_init), strict=True)
        return refusal(
            SpecError,
            f"{self.label} cannot run: its inputs do not fit together.",
            where="a sequence [*B, T]" if recurrent_mode() else "a step [*B]",
            expected=f"{', '.join(wanted)} of dtype bool",
            got=", ".join(f"{key!r} {shape_of(x)}" for key, x in given),
            fix="a sequence [*B, T] goes in under set_recurrent_mode(True), with the state and the flag of every step"
            if value.ndim > 2 and not recurrent_mode()
            else "feed what a collector stores: it carries the states, and writes the flag",
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
            fix="draw whole rows: batch[rows], or sampler=SliceSampler(16) in a buffer; or, if this is one row, "
            "batch.unsqueeze(0)",
        )
