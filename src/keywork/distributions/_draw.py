"""What the exploration types mean for a distribution, and how what was drawn is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from keywork._errors import SpecError

from ._base import NO_SHAPE
from ._composite import CompositeDistribution, joint, sample_and_score
from ._noiseless import noiseless

Projection = Callable[[Tensor], Tensor]


def draw(
    dist: Any,
    kind: str,
    *,
    with_log_prob: bool = False,
    generator: torch.Generator | None = None,
    num_samples: int | None = None,
    project: Sequence[Projection | None] | None = None,
    summed: bool = False,
) -> tuple[Tensor, ...]:
    """The sample of each action, then, if asked for, the log-probability of each.

    A distribution that can score a draw where it is made (``rsample_and_log_prob``) does so: scoring it afterwards
    has lost what the last transformation rounded away.

    Args:
        dist: a distribution of this package or of torch; a :class:`CompositeDistribution` has several actions.
        kind: ``"random"`` samples (with a gradient where the distribution has one). ``"mode"``, ``"mean"`` and
            ``"deterministic"`` are a distribution of this package's own (the last its ``deterministic_sample``). One of
            torch's gives its mode or its mean, and for ``"deterministic"`` its mode; of the two, where it does not have
            the one or this is NaN, the other. The mean of a discrete one is its mode: the mean is no value of it.
        with_log_prob: also return the log-probability.
        generator: of the random draw; a distribution of torch's has no such argument.
        num_samples: N draws an element, in a dimension after those of the batch: ``[*B, N, *event]``, scores
            ``[*B, N]``. What is free of noise is repeated.
        project: for each action a function that brings its sample to where it must lie; what comes out is scored.
        summed: of several actions, one log-probability for all together.

    >>> draw(torch.distributions.Normal(torch.zeros(()), torch.ones(())), "mean", with_log_prob=True)
    (tensor(0.), tensor(-0.9189))
    """
    if isinstance(dist, CompositeDistribution):
        drawn = []
        for number, part in enumerate(dist._dists.values()):
            own = None if project is None else project[number : number + 1]
            options: dict[str, Any] = {"generator": generator, "num_samples": num_samples, "project": own}
            drawn.append(draw(part, kind, with_log_prob=with_log_prob, **options))
        scores = tuple([one[1] for one in drawn]) if with_log_prob else ()
        return (*[one[0] for one in drawn], *((joint(scores),) if summed and scores else scores))
    score, limit = None, None if project is None else project[0]
    shape = NO_SHAPE if num_samples is None else torch.Size((num_samples,))
    if kind == "random":
        name = "rsample" if dist.has_rsample else "sample"
        if with_log_prob and limit is None:
            value, score = sample_and_score(dist, name, shape, generator)
        else:
            options = {} if generator is None else {"generator": generator}
            value = getattr(dist, name)(shape, **options)
    else:
        value = noiseless(dist, kind)
        value = value.expand(*shape, *value.shape) if shape else value
    if limit is not None:
        value = limit(value)
    if with_log_prob and score is None:
        score = dist.log_prob(value)
    if shape:
        value = value.movedim(0, len(dist.batch_shape))
        score = None if score is None else score.movedim(0, -1)
    return (value,) if score is None else (value, score)


def score(dist: Any, values: Sequence[Tensor], num_samples: int | None = None) -> Tensor:
    """The joint log-probability ``[*B]`` of samples in the form in which :func:`draw` gives them.

    Args:
        dist: what is asked.
        values: the sample of each action, in order.
        num_samples: of ``[*B, N, *event]``, the N; the scores are ``[*B, N]`` then.

    Raises:
        SpecError: the samples have another shape.

    >>> normal = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    >>> score(normal, draw(normal, "random", num_samples=5), num_samples=5).shape
    torch.Size([2, 5])
    """
    several = isinstance(dist, CompositeDistribution)
    if num_samples is None:
        return cast(Tensor, dist.log_prob(tuple(values) if several else values[0]))
    batch = len(dist.batch_shape)
    for part, value in zip(dist._dists.values() if several else [dist], values, strict=True):
        wanted = (*part.batch_shape, num_samples, *part.event_shape)
        if value.shape != wanted:
            raise SpecError(
                f"{type(part).__name__} cannot score samples of shape {list(value.shape)}: {num_samples} samples an "
                f"element have shape {list(wanted)}, the samples after the dimensions of the batch. "
                "Keep the shape in which they were drawn."
            )
    in_front = [value.movedim(batch, 0) for value in values]
    return cast(Tensor, dist.log_prob(tuple(in_front) if several else in_front[0])).movedim(0, -1)
