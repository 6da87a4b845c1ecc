"""A linear layer that explores by itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from keywork._errors import UsageError
from keywork.modules._exploration import exploring
from keywork.modules._refusal import refusal


class NoisyLinear(nn.Module):
    """y = (μʷ + σʷ ∘ f(ε_out) f(ε_in)ᵀ) x + μᵇ + σᵇ ∘ f(ε_out),    f(ε) = sign(ε) √|ε|,  ε ~ N(0, 1)

    A layer as ``nn.Linear``, of which the weights are noisy and the noise's strength is learned. The noise is drawn in
    the call, for each element of the batch: environments explore independently, and nothing has to be reset.

    It obeys the rule of all exploration here: active under ``RANDOM``, and outside of any
    :func:`~keywork.nn.set_exploration_type`; under ``DETERMINISTIC``, ``MODE`` and ``MEAN`` y = μʷ x + μᵇ, and nothing
    is drawn. ``train()`` and ``eval()`` change nothing.

    (Fortunato et al., Noisy Networks for Exploration, 2018, with factorised noise and its initialisation.)

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        bias: whether there is one.
        device: where the parameters are.
        dtype: their type.
        std_init: σ at the start, before it is divided by √in_features.

    Raises:
        UsageError: a size is not positive, or std_init negative or not finite.

    >>> from keywork.nn import set_exploration_type
    >>> layer, x = NoisyLinear(4, 2), torch.ones(3, 4)
    >>> with set_exploration_type("deterministic"):
    ...     torch.equal(layer(x), layer(x))
    True
    >>> torch.equal(layer(x), layer(x))
    False
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        std_init: float = 0.5,
    ) -> None:
        super().__init__()
        if in_features < 1 or out_features < 1 or not 0.0 <= std_init < math.inf:
            raise refusal(
                UsageError,
                "NoisyLinear cannot be built: a number is out of range.",
                where="in_features, out_features, std_init",
                expected="positive sizes, and a finite std_init not below 0",
                got=f"{in_features}, {out_features}, {std_init}",
                fix="NoisyLinear(64, 2, std_init=0.5)",
            )
        self.in_features, self.out_features, self.std_init = in_features, out_features, float(std_init)

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.weight_mu, self.weight_sigma = empty(out_features, in_features), empty(out_features, in_features)
        self.bias_mu = empty(out_features) if bias else None
        self.bias_sigma = empty(out_features) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """μ ~ U(−1/√n, 1/√n) and σ = std_init/√n, with n inputs."""
        bound = 1.0 / math.sqrt(self.in_features)
        for name, parameter in self.named_parameters():
            if name.endswith("_mu"):
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.constant_(parameter, self.std_init * bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[*B, in_features]`` to ``[*B, out_features]``."""
        y = F.linear(x, self.weight_mu, self.bias_mu)
        if not exploring():
            return y
        noise_in, noise_out = _factor(x), _factor(y)
        # One element's noise is a product of two vectors, so that its matrix need not be built.
        noise = F.linear(x * noise_in, self.weight_sigma, self.bias_sigma) * noise_out
        return y + noise

    def extra_repr(self) -> str:
        """The sizes, for the repr."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias_mu is not None}"


def _factor(like: Tensor) -> Tensor:
    noise = torch.randn_like(like)
    return noise.sign() * noise.abs().sqrt()
