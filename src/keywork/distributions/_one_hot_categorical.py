"""A choice among n, as a one-hot vector."""

from __future__ import annotations

from ._one_hot_choice import OneHotChoice


class OneHotCategorical(OneHotChoice):
    """P(a = eₖ) = softmax(logits)ₖ; a is an int64 one-hot vector of shape ``[*batch, n]``.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are the one-hot vector of the likeliest choice, with a single one also
    where several tie. (The expectation, ``probs``, is no action, so that ``mean`` is the mode here.)

    ``rsample`` is straight-through: a one-hot vector of floats whose gradient is that of ``probs`` (Bengio et al.,
    Estimating or Propagating Gradients Through Stochastic Neurons, 2013). That gradient is biased, so that
    ``has_rsample`` is False: nobody gets it without asking.

    ``log_prob`` takes one-hot vectors of bool, integers or floats, and refuses an index by its shape.

    Args:
        logits: unnormalised log-probabilities ``[*batch, n]``; −inf excludes a choice.
        probs: instead of logits, probabilities; they need not sum to one.
        validate_args: True checks the values of the parameters, and that scored values are one-hot; this waits for the
            device.

    Raises:
        SpecError: both or neither of logits and probs, or a scalar.

    >>> import torch
    >>> dist = OneHotCategorical(logits=torch.zeros(3))
    >>> dist.mode, dist.event_shape
    (tensor([1, 0, 0]), torch.Size([3]))
    """
