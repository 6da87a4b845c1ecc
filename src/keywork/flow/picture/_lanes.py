"""Where the back edges run: in lanes left of everything else."""

from __future__ import annotations

from collections.abc import Iterator

from keywork.flow.picture._plan import Plan

_LANE = 22.0  # between two lanes


def left_edges(plan: Plan) -> Iterator[float]:
    """Where things begin on the left."""
    yield from (x - box.width / 2 for x, box in zip(plan.card_x, plan.cards, strict=True))
    yield from (x - box.width / 2 for x, box in zip(plan.label_x, plan.labels, strict=True))
    yield from plan.trunks.values()


def lanes_of(plan: Plan) -> list[float]:
    """Where each back edge runs, left of everything: short ones inside, long ones outside."""
    columns: list[list[int]] = []
    for k, loop in enumerate(plan.loops):
        rows = sorted((plan.rows[loop.source], plan.rows[loop.target]))
        for column in columns:
            others = [sorted((plan.rows[plan.loops[j].source], plan.rows[plan.loops[j].target])) for j in column]
            if all(rows[1] < low or high < rows[0] for low, high in others):
                column.append(k)
                break
        else:
            columns.append([k])
    edge = min(left_edges(plan), default=0.0)
    lanes = [0.0] * len(plan.loops)
    for column in columns:
        width = max(plan.loop_labels[k].width for k in column)
        for k in column:
            lanes[k] = round(edge - _LANE - width / 2)
        edge -= _LANE + width
    return lanes
