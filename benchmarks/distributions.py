"""What a distribution object costs: built from tensors, it draws and scores the draw, as in each step of a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import _distributions_by_hand as hand
import torch
from _timing import cell, interleave, table, verdict
from torch import Tensor

from keywork import distributions as ours

SIZE = 6  # numbers or choices of an action: HalfCheetah's joints, Pong's buttons
GOALS = {8: 1.5, 256: 1.25}
Parameters = dict[str, Any]


def distributions(*, quick: bool) -> Iterator[str]:
    """One table, with a row for each distribution."""
    rows = [row for name in CASES for row in _rows(name, rounds=10 if quick else 60)]
    columns = ["µs a call, ratio (quartiles)", *(f"batch {batch}, goal {goal:g}x" for batch, goal in GOALS.items())]
    yield table(f"Build it, draw, and score the draw: {SIZE} numbers or choices, no gradient", columns, rows)


def _rows(name: str, rounds: int) -> Iterator[list[str]]:
    found = {}
    with torch.no_grad():
        for batch in GOALS:
            calls = _calls(name, batch)
            _check(name, calls["by hand"], calls["keywork"])
            found[batch] = interleave(calls, rounds=rounds)
    for who in next(iter(found.values())):
        cells = [cell(results[who]) for results in found.values()]
        if who == "keywork":
            verdicts = [verdict(found[batch][who], goal) for batch, goal in GOALS.items()]
            cells = [f"{text} {judgement}" for text, judgement in zip(cells, verdicts, strict=True)]
        yield [f"{name}, {who}", *cells]


def _calls(name: str, batch: int) -> dict[str, Callable[[], Any]]:
    torch.manual_seed(0)
    parameters, by_hand = CASES[name]
    given = parameters(batch)
    values, kind, peer = tuple(given.values()), getattr(ours, name), _peer(name)

    def drawn() -> Any:
        dist = kind(**given)
        return dist.rsample_and_log_prob() if dist.has_rsample else dist.sample_and_log_prob()

    def peers() -> Any:
        dist = peer(**given)
        value = dist.rsample() if dist.has_rsample else dist.sample()
        return value, dist.log_prob(value)

    return {"by hand": lambda: by_hand(*values), "keywork": drawn} | ({"torchrl": peers} if peer else {})


def _check(name: str, *calls: Callable[[], tuple[Any, Tensor]]) -> None:
    """With the same seed both draw the same sample, and give it the same score."""
    results = []
    for call in calls:
        torch.manual_seed(1)
        sample, score = call()
        results.append([*_parts(sample), score])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, msg=lambda text: f"{name} differs from that by hand: {text}")


def _parts(sample: Any) -> list[Tensor]:
    """The tensors of a sample, a single one or several named ones."""
    if isinstance(sample, Tensor):
        return [sample]
    return list(sample) if isinstance(sample, tuple) else list(sample.values())


def _peer(name: str) -> Any:
    """The torchrl distribution of that name; its categorical one is torch's own, its composite one draws no number."""
    if not find_spec("torchrl") or name == "CompositeDistribution":
        return None
    from torchrl import modules

    return getattr(modules, name, torch.distributions.Categorical if name == "Categorical" else None)


def _location_scale(batch: int) -> Parameters:
    return {"loc": torch.randn(batch, SIZE), "scale": torch.rand(batch, SIZE) + 0.1}


def _logits(batch: int) -> Parameters:
    return {"logits": torch.randn(batch, SIZE)}


def _masked_logits(batch: int) -> Parameters:
    mask = torch.rand(batch, SIZE) < 0.5
    mask[:, 0] = True
    return _logits(batch) | {"mask": mask}


def _scores(batch: int) -> Parameters:
    return {"scores": torch.randn(batch, SIZE)}


def _param(batch: int) -> Parameters:
    return {"param": torch.randn(batch, SIZE)}


def _two_actions(batch: int) -> Parameters:
    params = {"move": _location_scale(batch), "button": _logits(batch)}
    return {"params": params, "distribution_map": {"move": ours.TanhNormal, "button": ours.Categorical}}


CASES: dict[str, tuple[Callable[[int], Parameters], Callable[..., tuple[Any, Tensor]]]] = {
    "IndependentNormal": (_location_scale, hand.independent_normal),
    "TanhNormal": (_location_scale, hand.tanh_normal),
    "TruncatedNormal": (_location_scale, hand.truncated_normal),
    "Delta": (_param, hand.delta),
    "TanhDelta": (_param, hand.tanh_delta),
    "Categorical": (_logits, hand.categorical),
    "OneHotCategorical": (_logits, hand.one_hot_categorical),
    "MaskedCategorical": (_masked_logits, hand.masked_categorical),
    "MaskedOneHotCategorical": (_masked_logits, hand.masked_one_hot_categorical),
    "Ordinal": (_scores, hand.ordinal),
    "OneHotOrdinal": (_scores, hand.one_hot_ordinal),
    "CompositeDistribution": (_two_actions, hand.composite),
}
