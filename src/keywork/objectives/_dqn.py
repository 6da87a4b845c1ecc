"""Q-learning with a deep network."""

from __future__ import annotations

from typing import Any, Literal, final

from torch import Tensor

from keywork.functional import td0_target, value_loss
from keywork.objectives._numbers import require_choice
from keywork.objectives._q_learning import Compared, QLearningLoss
from keywork.objectives._q_network import Wanted


@final
class DQNLoss(QLearningLoss):
    """Q-learning: mean ℓ(q(sₜ, aₜ), rₜ + γ (1 - terminatedₜ) maxₐ q'(sₜ₊₁, a))   (Mnih et al. 2015).

    q' is the target network, a frozen copy that :class:`~keywork.objectives.SoftUpdate` or
    :class:`~keywork.objectives.HardUpdate` moves. With ``double_dqn`` the action is chosen by q and judged by q' (van
    Hasselt, Guez & Silver 2016). Of an action of several choices the value is the sum of theirs.

    Args:
        value_network: a policy that acts by action values, such as :class:`~keywork.modules.QValueActor`, alone or in
            a sequential, also with exploration after it: from it the network and the form of actions are taken. Where
            it honours a mask, next actions are chosen by the mask of the next step.
        gamma: discount γ in [0, 1].
        double_dqn: whether one network chooses and the other judges.
        loss_function: ℓ, ``"l2"`` for the square or ``"smooth_l1"`` for Huber's.
        delay_value: whether there is a target network; without one q' is q, without gradient.

    Reads, if they are there: ``"discount"`` ``[*B, 1]``, what the next value counts for in place of γ, such as γⁿ of
    n steps; ``"priority_weight"`` ``[*B]`` or ``[*B, 1]``, by which each step's loss is multiplied; and
    ``("collector", "valid")`` ``[*B, 1]``: what is no step counts for nothing. Recurrent networks run over sequences:
    the last dimension of a batch ``[*B, T]`` is time, and the target network has states of its own.

    Writes ``"loss"``; ``"td_error"`` ``[*B]``, |target - q|, for the priorities of a buffer; and ``"q_mean"``,
    ``"target_mean"`` and ``"td_error_mean"``: all but the loss without gradient.

    Raises:
        ContractError: the policy does not act by the values of actions, or acts by their distributions; or a parameter
            has no size yet.
        UsageError: gamma is out of range, or there is no such loss function.

    >>> import torch
    >>> from tensordict import TensorDict
    >>> from keywork.modules import QValueActor
    >>> from keywork.specs import Categorical
    >>> loss = DQNLoss(QValueActor(torch.nn.Linear(4, 2), spec=Categorical(2)), gamma=0.9)
    >>> following = {"observation": torch.ones(3, 4), "reward": torch.ones(3, 1), "terminated": torch.ones(3, 1) > 0}
    >>> action = torch.tensor([0, 1, 1])
    >>> out = loss(TensorDict({"observation": torch.zeros(3, 4), "action": action, "next": following}, [3]))
    >>> out["loss"].shape, out["td_error"].shape, out["target_mean"]
    (torch.Size([]), torch.Size([3]), tensor(1.))
    """

    def __init__(
        self,
        value_network: Any,
        *,
        gamma: float = 0.99,
        double_dqn: bool = False,
        loss_function: Literal["l2", "smooth_l1"] = "l2",
        delay_value: bool = True,
    ) -> None:
        require_choice(type(self).__name__, "loss_function", loss_function, ("l2", "smooth_l1"))
        super().__init__(value_network, _WANTED, gamma=gamma, double=double_dqn, delay_value=delay_value)
        self.loss_function: Literal["l2", "smooth_l1"] = loss_function

    def _expected(self, values: Tensor) -> Tensor:
        return values

    def _of(self, values: Tensor, action: Tensor) -> Tensor:
        return self._found.of(values, action)

    def _best(self, values: Tensor, mask: Tensor | None) -> Tensor:
        return self._found.best(values, mask)[1]

    def _compare(
        self, taken: Tensor, following: Tensor, reward_t: Tensor, terminated_t: Tensor, gamma: float | Tensor
    ) -> Compared:
        target = td0_target(reward_t, following, terminated_t, gamma=gamma)
        loss = value_loss(taken, target, kind=self.loss_function).squeeze(-1)
        prediction, target = taken.detach().squeeze(-1), target.squeeze(-1)
        return Compared(loss, (target - prediction).abs(), prediction, target)


_WANTED = Wanted("chosen_action_value_key", "QValueActor(net, spec=env.action_spec)", single=False)
