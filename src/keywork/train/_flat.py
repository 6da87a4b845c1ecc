"""One optimiser step for small networks, at the price of one tensor instead of one per layer.

A network of twelve small tensors spends more time in the loops of clipping and Adam than in its own backward pass. Here
all parameters are views into one vector, so each of these is one kernel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from keywork._errors import NonFiniteError, UsageError


class FlatParameters:
    """The trainable parameters of some modules, laid out anew as views into one vector.

    The modules stay ordinary: calling, state_dict, load_state_dict and deepcopy know nothing of it, and what is written
    into the vector is at once what the modules compute with. The order is that of ``named_parameters``, module after
    module; a shared parameter comes once, one with ``requires_grad=False`` not at all. Move the modules to
    their device and dtype first: afterwards ``module.to(...)`` would tear them off, which ``check`` reports.
    The views share one storage without overlapping, which safetensors accepts.

    Attributes:
        vector: all parameters, [n], without gradient.
        parameters: the parameters of the modules, in the order of the vector.
        names: their names, for messages; those of the second module start with ``1.``.

    Args:
        modules: one module or several.

    Raises:
        UsageError: no parameter is trainable, one is lazy and has no shape yet, or they differ in dtype or device.

    >>> net = nn.Linear(3, 2)
    >>> flat = FlatParameters(net)
    >>> flat.vector.shape, flat.names
    (torch.Size([8]), ('weight', 'bias'))
    >>> _ = flat.vector.zero_()
    >>> net(torch.ones(3)).tolist()
    [0.0, 0.0]
    """

    vector: Tensor

    def __init__(self, modules: nn.Module | Iterable[nn.Module]) -> None:
        found = _trainable(modules)
        self.names = tuple(found.values())
        self.parameters = tuple(found)
        _require_one_kind(self.parameters, self.names)
        self.vector = torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters])
        for parameter, piece in zip(self.parameters, self.pieces(self.vector), strict=True):
            parameter.data = piece
        self._addresses = [parameter.data_ptr() for parameter in self.parameters]

    def pieces(self, vector: Tensor) -> list[Tensor]:
        """A vector [n] cut into the shapes of the parameters, without a copy."""
        cut = torch.split(vector, [parameter.numel() for parameter in self.parameters])
        return [piece.view(parameter.shape) for piece, parameter in zip(cut, self.parameters, strict=True)]

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient of a scalar loss as one vector [n]; no ``.grad`` is read or written.

        Raises:
            UsageError: the loss is no scalar, or does not depend on one of the parameters: a mistake in the wiring.
        """
        if loss.ndim:
            raise UsageError(
                "The step cannot be taken: the loss is no scalar. It takes a tensor of shape []; "
                f"got shape {list(loss.shape)}. Pass loss.mean()."
            )
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        pieces = [gradient.reshape(-1) for gradient in gradients if gradient is not None]
        if len(pieces) < len(gradients):
            unreached = [name for name, gradient in zip(self.names, gradients, strict=True) if gradient is None]
            raise UsageError(
                "The step cannot be taken: the loss does not depend on every parameter. "
                f"It takes all {len(gradients)}; got no gradient for {_listed(unreached)}. "
                "Check what the loss reads; leave out the module, or freeze it with requires_grad_(False) before; "
                "after load_state_dict(..., assign=True), build the optimiser anew."
            )
        return torch.cat(pieces)

    def check(self) -> None:
        """Raise UsageError if a parameter is no longer a view into the vector, and so would not be trained."""
        addresses = [parameter.data_ptr() for parameter in self.parameters]
        if addresses != self._addresses:
            pairs = zip(self.names, addresses, self._addresses, strict=True)
            moved = [name for name, now, before in pairs if now != before]
            raise UsageError(
                "The parameters are not trained any more: they were given new memory after the optimiser was built. "
                f"It updates the memory that they had then; moved are {_listed(moved)}. module.to(...) and a second "
                "optimiser for the same module do that: do it first, and build the optimiser last."
            )


