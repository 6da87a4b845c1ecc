"""Policies that act greedily on a network of action values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypedDict, Unpack

from torch import Tensor

from keywork._errors import Finding
from keywork._keys import ACTION, as_key, as_keys
from keywork.modules._action_space import ACTION_VALUE, CHOSEN_ACTION_VALUE
from keywork.modules._distributional_q_value import DistributionalQValueModule
from keywork.modules._from_spec import action_value_parts
from keywork.modules._from_spec_network import NetworkConfig
from keywork.modules._q_value import QValueModule
from keywork.modules._q_value_parts import described, network_step, unfed
from keywork.modules._refusal import require_known, without_external
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential


class QValueOptions(TypedDict, total=False):
    """The less common options of a :class:`QValueActor`.

    Attributes:
        action_key: where the action is written; ``"action"`` if left out.
        chosen_action_value_key: where its value is; ``"chosen_action_value"`` if left out.
        var_nums: see :class:`QValueModule`.
    """

    action_key: Any
    chosen_action_value_key: Any
    var_nums: Any


class DistributionalOptions(TypedDict, total=False):
    """The less common options of a :class:`DistributionalQValueActor`.

    Attributes:
        action_key: where the action is written; ``"action"`` if left out.
        var_nums: see :class:`QValueModule`.
        make_log_softmax: whether the network's outputs are logits, which is so if left out.
    """

    action_key: Any
    var_nums: Any
    make_log_softmax: bool


class QValueActor(TensorDictSequential):
    """A network of action values, and the action of the highest one: see :class:`QValueModule`.

    It draws nothing: :class:`EGreedyModule` after it explores.

    Args:
        module: from ``in_keys`` to a value for each choice; or a key module that writes these values.
        in_keys: what the network reads, ``["observation"]`` if left out; a key module says so itself.
        spec: what an action is, a spec or a Gymnasium space, or a Composite that has it.
        action_spec: another name of spec.
        action_space: in place of a spec, see :class:`QValueModule`.
        action_value_key: the values, ``"action_value"`` if left out.
        action_mask_key: a mask of what is allowed.
        options: see :class:`QValueOptions`.

    Raises:
        ContractError: the key module does not write the values, or reads other keys than ``in_keys``.
        UsageError: no action space or two, or a name that is none.
        SpecError: the actions are not discrete.

    >>> from torch import nn
    >>> from keywork.modules import EGreedyModule
    >>> from keywork.specs import Categorical
    >>> actor = QValueActor(nn.Linear(4, 2), spec=Categorical(2))
    >>> actor.out_keys
    ['action_value', 'action', 'chosen_action_value']
    >>> policy = TensorDictSequential(actor, EGreedyModule(Categorical(2)))
    """

    def __init__(
        self,
        module: Any,
        *,
        in_keys: Any = None,
        spec: Any = None,
        action_spec: Any = None,
        action_space: Any = None,
        action_value_key: Any = None,
        action_mask_key: Any = None,
        **options: Unpack[QValueOptions],
    ) -> None:
        require_known(type(self).__name__, options, QValueOptions.__annotations__)
        values = as_key(ACTION_VALUE if action_value_key is None else action_value_key)
        chosen = options.get("chosen_action_value_key", CHOSEN_ACTION_VALUE)
        out_keys = [options.get("action_key", ACTION), values, chosen]
        given = {"spec": spec, "action_spec": action_spec, "action_space": action_space}
        action = described(type(self).__name__, given, as_key(out_keys[0]), options.get("var_nums"))
        head = QValueModule(action[0], values, action_mask_key, out_keys, *action[1:])
        self._asked = None if in_keys is None else list(as_keys(in_keys))
        super().__init__(network_step(module, self._asked, values), head)
        self.spec, self._asked = head.spec, None

    @classmethod
    def from_spec(
        cls,
        observation_spec: Any,
        action_spec: Any,
        *,
        dueling: bool = False,
        action_value_key: Any = None,
        action_mask_key: Any = None,
        config: NetworkConfig | None = None,
        **options: Unpack[QValueOptions],
    ) -> Self:
        """An actor that fits any observations and any discrete action: :class:`Features`, an MLP, the best action.

        Args:
            observation_spec: of what it reads: a Composite by key, or one spec for ``"observation"``.
            action_spec: of the action: Categorical, OneHot, MultiDiscrete or MultiBinary, or a Composite of one such.
            dueling: a :class:`~keywork.nets.DuelingMLP` in place of the MLP, of one choice.
            action_value_key: as the constructor takes it.
            action_mask_key: the observation that says which choices are allowed.
            config: the network.
            options: see :class:`QValueOptions`.

        Raises:
            SpecError: the action is not discrete, there are several, or there is no such mask.

        >>> from keywork.specs import Categorical, Unbounded
        >>> QValueActor.from_spec(Unbounded((4,)), Categorical(2), dueling=True).in_keys
        ['observation']
        """
        network, in_keys, spec, key = action_value_parts(
            cls.__name__, observation_spec, action_spec, action_mask_key=action_mask_key, dueling=dueling, config=config
        )
        return cls(
            network,
            in_keys=in_keys,
            spec=spec,
            action_value_key=action_value_key,
            action_mask_key=action_mask_key,
            **{"action_key": key, **options},
        )

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """The findings of every chain, and a network that does not do what it is here for."""
        return unfed(steps, self._asked) or without_external(super().findings(steps))


class DistributionalQValueActor(TensorDictSequential):
    """A network of distributions of the return, and the action of the highest expectation (C51).

    See :class:`DistributionalQValueModule`.

    Args:
        module: from ``in_keys`` to logits ``[*B, N, n]``, for each of N atoms and n choices; or a key module that
            writes them.
        support: the atoms ``[N]``.
        in_keys: what the network reads, ``["observation"]`` if left out; a key module says so itself.
        spec: what an action is, a spec or a Gymnasium space, or a Composite that has it.
        action_spec: another name of spec.
        action_space: in place of a spec, see :class:`QValueModule`.
        action_value_key: the log-probabilities, ``"action_value"`` if left out.
        action_mask_key: a mask of what is allowed.
        options: see :class:`DistributionalOptions`.

    Raises:
        ContractError: the key module does not write the logits, or reads other keys than ``in_keys``.
        UsageError: no action space or two, or a name that is none.
        SpecError: the actions are not discrete, or the atoms are no vector.

    >>> import torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(4, 51 * 2), nn.Unflatten(-1, (51, 2)))
    >>> actor = DistributionalQValueActor(net, torch.linspace(-10.0, 10.0, 51), action_space="categorical")
    >>> log_p, action = actor(torch.zeros(3, 4))
    >>> log_p.exp().sum(-2).allclose(torch.ones(3, 2))
    True
    """

    def __init__(
        self,
        module: Any,
        support: Any,
        in_keys: Any = None,
        spec: Any = None,
        *,
        action_spec: Any = None,
        action_space: Any = None,
        action_value_key: Any = None,
        action_mask_key: Any = None,
        **options: Unpack[DistributionalOptions],
    ) -> None:
        require_known(type(self).__name__, options, DistributionalOptions.__annotations__)
        values = as_key(ACTION_VALUE if action_value_key is None else action_value_key)
        out_keys = [options.get("action_key", ACTION), values]
        given = {"spec": spec, "action_spec": action_spec, "action_space": action_space}
        action = described(type(self).__name__, given, as_key(out_keys[0]), options.get("var_nums"))
        head = DistributionalQValueModule(action[0], support, values, action_mask_key, out_keys, *action[1:])
        self._asked = None if in_keys is None else list(as_keys(in_keys))
        steps: list[Any] = [network_step(module, self._asked, values), head]
        if options.get("make_log_softmax", True):
            steps.insert(1, TensorDictModule(log_softmax_of_atoms, [values], [values]))
        super().__init__(*steps)
        self.spec, self._asked = head.spec, None

    @classmethod
    def from_spec(
        cls,
        observation_spec: Any,
        action_spec: Any,
        support: Any,
        *,
        dueling: bool = False,
        action_value_key: Any = None,
        action_mask_key: Any = None,
        config: NetworkConfig | None = None,
        **options: Unpack[DistributionalOptions],
    ) -> Self:
        """An actor that fits any observations and any discrete action: see :meth:`QValueActor.from_spec`.

        Args:
            observation_spec: as there.
            action_spec: likewise.
            support: the atoms ``[N]``.
            dueling: as there.
            action_value_key: as the constructor takes it.
            action_mask_key: the observation that says which choices are allowed.
            config: the network.
            options: see :class:`DistributionalOptions`.

        Raises:
            SpecError: the action is not discrete, there are several, there is no such mask, or the atoms are no vector.

        >>> import torch
        >>> from keywork.specs import Categorical, Unbounded
        >>> actor = DistributionalQValueActor.from_spec(Unbounded((4,)), Categorical(2), torch.linspace(0.0, 1.0, 51))
        >>> actor(torch.zeros(3, 4))[0].shape
        torch.Size([3, 51, 2])
        """
        network, in_keys, spec, key = action_value_parts(
            cls.__name__,
            observation_spec,
            action_spec,
            action_mask_key=action_mask_key,
            dueling=dueling,
            rows=len(support),
            config=config,
        )
        kept: DistributionalOptions = {"action_key": key, **options}
        return cls(
            network, support, in_keys, spec, action_value_key=action_value_key, action_mask_key=action_mask_key, **kept
        )

    def findings(self, steps: Mapping[str, TensorDictModuleBase]) -> list[Finding]:
        """The findings of every chain, and a network that does not do what it is here for."""
        return unfed(steps, self._asked) or without_external(super().findings(steps))


def log_softmax_of_atoms(logits: Tensor) -> Tensor:
    """log p, of logits ``[*B, atoms, choices]``."""
    return logits.log_softmax(-2)
