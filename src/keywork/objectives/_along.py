"""A network along a batch: at each step, and one step on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from keywork._keys import IS_INIT, REWARD, Key, leaf, next_key
from keywork.nn import TensorDictModuleBase, set_recurrent_mode


class Along:
    """What a network reads at each step of a batch ``[*B, T]`` and at the step after it, recurrent or not.

    One step on, a recurrent network goes from its own state after the step, also where an episode is cut off there:
    the flags that say where episodes begin do not count.

    Args:
        network: a key module, which is not registered here.

    Attributes:
        reads: what it reads at a step.
        follows: what it reads of the step after, under ``("next", ...)``: not its state, nor the flags.
        recurrent: whether it carries a state.

    >>> from torch import nn
    >>> from keywork.modules import GRUModule, ValueOperator
    >>> from keywork.nn import TensorDictSequential
    >>> gru = GRUModule(4, 8, in_key="observation", out_key="features")
    >>> along = Along(TensorDictSequential(gru, ValueOperator(nn.Linear(8, 1), ["features"])))
    >>> along.reads, along.follows
    (['observation', 'recurrent_state', 'is_init'], [('next', 'observation')])
    """

    def __init__(self, network: TensorDictModuleBase) -> None:
        self.network = network
        self.reads: list[Key] = network.in_keys
        writes = network.out_keys
        self._after = {key: writes.index(next_key(key)) for key in network.contract.carries}
        named = [part.is_init_key for part in network.modules() if hasattr(part, "is_init_key")]
        self._flags = [key for key in self.reads if key in named or leaf(key) == IS_INIT]
        self.follows: list[Key] = [next_key(k) for k in self.reads if k not in self._after and k not in self._flags]
        self.recurrent = bool(self._after)

    def inputs(self, held: Mapping[Key, Any]) -> list[Any]:
        """The network's inputs at each step."""
        return [held[key] for key in self.reads]

    def run(self, held: Mapping[Key, Any]) -> tuple[Any, ...]:
        """The network's outputs at each step, in the order of its out_keys."""
        with set_recurrent_mode(True):
            return self.network.run(*self.inputs(held))

    def inputs_ahead(self, held: Mapping[Key, Any], outputs: Sequence[Any] | None = None) -> list[Any]:
        """The network's inputs one step on, to be used where the recurrent mode is off.

        Args:
            held: the batch's entries by key.
            outputs: what :meth:`run` returned, of whose states it goes on; without it a recurrent network runs here,
                without gradient.
        """
        if self._after and outputs is None:
            with torch.no_grad():
                outputs = self.run(held)
        return [self._ahead(key, held, outputs or ()) for key in self.reads]

    def run_ahead(self, held: Mapping[Key, Any], outputs: Sequence[Any] | None = None) -> tuple[Any, ...]:
        """The network's outputs one step on."""
        following = self.inputs_ahead(held, outputs)
        with set_recurrent_mode(False):
            return self.network.run(*following)

    def run_apart(self, held: Mapping[Key, Any], others: Mapping[Key, Any]) -> tuple[Any, ...]:
        """The network's outputs at each step with ``others`` in place of what the step holds: "what if", one by one.

        A memory has seen before each step what really happened, not what is put in its place.
        """
        if not self._after:
            return self.network.run(*[others[key] if key in others else held[key] for key in self.reads])
        with torch.no_grad():
            outputs = self.run(held)
        time = held[next_key(REWARD)].ndim - 2  # [*B, T, 1]
        before = {key: _shifted(held[key], outputs[slot], time) for key, slot in self._after.items()}
        inputs = {**held, **before, **others}
        with set_recurrent_mode(False):
            return self.network.run(*self.inputs(inputs))

    def _ahead(self, key: Key, held: Mapping[Key, Any], outputs: Sequence[Any]) -> Any:
        if key in self._after:
            return outputs[self._after[key]]
        return torch.zeros_like(held[key]) if key in self._flags else held[next_key(key)]


def _shifted(first: Tensor, after: Tensor, time: int) -> Tensor:
    """The state before each step: the one stored at the first, then those after the steps before."""
    return torch.cat([first.narrow(time, 0, 1), after.narrow(time, 0, after.shape[time] - 1)], time)
