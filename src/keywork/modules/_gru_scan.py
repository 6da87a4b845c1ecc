"""The gated recurrent unit as a function of tensors: one step, and a whole sequence with a gradient by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def gru_cell(
    x_t: Tensor, h_tm1: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None
) -> Tensor:
    """h_t = (1 - z) n + z h_tm1,  r, z = σ(W x_t + U h_tm1 + b),  n = tanh(W_n x_t + b_n + r (U_n h_tm1 + c_n)).

    Operations that compile and vmap; ``torch.gru_cell`` is the same and faster where it is neither. The source is
    arXiv 1406.1078, with the reset gate where cuDNN has it.

    Args:
        x_t: inputs ``[N, F]``.
        h_tm1: states ``[N, H]``.
        w_ih: ``[3H, F]``, the rows of r, z and n in this order, as in all that follow.
        w_hh: ``[3H, H]``.
        b_ih: ``[3H]``, or None.
        b_hh: ``[3H]``, or None.
    """
    width = 2 * h_tm1.shape[-1]
    projected, recurrent = F.linear(x_t, w_ih, b_ih), F.linear(h_tm1, w_hh, b_hh)
    r, z = torch.sigmoid(projected[..., :width] + recurrent[..., :width]).chunk(2, -1)
    n = torch.tanh(projected[..., width:] + r * recurrent[..., width:])
    return torch.lerp(n, h_tm1, z)


def gru_scan(projected: Tensor, h_0: Tensor, w_hh: Tensor, b_hh: Tensor, resets: Tensor) -> Tensor:
    """All the states ``[T, N, H]`` of a sequence; it can be differentiated once.

    Autograd through a loop of cells spends most of its time on one gradient of the weights for each step. Here the
    backward loop computes only what is recurrent (the gradient of the gates, linear in that of the state), and the
    gradient of the weights is one product at the end.

    Args:
        projected: what the inputs contribute, ``W x + b``: ``[T, N, 3H]``.
        h_0: the state before the first step, ``[N, H]``.
        w_hh: ``[3H, H]``.
        b_hh: ``[3H]``.
        resets: bool ``[T, N, 1]``: before which steps the state is zero.
    """
    states: Tensor = _GRUScan.apply(projected, h_0, w_hh, b_hh, resets)  # type: ignore[no-untyped-call]
    return states


class _GRUScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, h_0: Tensor, w_hh: Tensor, b_hh: Tensor, resets: Tensor) -> Tensor:
        """Run the steps."""
        width = h_0.shape[-1]
        size = (*projected.shape[:2], width)
        before, states = projected.new_empty(size), projected.new_empty(size)  # the states before and after each step
        gates, inner = torch.empty_like(projected), projected.new_empty(size)  # r, z, n; and U_n h + c_n
        recurrent = torch.empty_like(projected[0])
        zero, w_t, h = projected.new_zeros(()), w_hh.t(), h_0
        steps = (resets, projected[..., : 2 * width], projected[..., 2 * width :], before, states, inner)
        parts = (gates[..., : 2 * width], gates[..., :width], gates[..., width : 2 * width], gates[..., 2 * width :])
        for reset, x_rz, x_n, h_tm1, h_t, inner_t, rz, r, z, n in zip(
            *[tensor.unbind() for tensor in steps + parts], strict=True
        ):
            torch.where(reset, zero, h, out=h_tm1)
            torch.addmm(b_hh, h_tm1, w_t, out=recurrent)
            torch.add(x_rz, recurrent[:, : 2 * width], out=rz).sigmoid_()
            inner_t.copy_(recurrent[:, 2 * width :])
            torch.addcmul(x_n, r, inner_t, out=n).tanh_()
            h = torch.lerp(n, h_tm1, z, out=h_t)
        ctx.save_for_backward(w_hh, before, gates, inner, resets)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Tensor) -> tuple[Tensor | None, ...]:
        """Run the steps backwards."""
        w_hh, before, gates, inner, resets = ctx.saved_tensors
        length, rows, width = before.shape
        r, z, n = gates.view(length, rows, 3, width).unbind(2)
        # How the gates' inputs change with the state that comes out, at all steps at once: [T, N, 3, H].
        by_n = (1 - z) * (1 - n * n)
        slopes = torch.stack([by_n * inner * r * (1 - r), (before - n) * z * (1 - z), by_n * r], 2)
        keep = resets.logical_not().to(before.dtype)
        d_gates = torch.empty_like(slopes)
        # d_after[t] is the gradient of the state before step t, and so d_after[t + 1] that of the state after it.
        d_after = before.new_empty(length + 1, rows, width)
        d_after[-1] = d_states[-1]
        later = torch.cat([torch.zeros_like(d_after[:1]), d_states[:-1]])  # what comes in beside the recurrence
        scratch = torch.empty_like(d_after[0])
        tensors = (d_after[1:], d_after[:-1], later, slopes, d_gates, d_gates.flatten(2), z, keep)
        steps = zip(*[tensor.unbind() for tensor in tensors], strict=True)
        for d_h, d_h_tm1, d_later, slope, d_gate, d_flat, z_t, keep_t in reversed(list(steps)):
            torch.mul(d_h.unsqueeze(1), slope, out=d_gate)
            torch.mul(d_h, z_t, out=scratch).addmm_(d_flat, w_hh)
            torch.addcmul(d_later, keep_t, scratch, out=d_h_tm1)
        d_recurrent = d_gates.flatten(2)
        d_w = d_recurrent.flatten(0, 1).t() @ before.flatten(0, 1) if ctx.needs_input_grad[2] else None
        d_projected = torch.cat([d_recurrent[..., : 2 * width], d_after[1:] * by_n], -1)
        return d_projected, d_after[0], d_w, d_recurrent.sum((0, 1)), None
