"""Random numbers in the form that vmap, torch.compile and a generator of one's own all accept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_TINY = torch.finfo(torch.float32).tiny


def standard_normal(like: Tensor, sample_shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """N(0, 1) draws of shape ``[*sample_shape, *like.shape]`` with the type and device of ``like``."""
    if generator is None and not sample_shape:
        return torch.randn_like(like)
    shape = (*sample_shape, *like.shape)
    return torch.randn(shape, dtype=like.dtype, device=like.device, **of_generator(generator))


def of_generator(generator: torch.Generator | None) -> dict[str, Any]:
    """The argument of a random function; none for torch's own generator.

    A ``generator=None`` that is passed on cannot be compiled where the batch size is dynamic.
    """
    return {} if generator is None else {"generator": generator}


def constant_sample(
    loc: Tensor, scale: Tensor, sample_shape: Sequence[int], generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw x = loc + scale · ε as a constant, with the z = (x − loc) / scale that its score is made of.

    z is ε in value, to the last digit that matters, where the subtraction would lose all of them at a scale below
    the spacing of floats around loc; its gradient is that of (x − loc) / scale with x held fast.
    """
    with torch.no_grad():
        noise = standard_normal(loc, sample_shape, generator)
        x = torch.addcmul(loc, scale, noise)
    return x, torch.addcmul(loc.detach() - loc, scale.detach(), noise) / scale


def gumbel_argmax(scores: Tensor, sample_shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """argmaxₖ (scoresₖ + gₖ), gₖ = −log(−log u), u ~ U(0, 1): index k is drawn with softmax(scores)ₖ.

    It needs no normalised probabilities, no look at the values, and no in-place random op, so that it runs in
    ``torch.vmap`` with both kinds of randomness. On a CPU it takes a third to two thirds of ``torch.multinomial``.
    Gumbel, Statistical Theory of Extreme Values, 1954; Maddison et al., A* Sampling, 2014.

    Args:
        scores: unnormalised log-probabilities ``[*B, n]``; −inf is never drawn.
        sample_shape: leading shape of independent draws.
        generator: the source of randomness; None is torch's default one.

    Returns:
        int64 indices of shape ``[*sample_shape, *B]``.
    """
    return gumbel_perturbed(scores, sample_shape, generator).argmax(-1)


def gumbel_perturbed(scores: Tensor, sample_shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """The scoresₖ + gₖ of :func:`gumbel_argmax`, of shape ``[*sample_shape, *B, n]``."""
    if generator is None and not sample_shape:
        uniform = torch.rand_like(scores)
    else:
        shape = (*sample_shape, *scores.shape)
        uniform = torch.rand(shape, dtype=scores.dtype, device=scores.device, **of_generator(generator))
    # u = 0 would be -inf noise, the score of what must never be drawn.
    return scores - uniform.add_(_TINY).log_().neg_().log_()
