"""The matrix: which algorithm learns with which network from which storage, and why the others do not."""

from __future__ import annotations

RUNS = "runs"

REASONS: dict[str, tuple[str, str]] = {
    "no buffer": (
        "the algorithm learns from the batch that it has just collected: there is nothing to draw from",
        r"has no option --.*: it learns from the batch that it has just collected, .*Leave it out, or train \w+",
    ),
    "one network": (
        "there is no critic beside the network of action values to share layers with",
        r"has no option --share-trunk: it has one network, .*Leave it out, or train a2c",
    ),
    "own losses": (
        "actor and critics learn from losses of their own, and have targets that follow each of them alone",
        r"have \d+ parameter tensors in common .*give the critic parameters of its own",
    ),
    "no order": (
        "a memory learns from steps that follow one another, and these are drawn one by one",
        r"\w+ \(loss\) learns with a memory, .* draws each step alone, .*let the buffer draw slices: .*SliceSampler",
    ),
    "plain slices": (
        "a recurrent network learns from slices, which are drawn evenly and hold each step as it was",
        r"which go without --[^:]*: leave (it|them) out \(--.*\), or take ",
    ),
    "no n-step": (
        "a slice holds each step as it was: the rewards of several are in the slice already",
        r"cannot make n-step samples of slices: .*Leave out n_step",
    ),
    "unweighed": (
        "the loss has no error to draw by, and would not weigh what is drawn more often",
        r"draws some steps more often .* which \w+ \(loss\) does not read\..*draw evenly",
    ),
    "numbers": (
        "no number of a range can be forbidden by a mask",
        r"no distribution for such actions with a mask\..*leave action_mask_key out",
    ),
}
"""Why there is no such thing, and what is said of it, which ends in what to type."""

_ON_POLICY = {
    # feed-forward, shared trunk, GRU, LSTM, masked, dict
    "in memory": (RUNS, RUNS, RUNS, RUNS, RUNS, RUNS),
    "sliced": ("no buffer",) * 6,
    "prioritised": ("no buffer",) * 6,
}
_VALUES = {
    "in memory": (RUNS, "one network", "no order", "no order", RUNS, RUNS),
    "sliced": (RUNS, "one network", RUNS, RUNS, RUNS, RUNS),
    "prioritised": (RUNS, "one network", "plain slices", "plain slices", RUNS, RUNS),
}
_N_STEP = {
    "in memory": (RUNS, "one network", "plain slices", "plain slices", RUNS, RUNS),
    "sliced": ("no n-step", "one network", "plain slices", "plain slices", "no n-step", "no n-step"),
    "prioritised": (RUNS, "one network", "plain slices", "plain slices", RUNS, RUNS),
}
_NUMBERS = {
    "in memory": (RUNS, "own losses", "no order", "no order", "numbers", RUNS),
    "sliced": (RUNS, "own losses", RUNS, RUNS, "numbers", RUNS),
    "prioritised": (RUNS, "own losses", "plain slices", "plain slices", "numbers", RUNS),
}
_CHOICES = {
    "in memory": (RUNS, "own losses", "no order", "no order", RUNS, RUNS),
    "sliced": (RUNS, "own losses", RUNS, RUNS, RUNS, RUNS),
    "prioritised": (RUNS, "own losses", "plain slices", "plain slices", RUNS, RUNS),
}

MATRIX: dict[str, dict[str, tuple[str, ...]]] = {
    "ppo": _ON_POLICY,
    "ppo of numbers": {**_ON_POLICY, "in memory": (RUNS, RUNS, RUNS, RUNS, "numbers", RUNS)},
    "ppo with a KL penalty": {"in memory": (RUNS,) * 6, "sliced": (RUNS,) * 6, "prioritised": ("unweighed",) * 6},
    "a2c": _ON_POLICY,
    "reinforce": _ON_POLICY,
    "dqn": _VALUES,
    "dqn, double": _VALUES,
    "dqn, dueling": _VALUES,
    "dqn, noisy": _VALUES,
    "dqn, c51": _VALUES,
    "qrdqn": _VALUES,
    "dqn, n-step": _N_STEP,
    "rainbow": _N_STEP,
    "ddpg": _NUMBERS,
    "td3": _NUMBERS,
    "sac": _NUMBERS,
    "sacd": _CHOICES,
    "bc": {
        "in memory": (RUNS, RUNS, "no order", "no order", RUNS, RUNS),
        "sliced": (RUNS,) * 6,
        "prioritised": ("unweighed",) * 6,
    },
    "cql": {**_NUMBERS, "prioritised": (RUNS, "own losses", "no order", "no order", "numbers", RUNS)},
    "iql": {**_CHOICES, "prioritised": (RUNS, "own losses", "no order", "no order", RUNS, RUNS)},
}
