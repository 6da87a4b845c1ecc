"""The long short-term memory as a function of tensors: one step, and a whole sequence with a gradient by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def lstm_cell(
    x_t: Tensor,
    h_tm1: Tensor,
    c_tm1: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    w_hr: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """c_t = f c_tm1 + i g,  h_t = P (o tanh c_t),  i, f, o = σ(W x_t + U h_tm1 + b),  g = tanh(W x_t + U h_tm1 + b).

    Operations that compile and vmap; ``torch.lstm_cell`` is the same without P, and faster where it is neither. The
    source is Gers, Schmidhuber and Cummins (2000), with the projection P of arXiv 1402.1128.

    Args:
        x_t: inputs ``[N, F]``.
        h_tm1: ``[N, H]``, or ``[N, P]`` with a projection.
        c_tm1: ``[N, H]``.
        w_ih: ``[4H, F]``, the rows of i, f, g and o in this order, as in all that follow.
        w_hh: ``[4H, H]`` or ``[4H, P]``.
        b_ih: ``[4H]``, or None.
        b_hh: ``[4H]``, or None.
        w_hr: ``[P, H]``, or None.
    """
    i, f, g, o = (F.linear(x_t, w_ih, b_ih) + F.linear(h_tm1, w_hh, b_hh)).chunk(4, -1)
    c_t = torch.sigmoid(f) * c_tm1 + torch.sigmoid(i) * torch.tanh(g)
    h_t = torch.sigmoid(o) * torch.tanh(c_t)
    return h_t if w_hr is None else F.linear(h_t, w_hr), c_t


def output_gate_first(weight: Tensor) -> Tensor:
    """The rows of i, f, g, o as o, i, f, g: the sigmoids side by side, and those through which c_t goes as well."""
    i, f, g, o = weight.chunk(4)
    return torch.cat([o, i, f, g])


def lstm_scan(projected: Tensor, h_0: Tensor, c_0: Tensor, w_hh: Tensor, resets: Tensor) -> tuple[Tensor, Tensor]:
    """All the states h and c of a sequence, ``[T, N, H]`` each; it can be differentiated once, see ``gru_scan``.

    Args:
        projected: what the inputs contribute, with both biases: ``[T, N, 4H]``, see :func:`output_gate_first`.
        h_0: before the first step, ``[N, H]``.
        c_0: likewise.
        w_hh: ``[4H, H]``, in the same order.
        resets: bool ``[T, N, 1]``: before which steps both states are zero.
    """
    states: tuple[Tensor, Tensor] = _LSTMScan.apply(projected, h_0, c_0, w_hh, resets)  # type: ignore[no-untyped-call]
    return states


class _LSTMScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, h_0: Tensor, c_0: Tensor, w_hh: Tensor, resets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the steps."""
        size = (*projected.shape[:2], h_0.shape[-1])
        h_before, c_before, h_after, c_after, squashed = (projected.new_empty(size) for _ in range(5))
        gates = torch.empty_like(projected)
        zero, w_t, h, c = projected.new_zeros(()), w_hh.t(), h_0, c_0
        split = gates.view(*size[:2], 4, size[2]).unbind(2)
        tensors = (resets, projected, gates, gates[..., : 3 * size[2]], *split, h_before, c_before, h_after, c_after)
        for reset, x_t, gate, sigmoids, o, i, f, g, h_tm1, c_tm1, h_t, c_t, tanh_c in zip(
            *[tensor.unbind() for tensor in (*tensors, squashed)], strict=True
        ):
            torch.where(reset, zero, h, out=h_tm1)
            torch.where(reset, zero, c, out=c_tm1)
            torch.addmm(x_t, h_tm1, w_t, out=gate)
            sigmoids.sigmoid_()
            g.tanh_()
            c = torch.mul(f, c_tm1, out=c_t).addcmul_(i, g)
            h = torch.mul(o, torch.tanh(c, out=tanh_c), out=h_t)
        ctx.save_for_backward(w_hh, h_before, c_before, gates, squashed, resets)
        ctx.set_materialize_grads(False)
        return h_after, c_after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor | None, d_cs: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the steps backwards."""
        w_hh, h_before, c_before, gates, squashed, resets = ctx.saved_tensors
        length, rows, width = h_before.shape
        o, i, f, g = gates.view(length, rows, 4, width).unbind(2)
        # How the gates' inputs change with h_t (the first) and c_t (the others), and c_t with h_t; all steps at once.
        slopes = torch.stack([squashed * o * (1 - o), g * i * (1 - i), c_before * f * (1 - f), i * (1 - g * g)], 2)
        through_c = o * (1 - squashed * squashed)
        keep = resets.logical_not().to(gates.dtype)
        d_gates = torch.empty_like(slopes)
        d_hs = torch.zeros_like(h_before) if d_hs is None else d_hs
        d_h, d_c, scratch = d_hs[-1].clone(), h_before.new_zeros(rows, width), h_before.new_empty(rows, width)
        beside = torch.cat([torch.zeros_like(h_before[:1]), d_hs[:-1]])  # the gradient of h_tm1 beside the recurrence
        by_gate = (slopes[:, :, 0], slopes[:, :, 1:], d_gates[:, :, 0], d_gates[:, :, 1:], d_gates.flatten(2))
        tensors = (*by_gate, through_c, f * keep, keep, beside)
        steps = list(zip(*[tensor.unbind() for tensor in tensors], strict=True))
        for t in reversed(range(length)):
            by_h, by_c, d_o, d_ifg, d_flat, squash, kept_f, keep_t, d_beside = steps[t]
            if d_cs is not None:
                d_c.add_(d_cs[t])
            d_c.addcmul_(d_h, squash)
            torch.mul(d_h, by_h, out=d_o)
            torch.mul(d_c.unsqueeze(1), by_c, out=d_ifg)
            d_c.mul_(kept_f)
            torch.mm(d_flat, w_hh, out=scratch)
            torch.addcmul(d_beside, keep_t, scratch, out=d_h)
        d_projected = d_gates.flatten(2)
        d_w = d_projected.flatten(0, 1).t() @ h_before.flatten(0, 1) if ctx.needs_input_grad[3] else None
        return d_projected, d_h, d_c, d_w, None
