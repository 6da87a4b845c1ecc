"""Acting greedily on distributions of the return (C51)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from keywork._errors import SpecError, shape_of
from keywork._keys import ACTION
from keywork.modules._action_space import ACTION_VALUE
from keywork.modules._q_value import GreedyModule
from keywork.modules._refusal import refusal


class DistributionalQValueModule(GreedyModule):
    """a* = argmaxₐ Σᵢ zᵢ pᵢ(a), from the log-probabilities log pᵢ(a) of returns zᵢ, the atoms.

    (Bellemare, Dabney & Munos, A Distributional Perspective on Reinforcement Learning, 2017.)

    Args:
        action_space: see :class:`QValueModule`; left out with ``spec``.
        support: the atoms z ``[N]``; a buffer. It has to be given.
        action_value_key: the log-probabilities ``[*B, N, n]`` of n choices, ``"action_value"`` if left out.
        action_mask_key: a mask ``[*B, n]``, which has to be there then.
        out_keys: of the action and the log-probabilities; if left out ``"action"`` and the key of the latter.
        var_nums: see :class:`QValueModule`.
        spec: likewise.
        action_spec: another name of spec.

    Raises:
        UsageError: no action space or two, or a name that is none.
        SpecError: the actions are not discrete, or the atoms are no vector; in a call, the number of atoms or of
            choices differs, or a row of the mask allows nothing (looked at on the CPU alone).
        ContractError: out_keys that are not two.

    >>> greedy = DistributionalQValueModule("categorical", torch.tensor([-1.0, 0.0, 1.0]))
    >>> p = torch.tensor([[0.5, 0.1], [0.4, 0.2], [0.1, 0.7]])  # expectations -0.4 and 0.6
    >>> greedy(p.log())[0]
    tensor(1)
    """

    support: Tensor

    def __init__(
        self,
        action_space: Any = None,
        support: Any = None,
        action_value_key: Any = None,
        action_mask_key: Any = None,
        out_keys: Any = None,
        var_nums: Any = None,
        spec: Any = None,
        *,
        action_spec: Any = None,
    ) -> None:
        values = ACTION_VALUE if action_value_key is None else action_value_key
        written = [ACTION, values] if out_keys is None else out_keys
        names = ("the action", "the log-probabilities")
        given = {"spec": spec, "action_spec": action_spec, "action_space": action_space}
        super().__init__(names, (values, action_mask_key, written), given, var_nums)
        atoms = torch.as_tensor(() if support is None else support)
        if atoms.ndim != 1 or not atoms.numel():
            raise refusal(
                SpecError,
                f"{type(self).__name__} cannot be built: its atoms are no vector.",
                where="support",
                expected="the returns that are told apart, of shape [N]",
                got="None" if support is None else shape_of(atoms),
                fix="support=torch.linspace(-10.0, 10.0, 51)",
            )
        self.register_buffer("support", atoms.detach().clone())

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """The action, and the log-probabilities."""
        log_p: Tensor = inputs[0]
        support = self.support.to(log_p.dtype)
        if log_p.shape[-2:-1] != support.shape:
            raise refusal(
                SpecError,
                f"{type(self).__name__} cannot choose: there are not as many probabilities as atoms.",
                where=repr(self.action_value_key),
                expected=f"log-probabilities (*B, {len(support)}, choices)",
                got=shape_of(log_p),
                fix="nn.Unflatten(-1, (atoms, choices)) after the last layer of the network",
            )
        action, _ = self.choose(support @ log_p.exp(), inputs[1] if len(inputs) > 1 else None)
        return action, log_p
