"""Acting greedily on the values of actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from keywork._errors import ContractError, Finding
from keywork._keys import ACTION, Key, as_key, as_keys
from keywork.modules._action_space import ACTION_VALUE, CHOSEN_ACTION_VALUE, form_of
from keywork.nn import TensorDictModuleBase
from keywork.specs import Spec


class GreedyModule(TensorDictModuleBase):
    """The abstract base of modules that choose the action of the highest value.

    Args:
        names: the number of out_keys, and what they are called in a message.
        keys: the values' key, the mask's key or None, and the out_keys, the action's first.
        given: what an action is, under each of its names: see :func:`form_of`.
        var_nums: of an action space that is given by name: how many choices each component has.

    Raises:
        UsageError: no action space or two, or a name that is none.
        SpecError: the actions are not discrete.
        ContractError: there are not as many out_keys as outputs.
    """

    _keyed = ("action_value_key", "action_key")

    def __init__(
        self, names: tuple[str, ...], keys: tuple[Any, Any, Any], given: Mapping[str, Any], var_nums: Any
    ) -> None:
        owner = type(self).__name__
        values, mask, out_keys = as_key(keys[0]), keys[1], as_keys(keys[2])
        if len(out_keys) != len(names):
            problem = f"out_keys names {len(out_keys)} entries."
            fix = f"name {len(names)}: {', '.join(names)}."
            raise ContractError(owner, [Finding("wrong-count", problem, f"out_keys={list(out_keys)}", fix)])
        super().__init__([values, *([] if mask is None else [as_key(mask)])], list(out_keys))
        self.spec: Spec | None
        self.spec, self.choices = form_of(owner, given, out_keys[0], var_nums)
        self.action_value_key, self.action_key = values, out_keys[0]
        self._dtype = torch.int64 if self.spec is None else self.spec.dtype

    def choose(self, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The action of the highest value, and that value with a last dimension of one."""
        # nn.Module finds a child as an attribute by a slow path; this is the same object, fast.
        choices: Any = self._modules["choices"]
        chosen: tuple[Tensor, Tensor] = choices.greedy(values, mask, self._dtype)
        return chosen


class QValueModule(GreedyModule):
    """a* = argmaxₐ q(a), and q(a*), from the values of all actions.

    ===================================  ====================  ============================  =========================
    action space                         spec                  values, mask                  action
    ===================================  ====================  ============================  =========================
    ``"categorical"``                    Categorical           ``[*B, n]``                   index ``[*B]``
    ``"one-hot"``                        OneHot                ``[*B, n]``                   vector ``[*B, n]``
    ``"multi-categorical"``              MultiDiscrete         ``[*B, Σ n_k]``               indices ``[*B, K]``
    ``"mult-one-hot"``                                         ``[*B, Σ n_k]``               vectors ``[*B, Σ n_k]``
    ``"binary"``                         MultiBinary           ``[*B, n]``, of a one         bits ``[*B, n]``
    ===================================  ====================  ============================  =========================

    Of several components each is chosen by itself, and the value is the sum. Of choices that tie, one is taken. Where a
    mask is False (or zero) the choice is not taken; the values themselves stay as they are.

    Args:
        action_space: one of these names; or a spec.
        action_value_key: the values, ``"action_value"`` if left out.
        action_mask_key: a mask, which has to be there then.
        out_keys: of the action, the values and the chosen action's value ``[*B, 1]``; if left out ``"action"``, the
            key of the values, and ``"chosen_action_value"``.
        var_nums: of a multiple action space that is given by its name: how many choices each component has, a list, or
            one number.
        spec: in place of a name: what an action is, a spec or a Gymnasium space, or a Composite that has it.
        action_spec: another name of spec.

    Raises:
        UsageError: no action space or two, or a name that is none.
        SpecError: the actions are not discrete; in a call, the number of values is not that of the choices, or a row of
            the mask allows nothing (looked at on the CPU alone; elsewhere its value is -inf).
        ContractError: out_keys that are not three.

    >>> greedy = QValueModule("one-hot")
    >>> greedy(torch.tensor([[1.0, 3.0, 3.0]]))[::2]
    (tensor([[0, 1, 0]]), tensor([[3.]]))
    """

    def __init__(
        self,
        action_space: Any = None,
        action_value_key: Any = None,
        action_mask_key: Any = None,
        out_keys: Any = None,
        var_nums: Any = None,
        spec: Any = None,
        *,
        action_spec: Any = None,
    ) -> None:
        values = ACTION_VALUE if action_value_key is None else action_value_key
        written = [ACTION, values, CHOSEN_ACTION_VALUE] if out_keys is None else out_keys
        names = ("the action", "the values", "the chosen action's value")
        given = {"spec": spec, "action_spec": action_spec, "action_space": action_space}
        super().__init__(names, (values, action_mask_key, written), given, var_nums)

    @property
    def chosen_action_value_key(self) -> Key:
        """Where the value of the chosen action is written."""
        return self._out_keys[2]

    def compute(self, *inputs: Any) -> tuple[Any, ...]:
        """The action, the values, and the value of the action."""
        action, chosen = self.choose(inputs[0], inputs[1] if len(inputs) > 1 else None)
        return action, inputs[0], chosen
