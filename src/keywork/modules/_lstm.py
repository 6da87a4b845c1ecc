"""LSTMModule: a long short-term memory over named entries."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keywork._keys import RECURRENT_STATE_C, RECURRENT_STATE_H
from keywork.modules._lstm_scan import lstm_cell, lstm_scan, output_gate_first
from keywork.modules._recurrent import RecurrentModule, States, transformed
from keywork.modules._recurrent_layers import Weights
from keywork.modules._recurrent_setup import KeyChoice, RecurrentOptions
from keywork.modules._refusal import require_known


class LSTMOptions(RecurrentOptions, total=False):
    """What else torch's ``LSTM`` takes.

    Attributes:
        proj_size: the width P of what comes out and goes round, if it is to be less than that of c.
    """

    proj_size: int


class LSTMModule(RecurrentModule):
    """An LSTM that a policy or critic carries through an episode (see :func:`lstm_cell` for the equations).

    It reads what goes in, ``"recurrent_state_h"``, ``"recurrent_state_c"`` and ``"is_init"``, and writes what comes
    out, ``("next", "recurrent_state_h")`` and ``("next", "recurrent_state_c")``. All else is as in
    :class:`~keywork.modules.GRUModule`.

    Args:
        input_size: F.
        hidden_size: H.
        num_layers: L.
        in_key: what goes in, ``[*B, F]``; the other keys are the defaults.
        in_keys: or: what goes in, the states h ``[*B, L, H]`` (``[*B, L, P]`` with a projection) and c ``[*B, L, H]``,
            and the flag ``[*B, 1]`` or ``[*B]`` (``"is_init"`` if left out).
        out_key: what comes out, ``[*B, H]`` or ``[*B, P]``: the last layer's h.
        out_keys: or: what comes out, and ``("next", state)`` of both states.
        lstm: in place of the sizes: torch's own module, whose parameters are used (its ``batch_first`` is not).
        options: see :class:`LSTMOptions`.

    Raises:
        ContractError: the keys or the sizes cannot be.

    >>> lstm = LSTMModule(input_size=4, hidden_size=8, in_key="observation", out_key="features")
    >>> lstm.in_keys
    ['observation', 'recurrent_state_h', 'recurrent_state_c', 'is_init']
    >>> states, begins = torch.zeros(2, 1, 8), torch.ones(2, 1, dtype=torch.bool)
    >>> [x.shape for x in lstm(torch.ones(2, 4), states, states, begins)]
    [torch.Size([2, 8]), torch.Size([2, 1, 8]), torch.Size([2, 1, 8])]
    """

    kind = nn.LSTM
    state_keys = (RECURRENT_STATE_H, RECURRENT_STATE_C)

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
        lstm: nn.LSTM | None = None,
        **options: Unpack[LSTMOptions],
    ) -> None:
        require_known(type(self).__name__, options, LSTMOptions.__annotations__)
        choice = KeyChoice(in_key, in_keys, out_key, out_keys)
        super().__init__(choice, lstm, (input_size, hidden_size, num_layers), options)

    def _widths(self) -> tuple[int, ...]:
        return self.layers.proj_size or self.layers.hidden_size, self.layers.hidden_size

    def _cell(self, weights: Weights, x: Tensor, states: States) -> States:
        if weights.weight_hr is not None or transformed():
            return lstm_cell(x, states[0], states[1], *weights)
        return torch.lstm_cell(x, list(states), *weights[:4])

    def _scan(self, weights: Weights, xs: Tensor, states: States, resets: Tensor) -> States:
        w_ih, w_hh, b_ih, b_hh, w_hr = weights
        if w_hr is not None or transformed():
            return self._unrolled(weights, xs, states, resets)
        bias = None if b_ih is None or b_hh is None else output_gate_first(b_ih + b_hh)
        projected = F.linear(xs, output_gate_first(w_ih), bias).to(w_hh.dtype)  # autocast stops here: see GRUModule
        return lstm_scan(projected, states[0], states[1], output_gate_first(w_hh), resets)
