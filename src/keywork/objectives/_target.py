"""Target networks: frozen copies that follow the networks that learn, all at once or a little with every step."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from keywork._errors import ContractError, Finding, UsageError, refusal

Network = TypeVar("Network", bound=nn.Module)


class HasTargets(Protocol):
    """A loss with target networks.

    Attributes:
        targets: each network that learns, and the frozen copy that follows it.
    """

    @property
    def targets(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """The pairs."""


def frozen_copy(owner: str, network: Network) -> Network:
    """A copy of a network that does not learn: no parameter of it wants a gradient.

    Raises:
        ContractError: a parameter has no size yet, so that copy and network would start out apart.
    """
    lazy = [name for name, parameter in network.named_parameters() if is_lazy(parameter)]
    if lazy:
        problem = f"it cannot copy its network: the parameter {lazy[0]!r} has no size yet."
        fix = "call the network once before, on an input of the right size."
        raise ContractError(owner, [Finding("lazy-parameter", problem, "", fix)])
    return copy.deepcopy(network).requires_grad_(False)


@contextmanager
def constant(network: nn.Module) -> Iterator[None]:
    """Keep gradients from a network's parameters, but let them through to its inputs.

    So the loss of an actor can go through a critic that it is not to change. (One thread at a time.)

    >>> net, x = nn.Linear(1, 1), torch.ones(1, requires_grad=True)
    >>> with constant(net):
    ...     net(x).backward()
    >>> net.weight.grad is None, x.grad is None
    (True, False)
    """
    learning: list[tuple[dict[str, Any], str, nn.Parameter]] = [
        (cast(dict[str, Any], part._parameters), name, parameter)
        for part in network.modules()
        for name, parameter in part._parameters.items()
        if parameter is not None and parameter.requires_grad
    ]
    for held, name, parameter in learning:
        held[name] = parameter.detach()
    try:
        yield
    finally:
        for held, name, parameter in learning:
            held[name] = parameter


class SoftUpdate:
    """θ' ← θ' + τ (θ - θ') for all target networks of a loss, with each step   (Lillicrap et al. 2015, 1509.02971).

    Buffers, such as running statistics, are copied.

    Args:
        loss: what has the networks; several in a list.
        tau: τ in (0, 1].

    Raises:
        UsageError: τ is out of range, or there is no target network.

    >>> from keywork.modules import QValueActor
    >>> from keywork.objectives import DQNLoss
    >>> from keywork.specs import Categorical
    >>> loss = DQNLoss(QValueActor(nn.Linear(4, 2), spec=Categorical(2)))
    >>> SoftUpdate(loss, tau=0.005).step()
    """

    def __init__(self, loss: HasTargets | Sequence[HasTargets], tau: float = 0.005) -> None:
        if not 0.0 < tau <= 1.0:
            raise refusal(
                UsageError,
                "SoftUpdate cannot be built: tau is out of range.",
                where="tau",
                expected="a number above 0, at most 1",
                got=repr(tau),
                fix="tau=0.005",
            )
        self.tau = tau
        self._parameters, self._buffers = _followed(type(self).__name__, loss)

    @torch.no_grad()
    def step(self) -> None:
        """Move the target networks a little."""
        torch._foreach_lerp_(self._parameters[1], self._parameters[0], self.tau)
        _copy(self._buffers)


class HardUpdate:
    """θ' ← θ for all target networks of a loss, with every so many steps   (Mnih et al. 2015).

    Args:
        loss: what has the networks; several in a list.
        every: how many steps there are from one copy to the next.

    Raises:
        UsageError: ``every`` is no number of steps, or there is no target network.

    >>> from keywork.modules import QValueActor
    >>> from keywork.objectives import DQNLoss
    >>> from keywork.specs import Categorical
    >>> loss = DQNLoss(QValueActor(nn.Linear(4, 2), spec=Categorical(2)))
    >>> update = HardUpdate(loss, every=2)
    >>> update.step(), update.count
    (None, 1)
    """

    def __init__(self, loss: HasTargets | Sequence[HasTargets], every: int = 1) -> None:
        if not isinstance(every, int) or every < 1:
            raise refusal(
                UsageError,
                "HardUpdate cannot be built: every is out of range.",
                where="every",
                expected="a whole number of steps, 1 or more",
                got=repr(every),
                fix="every=1_000",
            )
        self.every, self.count = every, 0
        self._parameters, self._buffers = _followed(type(self).__name__, loss)

    @torch.no_grad()
    def step(self) -> None:
        """Count a step, and copy the networks if it is time."""
        self.count += 1
        if self.count % self.every == 0:
            _copy(self._parameters)
            _copy(self._buffers)

    def state_dict(self) -> dict[str, int]:
        """The count of steps."""
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take over what ``state_dict`` gave."""
        self.count = int(state["count"])


Tensors = tuple[list[Tensor], list[Tensor]]


def _followed(owner: str, losses: HasTargets | Sequence[HasTargets]) -> tuple[Tensors, Tensors]:
    """The parameters of the networks and of their targets, and their buffers likewise."""
    several = losses if isinstance(losses, list | tuple) else [losses]
    pairs = [pair for loss in several for pair in getattr(loss, "targets", ())]
    if not pairs:
        raise refusal(
            UsageError,
            f"{owner} has nothing to move.",
            where="the loss",
            expected="a loss with target networks, such as DQNLoss, TD3Loss or SACLoss",
            got=", ".join(type(loss).__name__ for loss in several) + ", which has none",
            fix="delay_value=True where the loss is built, or leave the update out",
        )
    parameters = [tuple(network.parameters()) for pair in pairs for network in pair]
    buffers = [tuple(network.buffers()) for pair in pairs for network in pair]
    return _columns(parameters), _columns(buffers)


def _columns(tensors: Sequence[Sequence[Tensor]]) -> Tensors:
    """Those of networks, which alternate with those of their targets."""
    return [t for held in tensors[::2] for t in held], [t for held in tensors[1::2] for t in held]


def _copy(pair: Tensors) -> None:
    for source, target in zip(*pair, strict=True):
        target.copy_(source)
