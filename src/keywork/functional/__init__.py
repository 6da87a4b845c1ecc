"""Pure mathematics over tensors: returns, advantages, policy-gradient and value terms.

Nothing here knows keys, modules or environments. Names carry the time index: ``reward_t`` is the reward of the
transition from t to t+1, ``v_tp1`` the value of the state that this transition truly led to.
"""

from keywork.functional._normalize import explained_variance, normalize
from keywork.functional._policy import (
    ClippedSurrogate,
    approximate_kl,
    clip_fraction,
    clipped_surrogate,
    policy_gradient,
)
from keywork.functional._returns import discounted_return, generalized_advantage, lambda_return, td0_target
from keywork.functional._scan import reverse_linear_scan
from keywork.functional._value import value_loss

__all__ = [
    "ClippedSurrogate",
    "approximate_kl",
    "clip_fraction",
    "clipped_surrogate",
    "discounted_return",
    "explained_variance",
    "generalized_advantage",
    "lambda_return",
    "normalize",
    "policy_gradient",
    "reverse_linear_scan",
    "td0_target",
    "value_loss",
]