class Verdict(NamedTuple):
    """What is known of a gradient before a step down it.

    Attributes:
        norm: ‖g‖, before clipping, [].
        refused: 0.0, or 1.0 where the loss or the gradient is NaN or infinite, so that there is to be no step, [].
        scale: by what the gradient is divided to be no longer than it may, []; None does not clip.
    """

    norm: Tensor
    refused: Tensor
    scale: Tensor | None


class FlatAdam:
    """Adam with clipping by the global norm, on all parameters as one vector   (arXiv 1412.6980).

    g ← g · min(1, max_norm / ‖g‖);  m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²;  θ ← θ - lr · m̂ / (√v̂ + ε)

    A step whose loss or gradient is NaN or infinite changes nothing, neither parameters nor moments nor the count of
    steps, and nothing waits for the device to know it: ``check`` reports it after the steps of one update.

    Attributes:
        flat: the parameters and their vector.
        lr: the learning rate; set it to follow a schedule.

    Args:
        modules: one module or several, already on their device and in their dtype.
        lr: learning rate.
        betas: decay of the two moments.
        eps: ε, added to the root of the second moment.
        max_grad_norm: the norm to which a longer gradient is shortened; None does not clip.

    Raises:
        UsageError: as for ``FlatParameters``, or a number is out of range.

    >>> net = nn.Linear(2, 1)
    >>> optimizer = FlatAdam(net, lr=0.1, max_grad_norm=0.5)
    >>> norm = optimizer.step(net(torch.ones(2)).square().sum())
    >>> optimizer.check()
    """

    def __init__(
        self,
        modules: nn.Module | Iterable[nn.Module],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        max_grad_norm: float | None = None,
    ) -> None:
        _require_range("lr", lr, lr >= 0.0, "a number from 0 on, such as 3e-4")
        _require_range("betas", betas, all(0.0 <= beta < 1.0 for beta in betas), "two in [0, 1), such as (0.9, 0.999)")
        _require_range("eps", eps, eps > 0.0, "a number above 0, such as 1e-5")
        clips = max_grad_norm is None or max_grad_norm > 0.0
        _require_range("max_grad_norm", max_grad_norm, clips, "a number above 0, such as 0.5, or None")
        self.flat = FlatParameters(modules)
        self.lr = lr
        self._betas, self._eps, self._max_norm = betas, eps, max_grad_norm
        vector = self.flat.vector
        self._first, self._second = torch.zeros_like(vector), torch.zeros_like(vector)
        self._count = torch.zeros((), dtype=torch.float32, device=vector.device)
        self._refused = torch.zeros_like(self._count)
        self._asked = 0

    def step(self, loss: Tensor) -> Tensor:
        """Take one step down the gradient of a scalar loss.

        Returns:
            The norm of the gradient before clipping, a tensor of shape [].

        Raises:
            UsageError: the loss is no scalar, or does not depend on one of the parameters.
        """
        return self.descend(self.flat.gradient(loss), loss.detach())

    def descend(self, gradient: Tensor, loss: Tensor) -> Tensor:
        """Take one step down a gradient [n] that is at hand, of a scalar loss; the norm is returned, as of a step."""
        verdict = self.judge(gradient, loss)
        self.apply(gradient, verdict)
        return verdict.norm

    def judge(self, gradient: Tensor, loss: Tensor) -> Verdict:
        """Whether there is to be a step down a gradient, and how much it is shortened; this changes nothing."""
        norm: Tensor = torch.linalg.vector_norm(gradient)
        scale = None if self._max_norm is None else (norm / self._max_norm).clamp(min=1.0).float()
        # x - x is 0 for a finite number and NaN for any other; torch.isfinite takes four steps for that.
        health = (loss + norm).float()
        return Verdict(norm, (health - health).nan_to_num(nan=1.0), scale)

    def apply(self, gradient: Tensor, verdict: Verdict) -> None:
        """Take the step that has been judged."""
        # The kernel itself: torch.optim's own call of it costs three times as much in preparations for many tensors.
        # It leaves all as it is where `found_inf` is 1.
        self._count += 1.0 - verdict.refused
        torch._fused_adam_(
            [self.flat.vector],
            [gradient],
            [self._first],
            [self._second],
            [],
            [self._count],
            amsgrad=False,
            lr=self.lr,
            beta1=self._betas[0],
            beta2=self._betas[1],
            weight_decay=0.0,
            eps=self._eps,
            maximize=False,
            grad_scale=verdict.scale,
            found_inf=verdict.refused,
        )
        self._refused += verdict.refused
        self._asked += 1

    def check(self) -> None:
        """Report what went wrong since the last check; this waits for the device, so call it once per update.

        Raises:
            NonFiniteError: a loss or a gradient was NaN or infinite; those steps were not taken.
            UsageError: a parameter is no longer a view into the vector.
        """
        refused, asked = int(self._refused), self._asked
        self._refused.zero_()
        self._asked = 0
        self.flat.check()
        if refused:
            raise NonFiniteError(
                f"{refused} of the last {asked} optimiser steps could not be taken: the loss or its gradient was NaN "
                "or infinite. Those steps changed nothing: the parameters are finite. Look for NaN in observations "
                f"and rewards first; then try a smaller learning rate (lr, now {self.lr:g}) or clipping "
                f"(max_grad_norm, now {self._max_norm})."
            )

    def state_dict(self) -> dict[str, Any]:
        """The moments, the count of steps taken and the learning rate, as copies; the parameters are the modules'."""
        return {
            "first_moment": self._first.clone(),
            "second_moment": self._second.clone(),
            "count": int(self._count),
            "lr": self.lr,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave, of modules of the same sizes.

        Raises:
            UsageError: entries are missing, or the moments have another length.
        """
        expected = {"first_moment", "second_moment", "count", "lr"}
        sizes = [list(state[key].shape) for key in ("first_moment", "second_moment") if key in state]
        shape = list(self._first.shape)
        if set(state) != expected or any(size != shape for size in sizes):
            raise UsageError(
                "The state of the optimiser cannot be loaded: it was made by another one, or for other modules. "
                f"It takes {', '.join(sorted(expected))} with moments of shape {shape}; "
                f"got {', '.join(sorted(state)) or 'nothing'} with {', '.join(map(str, sizes)) or 'no moments'}. "
                "Build the modules as they were when it was saved."
            )
        self._first.copy_(state["first_moment"])
        self._second.copy_(state["second_moment"])
        self._count.fill_(state["count"])
        self.lr = float(state["lr"])


def _trainable(modules: nn.Module | Iterable[nn.Module]) -> dict[nn.Parameter, str]:
    listed = [("", modules)] if isinstance(modules, nn.Module) else [(f"{i}.", m) for i, m in enumerate(modules)]
    found: dict[nn.Parameter, str] = {}
    for prefix, module in listed:
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                found.setdefault(parameter, prefix + name)
    return found


def _require_one_kind(parameters: tuple[nn.Parameter, ...], names: tuple[str, ...]) -> None:
    what = "The parameters cannot be laid out as one vector"
    if not parameters:
        raise UsageError(
            f"{what}: there is none. It takes at least one with requires_grad=True; got none in the modules. "
            "Pass the networks that are to be trained, and unfreeze them with requires_grad_(True)."
        )
    for parameter, name in zip(parameters, names, strict=True):
        if isinstance(parameter, UninitializedParameter):
            raise UsageError(
                f"{what}: {name!r} is lazy. It takes parameters with a shape; got an uninitialised one. "
                "Call the module once on an example first."
            )
        first = parameters[0]
        if (parameter.dtype, parameter.device) != (first.dtype, first.device):
            raise UsageError(
                f"{what}: they differ in dtype or device. It takes one of each; got {names[0]!r} {first.dtype} on "
                f"{first.device} and {name!r} {parameter.dtype} on {parameter.device}. "
                "Move the modules with .to(device, dtype) first, or give each kind an optimiser of its own."
            )


def _require_range(name: str, value: object, fits: bool, range_: str) -> None:
    if not fits:
        raise UsageError(f"FlatAdam cannot be built: {name} is out of range. It takes {range_}; got {value}.")


def _listed(names: list[str], limit: int = 6) -> str:
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
