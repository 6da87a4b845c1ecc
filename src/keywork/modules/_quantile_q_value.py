"""Acting greedily on quantiles of the return (QR-DQN)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from keywork._errors import SpecError, shape_of
from keywork._keys import ACTION
from keywork.modules._action_space import ACTION_VALUE
from keywork.modules._q_value import GreedyModule
from keywork.modules._refusal import refusal


class QuantileQValueModule(GreedyModule):
    """a* = argmaxₐ (1/N) Σᵢ θᵢ(a), from the quantiles θᵢ(a) of the return at the fractions (2i - 1) / 2N.

    (Dabney et al., Distributional Reinforcement Learning with Quantile Regression, 2018.)

    Args:
        action_space: see :class:`QValueModule`; left out with ``spec``.
        num_quantiles: N. It has to be given.
        action_value_key: the quantiles ``[*B, N, n]`` of n choices, ``"action_value"`` if left out.
        action_mask_key: a mask ``[*B, n]``, which has to be there then.
        out_keys: of the action and the quantiles; if left out ``"action"`` and the key of the latter.
        var_nums: see :class:`QValueModule`.
        spec: likewise.
        action_spec: another name of spec.

    Raises:
        UsageError: no action space or two, or a name that is none.
        SpecError: the actions are not discrete, or num_quantiles is no number of quantiles; in a call, the number of
            quantiles or of choices differs, or a row of the mask allows nothing (looked at on the CPU alone).
        ContractError: out_keys that are not two.

    >>> import torch
    >>> greedy = QuantileQValueModule("categorical", 3)
    >>> greedy(torch.tensor([[0.0, -9.0], [1.0, 3.0], [2.0, 3.0]]))[0]  # means 1 and -1
    tensor(0)
    """

    def __init__(
        self,
        action_space: Any = None,
        num_quantiles: int | None = None,
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
        given = {"spec": spec, "action_spec": action_spec, "action_space": action_space}
        super().__init__(("the action", "the quantiles"), (values, action_mask_key, written), given, var_nums)
        if not isinstance(num_quantiles, int) or num_quantiles < 1:
            raise refusal(
                SpecError,
                f"{type(self).__name__} cannot be built: nobody has said how many quantiles there are.",
                where="num_quantiles",
                expected="a whole number, 1 or more",
                got=repr(num_quantiles),
                fix="num_quantiles=200",
            )
        self.num_quantiles = num_quantiles

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """The action, and the quantiles."""
        quantiles: Tensor = inputs[0]
        if quantiles.shape[-2:-1] != (self.num_quantiles,):
            raise refusal(
                SpecError,
                f"{type(self).__name__} cannot choose: there is another number of quantiles.",
                where=repr(self.action_value_key),
                expected=f"quantiles (*B, {self.num_quantiles}, choices)",
                got=shape_of(quantiles),
                fix="nn.Unflatten(-1, (num_quantiles, choices)) after the last layer of the network",
            )
        action, _ = self.choose(quantiles.mean(-2), inputs[1] if len(inputs) > 1 else None)
        return action, quantiles
