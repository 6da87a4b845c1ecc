"""A policy that acts greedily on a network of quantiles of the return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypedDict, Unpack

from keywork._errors import Finding
from keywork._keys import ACTION, as_key, as_keys
from keywork.modules._action_space import ACTION_VALUE
from keywork.modules._from_spec import action_value_parts
from keywork.modules._from_spec_network import NetworkConfig
from keywork.modules._q_value_parts import described, network_step, unfed
from keywork.modules._quantile_q_value import QuantileQValueModule
from keywork.modules._refusal import require_known, without_external
from keywork.nn import TensorDictModuleBase, TensorDictSequential


class QuantileOptions(TypedDict, total=False):
    """The less common options of a :class:`QuantileQValueActor`.

    Attributes:
        action_key: where the action is written; ``"action"`` if left out.
        var_nums: see :class:`QValueModule`.
    """

    action_key: Any
    var_nums: Any


class QuantileQValueActor(TensorDictSequential):
    """A network of quantiles of the return, and the action of the highest mean (QR-DQN).

    See :class:`QuantileQValueModule`.

    Args:
        module: from ``in_keys`` to quantiles ``[*B, N, n]``, N of them for each of n choices; or a key module that
            writes them.
        num_quantiles: N.
        in_keys: what the network reads, ``["observation"]`` if left out; a key module says so itself.
        spec: what an action is, a spec or a Gymnasium space, or a Composite that has it.
        action_spec: another name of spec.
        action_space: in place of a spec, see :class:`QValueModule`.
        action_value_key: the quantiles, ``"action_value"`` if left out.
        action_mask_key: a mask of what is allowed.
        options: see :class:`QuantileOptions`.

    Raises:
        ContractError: the key module does not write the quantiles, or reads other keys than ``in_keys``.
        UsageError: no action space or two, or a name that is none.
        SpecError: the actions are not discrete, or num_quantiles is no number of quantiles.

    >>> import torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(4, 32 * 2), nn.Unflatten(-1, (32, 2)))
    >>> actor = QuantileQValueActor(net, 32, action_space="categorical")
    >>> quantiles, action = actor(torch.zeros(3, 4))
    >>> torch.equal(action, quantiles.mean(-2).argmax(-1))
    True
    """

    def __init__(
        self,
        module: Any,
        num_quantiles: int,
        in_keys: Any = None,
        spec: Any = None,
        *,
        action_spec: Any = None,
        action_space: Any = None,
        action_value_key: Any = None,
        action_mask_key: Any = None,
        **options: Unpack[QuantileOptions],
    ) -> None:
        require_known(type(self).__name__, options, QuantileOptions.__annotations__)
        values = as_key(ACTION_VALUE if action_value_key is None else action_value_key)
        out_keys = [options.get("action_key", ACTION), values]
        given = {"spec": spec, "action_spec": action_spec, "action_space": action_space}
        action = described(type(self).__name__, given, as_key(out_keys[0]), options.get("var_nums"))
        head = QuantileQValueModule(action[0], num_quantiles, values, action_mask_key, out_keys, *action[1:])
        self._asked = None if in_keys is None else list(as_keys(in_keys))
        super().__init__(network_step(module, self._asked, values), head)
        self.spec, self._asked = head.spec, None

    @classmethod
    def from_spec(
        cls,
        observation_spec: Any,
        action_spec: Any,
        num_quantiles: int,
        *,
        dueling: bool = False,
        action_value_key: Any = None,
        action_mask_key: Any = None,
        config: NetworkConfig | None = None,
        **options: Unpack[QuantileOptions],
    ) -> Self:
        """An actor that fits any observations and any discrete action: see :meth:`QValueActor.from_spec`.

        Args:
            observation_spec: as there.
            action_spec: likewise.
            num_quantiles: N.
            dueling: as there.
            action_value_key: as the constructor takes it.
            action_mask_key: the observation that says which choices are allowed.
            config: the network.
            options: see :class:`QuantileOptions`.

        Raises:
            SpecError: the action is not discrete, there are several, there is no such mask, or num_quantiles is no
                number of quantiles.

        >>> import torch
        >>> from keywork.specs import Categorical, Unbounded
        >>> actor = QuantileQValueActor.from_spec(Unbounded((4,)), Categorical(2), 32)
        >>> actor(torch.zeros(3, 4))[0].shape
        torch.Size([3, 32, 2])
        """
        network, in_keys, spec, key = action_value_parts(
            cls.__name__,
            observation_spec,
            action_spec,
            action_mask_key=action_mask_key,
            dueling=dueling,
            rows=num_quantiles,
            config=config,
        )
        return cls(
            network,
            num_quantiles,
            in_keys,
            spec,
            action_value_key=action_value_key,
            action_mask_key=action_mask_key,
            **{"action_key": key, **options},
        )

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """The findings of every chain, and a network that does not do what it is here for."""
        return unfed(steps, self._asked) or without_external(super().findings(steps))
