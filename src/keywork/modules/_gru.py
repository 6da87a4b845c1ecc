"""GRUModule: a gated recurrent unit over named entries."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keywork._keys import RECURRENT_STATE
from keywork.modules._gru_scan import gru_cell, gru_scan
from keywork.modules._recurrent import RecurrentModule, States, transformed
from keywork.modules._recurrent_layers import Weights
from keywork.modules._recurrent_setup import KeyChoice, RecurrentOptions
from keywork.modules._refusal import require_known


class GRUModule(RecurrentModule):
    """A GRU that a policy or critic carries through an episode (see :func:`gru_cell` for the equations).

    It reads what goes in, ``"recurrent_state"`` and ``"is_init"``, and writes what comes out and
    ``("next", "recurrent_state")``. Where ``is_init`` is set an episode begins, and whatever is stored as its state
    counts as zero. A collector carries the state from step to step.

    A step takes a batch ``[*B]``. Under :func:`~keywork.nn.set_recurrent_mode`, as losses set it, the last dimension of
    a batch ``[*B, T]`` is time: each row begins with the state that is stored at its first step and goes on with its
    own, and the result is that of T steps, in every entry.

    Args:
        input_size: F.
        hidden_size: H.
        num_layers: L.
        in_key: what goes in, ``[*B, F]``; the other keys are the defaults.
        in_keys: or: what goes in, the state ``[*B, L, H]``, and the flag ``[*B, 1]`` or ``[*B]`` (``"is_init"`` if left
            out).
        out_key: what comes out, ``[*B, H]``: the last layer's state.
        out_keys: or: what comes out, and ``("next", state)``.
        gru: in place of the sizes: torch's own module, whose parameters are used (its ``batch_first`` is not).
        options: see :class:`RecurrentOptions`.

    Raises:
        ContractError: the keys or the sizes cannot be.

    >>> from tensordict import TensorDict
    >>> gru = GRUModule(input_size=4, hidden_size=8, in_key="observation", out_key="features")
    >>> gru.in_keys, gru.out_keys
    (['observation', 'recurrent_state', 'is_init'], ['features', ('next', 'recurrent_state')])
    >>> td = TensorDict(observation=torch.ones(2, 4), recurrent_state=torch.zeros(2, 1, 8), batch_size=[2])
    >>> gru(td.set("is_init", torch.ones(2, 1, dtype=torch.bool)))["features"].shape
    torch.Size([2, 8])
    """

    kind = nn.GRU
    state_keys = (RECURRENT_STATE,)

    def __init__(
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        num_layers: int = 1,
        *,
        in_key: Any = None,
        in_keys: Any = None,
        out_key: Any = None,
        out_keys: Any = None,
        gru: nn.GRU | None = None,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        require_known(type(self).__name__, options, RecurrentOptions.__annotations__)
        choice = KeyChoice(in_key, in_keys, out_key, out_keys)
        super().__init__(choice, gru, (input_size, hidden_size, num_layers), options)

    def _widths(self) -> tuple[int, ...]:
        return (self.layers.hidden_size,)

    def _cell(self, weights: Weights, x: Tensor, states: States) -> States:
        cell = gru_cell if transformed() else torch.gru_cell
        return (cell(x, states[0], *weights[:4]),)

    def _scan(self, weights: Weights, xs: Tensor, states: States, resets: Tensor) -> States:
        if transformed():
            return self._unrolled(weights, xs, states, resets)
        w_ih, w_hh, b_ih, b_hh, _ = weights
        b_hh = w_hh.new_zeros(len(w_hh)) if b_hh is None else b_hh
        projected = F.linear(xs, w_ih, b_ih).to(w_hh.dtype)  # autocast stops here: errors would grow with every step
        return (gru_scan(projected, states[0], w_hh, b_hh, resets),)
