"""A choice among n, as an index."""

from __future__ import annotations

from ._index_choice import IndexChoice


class Categorical(IndexChoice):
    """P(a = k) = softmax(logits)ₖ; a is an int64 index of shape ``[*batch]``.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are the likeliest index, a single one also where several tie. (The
    expectation of an index is no index, so that ``mean`` is the mode here.) There is no reparameterised sample:
    learn from ``log_prob``. Without ``validate_args`` a row of NaN or of −inf alone is not refused here; it shows as
    a NaN in ``log_prob``.

    Args:
        logits: unnormalised log-probabilities ``[*batch, n]``; −inf excludes a choice.
        probs: instead of logits, probabilities; they need not sum to one.
        validate_args: True checks the values of the parameters, and that scored indices are below n; this waits for the
            device.

    Raises:
        SpecError: both or neither of logits and probs, a scalar, or logits that are no floating-point numbers.

    >>> import torch
    >>> dist = Categorical(probs=torch.tensor([0.25, 0.75]))
    >>> dist.mode, dist.log_prob(torch.tensor(0)).exp()
    (tensor(1), tensor(0.2500))
    """
