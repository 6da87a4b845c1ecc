"""ε-greedy exploration."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from keywork._keys import ACTION, as_key
from keywork.modules._action_space import CHOSEN_ACTION_VALUE, choices_of
from keywork.modules._annealing import Annealing
from keywork.modules._exploration import ExplorationModule, SpecAliases, one_spec
from keywork.modules._refusal import require_known
from keywork.specs import Spec


class EGreedyOptions(SpecAliases, total=False):
    """The less common options of an :class:`EGreedyModule`.

    Attributes:
        action_value_key: the values from which the action was chosen; with it, the value of the chosen action is kept
            true: it is read, and written again for the actions that were changed. Left out, ``"chosen_action_value"``
            stays that of the greedy action, also where another one is taken.
        chosen_action_value_key: where that is; ``"chosen_action_value"`` if left out.
    """

    action_value_key: Any
    chosen_action_value_key: Any


class EGreedyModule(ExplorationModule):
    """a ← random with probability ε, a otherwise.    ε = max(eps_end, eps_init − t · (eps_init − eps_end) / N)

    One coin is thrown for each element of the batch, and a random action is uniform among those allowed; of an action
    of several components all are drawn. What a Q-network has written as the value of its own choice goes stale where
    the action is changed, unless ``action_value_key`` says from which values to renew it. See
    :class:`ExplorationModule` for when it is active. (Watkins, Learning from Delayed Rewards, 1989.)

    Args:
        spec: what an action is: Categorical, OneHot, MultiDiscrete or MultiBinary, or the Gymnasium space of such, or a
            Composite that has it. If left out, a collector fills in its environment's.
        eps_init: ε at the start.
        eps_end: ε from frame N on.
        annealing_num_steps: N. Frames are counted with :meth:`step`, of all environments together.
        action_key: the action, which is read and written.
        action_mask_key: which choices are allowed, True or not zero: ``[*B, n]`` for n choices, ``[*B, Σ n_k]`` for
            several components. It may be absent; then all are.
        options: see :class:`EGreedyOptions`.

    Raises:
        SpecError: the spec is not of a discrete action; in a call, an action or mask does not fit it, or a row of the
            mask allows nothing (looked at on the CPU alone; elsewhere such a row takes the first choice).
        UsageError: numbers out of range, or eps_end above eps_init.

    >>> from keywork.specs import Categorical
    >>> from tensordict import TensorDict
    >>> explore = EGreedyModule(Categorical(4), eps_init=1.0, eps_end=0.1, annealing_num_steps=1000)
    >>> td = explore(TensorDict(action=torch.zeros(3, dtype=torch.int64), batch_size=[3]))
    >>> explore.step(500)
    >>> td["action"].shape, explore.eps
    (torch.Size([3]), tensor(0.5500))
    """

    def __init__(
        self,
        spec: Any = None,
        eps_init: float = 1.0,
        eps_end: float = 0.1,
        annealing_num_steps: int = 1000,
        *,
        action_key: Any = ACTION,
        action_mask_key: Any = None,
        **options: Unpack[EGreedyOptions],
    ) -> None:
        owner = type(self).__name__
        require_known(owner, options, EGreedyOptions.__annotations__)
        keys = [as_key(action_key)]
        values = options.get("action_value_key")
        chosen = [] if values is None else [as_key(options.get("chosen_action_value_key") or CHOSEN_ACTION_VALUE)]
        super().__init__(
            [*keys, *chosen, *([] if values is None else [as_key(values)])],
            [*keys, *chosen],
            Annealing(owner, "eps", eps_init, eps_end, annealing_num_steps, most=1.0),
            one_spec(owner, spec, options),
            optional_keys=[] if action_mask_key is None else [action_mask_key],
        )
        self._masked = action_mask_key is not None
        self.to(options.get("device"))

    @property
    def eps(self) -> Tensor:
        """ε as it is now."""
        return self._strength

    def accept(self, spec: Spec) -> None:
        """Take the form of the actions from the spec."""
        self.choices = choices_of(type(self).__name__, spec).to(self._strength.device)

    def explore(self, action: Any, *others: Any) -> tuple[Any, ...]:
        """Throw the coins."""
        choices: Any = self._modules.get("choices")
        if choices is None:
            raise self.without_spec()
        batch, ones = (choices.batch_of(action), [1] * choices.dims) if choices.dims else (action.shape, None)
        # One for each element of the batch, with a dimension of one for each of the action's.
        lots = torch.rand(*batch, *ones, device=action.device) if ones else torch.rand_like(action, dtype=torch.float32)
        coin = lots < self._strength
        explored = torch.where(coin, choices.random(action, others[-1] if self._masked else None), action)
        if len(self._out_keys) == 1:
            return (explored,)
        chosen, values = others[:2]
        true = choices.value_of(values, explored)
        return explored, torch.where(coin.reshape(*batch, *[1] * (chosen.ndim - len(batch))), true, chosen)

    def rest(self, action: Any, *others: Any) -> tuple[Any, ...]:
        """The action, and its value if that is looked after."""
        return (action, *others[: len(self._out_keys) - 1])
