"""The temperature of an entropy bonus, given or learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keywork.functional import temperature_loss
from keywork.objectives._numbers import require_positive


class Temperature(nn.Module):
    """α = exp(log α), with log α a parameter, or a buffer where it is fixed.

    Args:
        owner: whose it is, for messages.
        alpha: α at the start.
        fixed: whether it stays so.

    Raises:
        UsageError: α is not above zero, or not finite.

    >>> temperature = Temperature("SACLoss", 0.2, fixed=False)
    >>> temperature(), len(list(temperature.parameters()))
    (tensor(0.2000), 1)
    """

    log_alpha: Tensor

    def __init__(self, owner: str, alpha: float, *, fixed: bool) -> None:
        super().__init__()
        require_positive(owner, "alpha_init", alpha)
        start = torch.tensor(float(alpha)).log()
        if fixed:
            self.register_buffer("log_alpha", start)
        else:
            self.log_alpha = nn.Parameter(start)

    @property
    def learns(self) -> bool:
        """Whether it is learned."""
        return "log_alpha" in self._parameters

    def forward(self) -> Tensor:
        """α, a constant."""
        return self.log_alpha.detach().exp()

    def loss(self, log_prob: Tensor, target_entropy: float | Tensor) -> Tensor:
        """Per sample, -α (log π(a) + H̄)."""
        return temperature_loss(self.log_alpha, log_prob, target_entropy=target_entropy)
