"""Every cell of the matrix learns, or is refused with a reason."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from keywork._errors import KeyworkError
from keywork._keys import ACTION_MASK, leaf, next_key

HERE = Path(__file__).parent
cells, table = (SimpleNamespace(**runpy.run_path(str(HERE / name))) for name in ("cells.py", "table.py"))

CELLS = [
    pytest.param(algorithm, body, storage, expected, id=f"{algorithm}-{body}-{storage}".replace(" ", "_"))
    for algorithm, rows in table.MATRIX.items()
    for storage, row in rows.items()
    for body, expected in zip(cells.BODIES, row, strict=True)
]
RUNNING = [pytest.param(*cell.values[:3], id=cell.id) for cell in CELLS if cell.values[3] == table.RUNS]
REFUSED = [cell for cell in CELLS if cell.values[3] != table.RUNS]
ROUNDS = 2


def test_the_matrix_is_complete() -> None:
    assert list(table.MATRIX) == list(cells.ALGORITHMS)
    assert all(tuple(rows) == cells.STORAGES for rows in table.MATRIX.values())
    assert len(CELLS) == 20 * 6 * 3
    assert {cell.values[3] for cell in REFUSED} == {*table.REASONS}


def learn(algorithm: str, body: str, storage: str) -> tuple[Any, TensorDict]:
    """Collect and learn a few times; the pipeline, and a batch that nothing more is learnt from."""
    torch.manual_seed(3)
    made = cells.build(algorithm, body, storage)
    for _ in range(ROUNDS):
        made.learn(made.collector.collect())
    return made, made.batch(made.collector.collect())


def said_by(loss: Any, batch: TensorDict) -> TensorDict:
    """All that a loss writes, with the same draws each time."""
    torch.manual_seed(7)
    return loss(batch)


def terms_of(loss: Any) -> list[list[str]]:
    """What is to fall, together: each term of an actor and critics, of which one moves while the others are held; or
    the sum of all, where actor and critic may be one network."""
    losses = [key for key in loss.out_keys if str(key).startswith("loss")]
    return [[key] for key in losses] if hasattr(loss, "qvalue_terms") else [losses]


@pytest.mark.parametrize(("algorithm", "body", "storage"), RUNNING)
def test_it_runs_and_its_loss_falls(algorithm: str, body: str, storage: str) -> None:
    made, batch = learn(algorithm, body, storage)
    shown, parts = made.flow.table(width=1_000), made.flow.parts
    assert made.flow.findings == ()
    # A buffer that draws evenly only hands on what there is: it is in the picture, and not in the table of keys.
    assert [part.name for part in parts if part.name not in shown and (part.inputs or part.writes)] == []

    first = said_by(made.loss, batch)
    assert all(first[key].isfinite().all() for key in made.loss.out_keys)
    again, same = learn(algorithm, body, storage)
    assert_equal(first, said_by(again.loss, same))

    if body == "masked":
        forbids(made.loss, batch, looks_ahead=hasattr(made.loss, "gamma") and algorithm != "iql")  # its v(s) needs none
    reached: set[int] = set()
    for terms in terms_of(made.loss):
        reached |= falls(made.loss, batch, terms)
    trained = {name: id(p) for name, p in made.loss.named_parameters() if p.requires_grad}
    assert [name for name, parameter in trained.items() if parameter not in reached] == []


def assert_equal(one: TensorDict, other: TensorDict) -> None:
    for key, value in one.items(include_nested=True, leaves_only=True):
        assert torch.equal(value, other[key]), key


def falls(loss: Any, batch: TensorDict, terms: list[str]) -> set[int]:
    """Take steps down the sum of terms on one batch, with the targets held; the parameters that it moves."""

    def total() -> torch.Tensor:
        out = said_by(loss, batch)
        return torch.stack([out[term] for term in terms]).sum()

    start = total()
    parameters = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(start, parameters, allow_unused=True)
    moved = [parameter for parameter, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
    optimiser = torch.optim.Adam(moved, lr=1e-3)
    for _ in range(4):
        optimiser.zero_grad()
        total().backward()
        optimiser.step()
    with torch.no_grad():
        assert total() < start, terms
    return {id(parameter) for parameter in moved}


def forbids(loss: Any, batch: TensorDict, looks_ahead: bool) -> None:
    """What a mask forbids counts for nothing in what is learnt: to allow everything changes it.

    That nothing forbidden is taken the environment itself sees to.
    """
    masks = [key for key in loss.in_keys if leaf(key) == ACTION_MASK]
    assert (next_key(ACTION_MASK) in masks) == looks_ahead
    before = said_by(loss, batch)
    for key in masks:
        assert not batch[key].all()
        wide = batch.clone()
        wide[key] = torch.ones_like(batch[key])
        after = said_by(loss, wide)
        assert any(not torch.equal(before[k], after[k]) for k in loss.out_keys), key


@pytest.mark.parametrize(("algorithm", "body", "storage", "reason"), REFUSED)
def test_it_is_refused_with_a_reason(algorithm: str, body: str, storage: str, reason: str) -> None:
    with pytest.raises(KeyworkError) as raised:
        learn(algorithm, body, storage)
    said = " ".join(str(raised.value).split())
    assert re.search(table.REASONS[reason][1], said), said
