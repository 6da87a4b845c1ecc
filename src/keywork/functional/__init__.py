"""Pure mathematics over tensors: returns, advantages, policy-gradient, value, Q-learning and distributional terms.

Nothing here knows keys, modules or environments. Names carry the time index: ``reward_t`` is the reward of the
transition from t to t+1, ``v_tp1`` the value of the state that this transition truly led to.
"""

from keywork.functional._deterministic import smoothed_action
from keywork.functional._distributional import categorical_loss, categorical_projection, quantile_huber_loss
from keywork.functional._mean import masked_mean
from keywork.functional._n_step import n_step_return
from keywork.functional._normalize import explained_variance, normalize
from keywork.functional._offline import advantage_weighted, conservative_penalty, expectile_loss
from keywork.functional._policy import (
    ClippedSurrogate,
    approximate_kl,
    clip_fraction,
    clipped_surrogate,
    policy_gradient,
)
from keywork.functional._q_returns import retrace_return, watkins_return
from keywork.functional._q_value import double_q_value, greedy_value
from keywork.functional._returns import discounted_return, generalized_advantage, lambda_return, td0_target
from keywork.functional._scan import reverse_linear_scan
from keywork.functional._soft import expected_soft_value, soft_policy_loss, soft_value, temperature_loss
from keywork.functional._value import value_loss
from keywork.functional._vtrace import ClippedWeights, VTrace, clipped_weights, vtrace

__all__ = [
    "ClippedSurrogate",
    "ClippedWeights",
    "VTrace",
    "advantage_weighted",
    "approximate_kl",
    "categorical_loss",
    "categorical_projection",
    "clip_fraction",
    "clipped_surrogate",
    "clipped_weights",
    "conservative_penalty",
    "discounted_return",
    "double_q_value",
    "expected_soft_value",
    "expectile_loss",
    "explained_variance",
    "generalized_advantage",
    "greedy_value",
    "lambda_return",
    "masked_mean",
    "n_step_return",
    "normalize",
    "policy_gradient",
    "quantile_huber_loss",
    "retrace_return",
    "reverse_linear_scan",
    "smoothed_action",
    "soft_policy_loss",
    "soft_value",
    "td0_target",
    "temperature_loss",
    "value_loss",
    "vtrace",
    "watkins_return",
]
