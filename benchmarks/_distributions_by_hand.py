"""Draw a sample and score it, for each distribution, in plain torch: as few operations as a careful author needs.

Careful means the following, here as in keywork. A score comes from the noise that was drawn, not from the rounded
sample. No random number is infinite (a uniform one of zero would be, twice logarithmised). The logarithm of the tanh's
slope is never that of a rounded zero. A mask that allows nothing in a row is an error. A truncated normal distribution
is computed in float64, in the tail that is nearer, so that nothing cancels; it is right up to 35 scales outside of the
bounds, which nothing checks here, nor are shapes and types looked at.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

Scored = tuple[Tensor, Tensor]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_TANH = HALF_LOG_TWO_PI + 2.0 * math.log(2.0)
_ROOT_HALF = math.sqrt(0.5)
_TINY = torch.finfo(torch.float32).tiny


def independent_normal(loc: Tensor, scale: Tensor) -> Scored:
    noise = torch.randn_like(loc)
    surprise = torch.addcmul(scale.log(), noise, noise, value=0.5).sum(-1)
    return torch.addcmul(loc, scale, noise), -HALF_LOG_TWO_PI * loc.shape[-1] - surprise


def tanh_normal(loc: Tensor, scale: Tensor) -> Scored:
    noise = torch.randn_like(loc)
    u = torch.addcmul(loc, scale, noise)
    # −log N(u) = log scale + ½ noise² + c; log |da/du| = 2 log 2 − 2 log_cosh, log_cosh = u + softplus(−2u).
    surprise = torch.addcmul(scale.log(), noise, noise, value=0.5)
    log_cosh = torch.sub(u, F.softplus(u, -2.0, 40.0), alpha=2.0)
    return u.tanh(), -_TANH * loc.shape[-1] - torch.sub(surprise, log_cosh, alpha=2.0).sum(-1)


def truncated_normal(loc: Tensor, scale: Tensor) -> Scored:
    """Between -1 and 1."""
    survival = torch.rand_like(loc, dtype=torch.float64).clamp_min_(2.0**-54)
    m, s = loc.double(), scale.double()
    start, end = (m.abs() - 1.0) / s, (m.abs() + 1.0) / s  # in scales, from loc to the nearer and the further bound
    near, far = torch.erfc(start * _ROOT_HALF), torch.erfc(end * _ROOT_HALF)  # twice what lies beyond
    mass = near - far
    xi = torch.special.ndtri(torch.addcmul(far, survival, mass).mul_(0.5)).neg_().clamp_(start, end)
    # The density is highest where the interval is nearest to loc: log p = -½ ξ² - log mass - log scale - c.
    score = -(0.5 * xi.square() + (s * mass).log()).sum(-1) + (math.log(2.0) - HALF_LOG_TWO_PI) * loc.shape[-1]
    action = torch.addcmul(m, torch.where(m > 0.0, -s, s), xi).clamp(-1.0, 1.0)
    return action.float(), score.float()


def _drawn(scores: Tensor) -> Scored:
    gumbel = torch.rand_like(scores).add_(_TINY).log_().neg_().log_()
    index = (scores - gumbel).argmax(-1, keepdim=True)
    return index, scores.log_softmax(-1).gather(-1, index).squeeze(-1)


def categorical(logits: Tensor) -> Scored:
    index, score = _drawn(logits)
    return index.squeeze(-1), score


def one_hot_categorical(logits: Tensor) -> Scored:
    index, score = categorical(logits)
    return F.one_hot(index, logits.shape[-1]), score


def _masked(logits: Tensor, mask: Tensor) -> Tensor:
    if not mask.any(-1).all():
        raise ValueError("a row allows nothing")
    return logits.masked_fill(~mask, -math.inf)


def masked_categorical(logits: Tensor, mask: Tensor) -> Scored:
    return categorical(_masked(logits, mask))


def masked_one_hot_categorical(logits: Tensor, mask: Tensor) -> Scored:
    return one_hot_categorical(_masked(logits, mask))


def ordinal(scores: Tensor) -> Scored:
    return categorical(scores.cumsum(-1))


def one_hot_ordinal(scores: Tensor) -> Scored:
    return one_hot_categorical(scores.cumsum(-1))


def delta(param: Tensor) -> Scored:
    return param, param.new_full(param.shape[:-1], math.inf)


def tanh_delta(param: Tensor) -> Scored:
    return param.tanh(), param.new_full(param.shape[:-1], math.inf)


def composite(params: dict[str, dict[str, Tensor]], _: object) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """A tanh-normal and a categorical action, and the score of both."""
    move, move_score = tanh_normal(**params["move"])
    button, button_score = categorical(**params["button"])
    return (move, button), move_score + button_score
