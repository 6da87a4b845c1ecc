"""Critics: key modules that write a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from keywork._keys import ACTION, OBSERVATION, STATE_ACTION_VALUE, STATE_VALUE, as_keys, leaf
from keywork.modules._from_spec import value_parts
from keywork.modules._from_spec_network import NetworkConfig
from keywork.nn import TensorDictModule


class ValueOperator(TensorDictModule):
    """A critic: the value of a state, or of an action in a state as soon as it reads an action.

    Args:
        module: from the entries of ``in_keys`` to values ``[*B, 1]``.
        in_keys: ``["observation"]`` if left out.
        out_keys: if left out, ``["state_value"]``; ``["state_action_value"]`` where the last part of an in-key is
            ``"action"``.

    >>> import torch
    >>> ValueOperator(torch.nn.Linear(4, 1)).out_keys
    ['state_value']
    >>> ValueOperator(torch.nn.Bilinear(4, 1, 1), ["observation", ("agent", "action")]).out_keys
    ['state_action_value']
    """

    def __init__(self, module: Callable[..., Any], in_keys: Any = None, out_keys: Any = None) -> None:
        in_keys = OBSERVATION if in_keys is None else in_keys
        if out_keys is None:
            judges_actions = any(leaf(key) == ACTION for key in as_keys(in_keys))
            out_keys = STATE_ACTION_VALUE if judges_actions else STATE_VALUE
        super().__init__(module, in_keys, out_keys)

    @classmethod
    def from_spec(
        cls,
        observation_spec: Any,
        action_spec: Any = None,
        *,
        out_keys: Any = None,
        config: NetworkConfig | None = None,
    ) -> Self:
        """A critic of any observations: :class:`Features` and an MLP; with ``action_spec``, one that reads actions too.

        Args:
            observation_spec: of what it reads: a Composite by key, or one spec for ``"observation"``.
            action_spec: of the actions, if it judges them: a Composite by key, or one spec for ``"action"``.
            out_keys: as the constructor takes it.
            config: the network.

        Raises:
            SpecError: a spec has no entry.

        >>> from keywork.specs import Categorical, Unbounded
        >>> ValueOperator.from_spec(Unbounded((4,)), Categorical(2)).in_keys
        ['observation', 'action']
        """
        network, in_keys = value_parts(cls.__name__, observation_spec, action_spec, config=config)
        if out_keys is None and action_spec is not None:
            out_keys = STATE_ACTION_VALUE
        return cls(network, in_keys, out_keys)
